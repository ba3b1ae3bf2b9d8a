//! Methods of [`Var`] that change shape: views, reductions, products, indexing.

use super::{Boundary, DType, Op, Shape, Tap, Var};
use std::panic::Location;

/// Rows that one kernel scatters: each of up to four elements of an invocation loops over all of them.
const SCATTERED: usize = 15_000;

impl<'g> Var<'g> {
    /// Convert elements; floats are truncated toward zero, `Bool` is 0 or 1.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Var<'g> {
        let shape = self.shape();
        self.graph().push(Op::Cast, vec![self.id()], shape, dtype, Location::caller())
    }

    /// The same value, whose derivative is taken to be zero.
    #[track_caller]
    pub fn stop_grad(self) -> Var<'g> {
        let (shape, dtype) = (self.shape(), self.dtype());
        self.graph().push(Op::StopGrad, vec![self.id()], shape, dtype, Location::caller())
    }

    /// Sum over axes, which disappear: `sum(1)`, `sum([1, 2])`.
    #[track_caller]
    pub fn sum(self, axes: impl Axes) -> Var<'g> {
        self.reduce("sum", axes.axes(), |axes| Op::Sum { axes })
    }

    /// Sum of all elements, a scalar.
    #[track_caller]
    pub fn sum_all(self) -> Var<'g> {
        let axes: Vec<_> = (0..self.shape().len()).collect();
        self.sum(axes)
    }

    /// Mean of all elements, a scalar; of none it is 0, as their sum.
    #[track_caller]
    pub fn mean_all(self) -> Var<'g> {
        let n = self.shape().numel().max(1);
        self.sum_all() / n as f64
    }

    /// Mean over axes, which disappear; of none it is 0.
    #[track_caller]
    pub fn mean(self, axes: impl Axes) -> Var<'g> {
        let total = self.sum(axes);
        let (n, kept) = (self.shape().numel(), total.shape().numel());
        total * (kept as f64 / n.max(1) as f64)
    }

    /// Maximum over axes, which disappear. It has a derivative only under [`stop_grad`](Var::stop_grad).
    #[track_caller]
    pub fn max_over(self, axes: impl Axes) -> Var<'g> {
        self.reduce("max_over", axes.axes(), |axes| Op::Max { axes })
    }

    /// `log(sum(exp(x)))` over axes, which disappear; the maximum is taken out first, so nothing overflows.
    #[track_caller]
    pub fn logsumexp(self, axes: impl Axes) -> Var<'g> {
        let (axes, shape) = (axes.axes(), self.shape());
        let top = self.max_over(axes.clone()).stop_grad();
        let kept: Vec<_> = shape.iter().enumerate().map(|(i, &n)| if axes.contains(&i) { 1 } else { n }).collect();
        (self - top.reshape(kept)).exp().sum(axes).log() + top
    }

    #[track_caller]
    fn reduce(self, name: &'static str, mut axes: Vec<usize>, op: impl FnOnce(Vec<usize>) -> Op) -> Var<'g> {
        let (shape, site) = (self.shape(), Location::caller());
        axes.sort_unstable();
        axes.dedup();
        if axes.iter().any(|&axis| axis >= shape.len()) && !self.is_invalid() {
            return self.mismatch(name, format!("axes {axes:?} of {shape}"), "axes below the rank".into(), site);
        }
        if let Some(mistake) = self.not_a_number(name, site) {
            return mistake;
        }
        let (out, dtype) = (shape.without(&axes), self.dtype());
        self.graph().push(op(axes), vec![self.id()], out, dtype, site)
    }

    /// Running sum along `axis`, each element included.
    #[track_caller]
    pub fn cumsum(self, axis: usize) -> Var<'g> {
        let (shape, dtype, site) = (self.shape(), self.dtype(), Location::caller());
        if axis >= shape.len() && !self.is_invalid() {
            return self.mismatch("cumsum", format!("axis {axis} of {shape}"), "an axis below the rank".into(), site);
        }
        if let Some(mistake) = self.not_a_number("cumsum", site) {
            return mistake;
        }
        self.graph().push(Op::CumSum { axis }, vec![self.id()], shape, dtype, site)
    }

    /// The same elements, in row-major order, in another shape of as many.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'g> {
        let (from, to, site, dtype) = (self.shape(), shape.into(), Location::caller(), self.dtype());
        if from.numel() != to.numel() && !self.is_invalid() {
            let want = format!("{} elements", from.numel());
            return self.mismatch("reshape", format!("{from} to {to} ({} elements)", to.numel()), want, site);
        }
        self.graph().push(Op::Reshape, vec![self.id()], to, dtype, site)
    }

    /// A new axis of length 1 before `axis`.
    #[track_caller]
    pub fn unsqueeze(self, axis: usize) -> Var<'g> {
        let mut shape = self.shape().to_vec();
        shape.insert(axis.min(shape.len()), 1);
        self.reshape(shape)
    }

    /// Repeat along new leading axes and along axes of length 1.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Var<'g> {
        let (from, to, site, dtype) = (self.shape(), shape.into(), Location::caller(), self.dtype());
        if from.broadcast(&to).as_ref() != Some(&to) && !self.is_invalid() {
            let want = "axes that are equal or 1, aligned from the last".into();
            return self.mismatch("broadcast", format!("{from} to {to}"), want, site);
        }
        self.graph().push(Op::Broadcast, vec![self.id()], to, dtype, site)
    }

    /// Axis `i` of the result is axis `perm[i]`.
    #[track_caller]
    pub fn permute(self, perm: impl Into<Vec<usize>>) -> Var<'g> {
        let (perm, shape, site, dtype) = (perm.into(), self.shape(), Location::caller(), self.dtype());
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.len()) && !self.is_invalid() {
            let want = format!("each of 0..{} once", shape.len());
            return self.mismatch("permute", format!("{perm:?} of {shape}"), want, site);
        }
        if self.is_invalid() {
            return self;
        }
        let to: Vec<_> = perm.iter().map(|&i| shape[i]).collect();
        self.graph().push(Op::Permute(perm), vec![self.id()], to.into(), dtype, site)
    }

    /// Transpose of a matrix.
    #[track_caller]
    pub fn t(self) -> Var<'g> {
        self.permute([1, 0])
    }

    /// The box of `len` elements an axis from `start`.
    #[track_caller]
    pub fn slice(self, start: impl Into<Vec<usize>>, len: impl Into<Shape>) -> Var<'g> {
        let (start, to, from, site) = (start.into(), len.into(), self.shape(), Location::caller());
        let inside = start.len() == from.len()
            && to.len() == from.len()
            && (0..from.len()).all(|i| start[i].checked_add(to[i]).is_some_and(|end| end <= from[i]));
        if !inside && !self.is_invalid() {
            return self.mismatch("slice", format!("{to} from {start:?}"), format!("a box inside {from}"), site);
        }
        let dtype = self.dtype();
        self.graph().push(Op::Slice(start), vec![self.id()], to, dtype, site)
    }

    /// `len` elements of one axis from `start`.
    #[track_caller]
    pub fn narrow(self, axis: usize, start: usize, len: usize) -> Var<'g> {
        let mut to = self.shape().to_vec();
        let mut from = vec![0; to.len()];
        if axis >= to.len() {
            let (got, want) = (format!("axis {axis} of {to:?}"), "an axis below the rank".into());
            return self.mismatch("slice", got, want, Location::caller());
        }
        (from[axis], to[axis]) = (start, len);
        self.slice(from, to)
    }

    /// Put this at corner `start` of a box of zeros.
    #[track_caller]
    pub fn pad(self, start: impl Into<Vec<usize>>, shape: impl Into<Shape>) -> Var<'g> {
        let (start, to, from, site) = (start.into(), shape.into(), self.shape(), Location::caller());
        let inside = start.len() == from.len()
            && to.len() == from.len()
            && (0..from.len()).all(|i| start[i].checked_add(from[i]).is_some_and(|end| end <= to[i]));
        if !inside && !self.is_invalid() {
            return self.mismatch("pad", format!("{from} at {start:?}"), format!("a box inside {to}"), site);
        }
        let dtype = self.dtype();
        self.graph().push(Op::Pad(start), vec![self.id()], to, dtype, site)
    }

    /// Arguments one after the other along `axis`.
    #[track_caller]
    pub fn concat(parts: &[Var<'g>], axis: usize) -> Option<Var<'g>> {
        let site = Location::caller();
        let first = *parts.first()?;
        let (shape, dtype) = (first.shape(), first.dtype());
        let fits = |v: &Var<'g>| {
            let s = v.shape();
            v.dtype() == dtype && s.len() == shape.len() && (0..s.len()).all(|i| i == axis || s[i] == shape[i])
        };
        if axis >= shape.len() || !parts.iter().all(fits) {
            let got: Vec<_> = parts.iter().map(|v| v.shape().to_string()).collect();
            let want = format!("one type, and equal lengths on every axis but {axis}");
            return Some(first.mismatch("concat", got.join(", "), want, site));
        }
        let mut to = shape.to_vec();
        to[axis] = parts.iter().map(|v| v.shape()[axis]).sum();
        let args = parts.iter().map(|v| v.id()).collect();
        Some(first.graph().push(Op::Concat { axis }, args, to.into(), dtype, site))
    }

    /// Rows at these `U32` indices: from `[m, ..]` and `[k ..]`, `[k .., ..]`. Indices past the end give the last row.
    ///
    /// Where the row is known, by a constant index or because there is one row only, this is a slice.
    #[track_caller]
    pub fn gather(self, index: Var<'g>) -> Var<'g> {
        let (from, at, site, dtype) = (self.shape(), index.shape(), Location::caller(), self.dtype());
        if from.is_empty() || index.dtype() != DType::U32 {
            let got = format!("{from} at {at} {:?}", index.dtype());
            return self.mismatch("gather", got, "[m, ..] at U32 indices".into(), site);
        }
        let to: Vec<_> = at.iter().chain(&from[1..]).copied().collect();
        if let Some(row) = self.known_row(index) {
            let one: Vec<_> = at.iter().map(|_| 1).chain(from[1..].iter().copied()).collect();
            return self.narrow(0, row, 1).reshape(one).broadcast_to(to);
        }
        self.graph().push(Op::Gather, vec![self.id(), index.id()], to.into(), dtype, site)
    }

    /// The row that every element of an index means, if that is known. Mesa 22.3's software adapter crashes on some kernels that
    /// read a component of a uniform vector at an index which only its own compiler finds to be constant.
    fn known_row(self, index: Var<'g>) -> Option<usize> {
        let rows = self.shape()[0];
        match rows {
            _ if rows == 0 || self.is_invalid() || index.is_invalid() => None,
            1 => Some(0),
            _ => self.graph().constant_value(index.id()).map(|k| (k as usize).min(rows - 1)),
        }
    }

    /// The row of a table `[steps, ..]` that belongs to the current step; after its end, the last one.
    #[track_caller]
    pub fn at_step(self) -> Var<'g> {
        self.gather(self.graph().step())
    }

    /// Sum the rows of this `[k, ..]` into rows `index [k]` of a zero tensor `[rows, ..]`, in order (15,000 at a time, whose sums are
    /// added in order). Indices past the end give to the last row: this is the transpose of [`gather`](Var::gather).
    #[track_caller]
    pub fn scatter_add(self, index: Var<'g>, rows: usize) -> Var<'g> {
        let (from, at, site, dtype) = (self.shape(), index.shape(), Location::caller(), self.dtype());
        if from.is_empty() || at.len() != 1 || at[0] != from[0] || index.dtype() != DType::U32 {
            let got = format!("{from} at {at} {:?}", index.dtype());
            return self.mismatch("scatter_add", got, "[k, ..] at U32 [k]".into(), site);
        }
        if let Some(mistake) = self.not_a_number("scatter_add", site) {
            return mistake;
        }
        let mut to = from.to_vec();
        to[0] = rows;
        let to = Shape::from(to);
        // A sum over all rows is one loop of a kernel, and software adapters cut long loops short.
        let starts = (0..from[0].max(1)).step_by(SCATTERED);
        let chunk = |start: usize| {
            let rows = SCATTERED.min(from[0] - start);
            let (x, at) = if rows == from[0] {
                (self, index)
            } else {
                (self.narrow(0, start, rows), index.narrow(0, start, rows))
            };
            self.graph().push(Op::ScatterAdd, vec![x.id(), at.id()], to.clone(), dtype, site)
        };
        starts.map(chunk).reduce(|sum, part| sum + part).unwrap_or(self)
    }

    /// How many entries of this ascending `[m]` are below each query: `U32` in `0..=m`.
    #[track_caller]
    pub fn search_sorted(self, queries: Var<'g>) -> Var<'g> {
        let (from, to, site) = (self.shape(), queries.shape(), Location::caller());
        if from.len() != 1 || self.dtype() != queries.dtype() {
            let got = format!("{from} {:?} and queries {:?}", self.dtype(), queries.dtype());
            return self.mismatch("search_sorted", got, "[m] and queries of its type".into(), site);
        }
        if let Some(mistake) = self.not_a_number("search_sorted", site) {
            return mistake;
        }
        self.graph().push(Op::SearchSorted, vec![self.id(), queries.id()], to, DType::U32, site)
    }

    /// `places` places shared out among these weights `[n]`, none negative: which weight owns each place, `U32 [places]`.
    ///
    /// Lay the weights out one after the other on a line of length `places`, so that each takes up its *quota*, `places`
    /// times its part of the sum. Place `j` is the point `j + offsets[j]`, offsets in `(0, 1)`; one number serves all places
    /// alike. A place goes to the weight on which it lies, and a place on a boundary to the weight that ends there.
    ///
    /// With one offset for all places, a weight owns `floor` or `ceil` of its quota, exactly, whatever the rounding of sums;
    /// a weight of 0 owns nothing, and one below `2^-126` may count as 0. If all weights are 0, or there is one that is no number, owners are in range and mean
    /// nothing. `places` is below `2^30`. Piecewise constant: the derivative is zero.
    ///
    /// # Accuracy
    /// A quota `q` counts as the integer next to it if it is that close to it as its rounding, `2^-30 + q 2^-36`, and is
    /// otherwise rounded to `2^-32`. Boundaries move by the sum of these. Derived in `kernels::apportion`.
    ///
    /// ```
    /// # use ergodic::graph::{Feeds, Graph};
    /// # fn main() -> ergodic::Result<()> {
    /// let g = Graph::new();
    /// let owners = g.input("w", [4]).apportion(5, g.constant(0.5));
    /// // Quotas 1, 2.5, 0, 1.5; places at 0.5, 1.5, 2.5, 3.5, 4.5.
    /// let got = g.eval_f64(&[owners], &Feeds::new().tensor("w", &[2.0, 5.0, 0.0, 3.0]))?;
    /// assert_eq!(got[0].data, [0.0, 1.0, 1.0, 1.0, 3.0]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn apportion(self, places: usize, offsets: Var<'g>) -> Var<'g> {
        let (from, at, site) = (self.shape(), offsets.shape(), Location::caller());
        if self.is_invalid() || offsets.is_invalid() {
            return if self.is_invalid() { self } else { offsets };
        }
        let shapes = from.len() == 1 && (at.is_empty() || at[..] == [places]);
        if !shapes || self.dtype() != DType::F32 || offsets.dtype() != DType::F32 {
            let got = format!("{from} {:?} and offsets {at} {:?} for {places} places", self.dtype(), offsets.dtype());
            return self.mismatch("apportion", got, "F32 [n] and offsets F32 [] or [places]".into(), site);
        }
        if (from[0] == 0 && places > 0) || places >= MOST_PLACES {
            let want = format!("a weight or more, and fewer than {MOST_PLACES} places");
            return self.mismatch("apportion", format!("{} weights and {places} places", from[0]), want, site);
        }
        self.graph().push(Op::Apportion, vec![self.id(), offsets.id()], [places].into(), DType::U32, site)
    }

    /// Matrix product of `[n, k]` and `[k, m]`.
    #[track_caller]
    pub fn matmul(self, other: Var<'g>) -> Var<'g> {
        let (a, b, site, dtype) = (self.shape(), other.shape(), Location::caller(), self.dtype());
        if self.is_invalid() || other.is_invalid() {
            return if self.is_invalid() { self } else { other };
        }
        if dtype != DType::F32 || other.dtype() != DType::F32 {
            let got = format!("{dtype:?} times {:?}", other.dtype());
            return self.mismatch("matmul", got, "F32 times F32; convert with .cast()".into(), site);
        }
        if a.len() != 2 || b.len() != 2 || a[1] != b[0] {
            let want = "[n, k] times [k, m], F32; did you mean .t() of one of them".into();
            return self.mismatch("matmul", format!("{a} times {b}"), want, site);
        }
        self.graph().push(Op::MatMul, vec![self.id(), other.id()], [a[0], b[1]].into(), dtype, site)
    }

    /// Sum of shifted copies over the trailing axes.
    #[track_caller]
    pub fn stencil(self, taps: &[Tap], boundary: Boundary) -> Var<'g> {
        let (shape, site, dtype) = (self.shape(), Location::caller(), self.dtype());
        let rank = taps.first().map_or(0, |tap| tap.offset.len());
        if taps.is_empty() || rank == 0 || rank > shape.len() || taps.iter().any(|tap| tap.offset.len() != rank) {
            let want = format!("at least one tap, all of one rank in 1..={}", shape.len());
            return self.mismatch("stencil", format!("taps of rank {rank} on {shape}"), want, site);
        }
        if dtype != DType::F32 {
            return self.mismatch("stencil", format!("{dtype:?}"), "F32; convert with .cast()".into(), site);
        }
        self.graph().push(Op::Stencil { taps: taps.into(), boundary }, vec![self.id()], shape, dtype, site)
    }
}

/// Quotas are fixed-point numbers with 32 bits before the point, and two bits are kept free.
const MOST_PLACES: usize = 1 << 30;

/// One axis or several.
pub trait Axes {
    /// As a list.
    fn axes(self) -> Vec<usize>;
}

impl Axes for usize {
    fn axes(self) -> Vec<usize> {
        vec![self]
    }
}

impl<const N: usize> Axes for [usize; N] {
    fn axes(self) -> Vec<usize> {
        self.to_vec()
    }
}

impl Axes for Vec<usize> {
    fn axes(self) -> Vec<usize> {
        self
    }
}
