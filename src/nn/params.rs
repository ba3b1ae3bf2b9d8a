//! Where each tensor lies in a flat parameter vector.

use crate::error::{Error, Result};
use crate::graph::{Shape, Var};
use std::ops::Range;
use std::panic::Location;

/// Elements that every tensor's start is a multiple of: 16 bytes, one `vec4`.
const ALIGN: usize = 4;

/// One tensor of a [`ParamLayout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name; `/` separates the parts of nested layouts.
    pub name: String,
    /// Axis lengths.
    pub shape: Shape,
    /// First element in the flat vector, a multiple of 4.
    pub start: usize,
}

impl Param {
    /// Its elements in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape.numel()
    }
}

/// Named tensors in one flat vector `[len]`.
///
/// Every tensor starts at a multiple of 4 elements and the length is one too, so that kernels load them as `vec4`. The
/// gaps belong to no tensor: nothing reads them, their gradients are zero.
///
/// ```
/// use ergodic::{graph::{Feeds, Graph}, nn::ParamLayout};
/// # fn main() -> ergodic::Result<()> {
/// let layout = ParamLayout::new().with("w", [2, 3])?.with("b", [3])?;
/// assert_eq!(layout.len(), 8 + 4); // 6 and 3, each rounded up to 4
/// let g = Graph::new();
/// let theta = g.input("theta", [layout.len()]);
/// let (w, b) = (layout.get(theta, "w")?, layout.get(theta, "b")?);
/// let y = g.input("x", [1, 2]).matmul(w) + b;
///
/// let mut start = vec![0f32; layout.len()];
/// layout.view_mut(&mut start, "b")?.fill(1.0);
/// let feeds = Feeds::new().tensor("theta", &start).tensor("x", &[5.0, 6.0]);
/// assert_eq!(g.eval_f64(&[y], &feeds)?[0].data, [1.0; 3]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamLayout {
    params: Vec<Param>,
    len: usize,
}

impl ParamLayout {
    /// Without parameters.
    pub fn new() -> Self {
        ParamLayout::default()
    }

    /// With one more tensor at the end.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the name is taken, or has a `/`, which is for [`nest`](Self::nest).
    pub fn with(mut self, name: &str, shape: impl Into<Shape>) -> Result<Self> {
        let taken = self.params.iter().any(|param| param.name == name);
        if taken || name.contains('/') {
            let got = if taken { format!("`{name}` twice") } else { format!("`{name}`") };
            return Err(Error::Invalid { what: "a parameter's name", got, want: "unique, and without `/`" });
        }
        self.push(name.into(), shape.into());
        Ok(self)
    }

    /// With all tensors of another layout at the end, named `part/..`. They lie together: see [`part`](Self::part).
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is a part of this name.
    pub fn nest(mut self, part: &str, inner: &ParamLayout) -> Result<Self> {
        if self.params.iter().any(|param| in_part(param, part)) {
            return Err(Error::Invalid { what: "a part's name", got: format!("`{part}` twice"), want: "unique" });
        }
        for param in &inner.params {
            self.push(format!("{part}/{}", param.name), param.shape.clone());
        }
        Ok(self)
    }

    pub(super) fn push(&mut self, name: String, shape: Shape) {
        let start = self.len;
        let room = shape.numel().checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX);
        self.len = self.len.saturating_add(room);
        self.params.push(Param { name, shape, start });
    }

    /// Elements of the flat vector, a multiple of 4.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of parameters, gaps not counted.
    pub fn n_params(&self) -> usize {
        self.params.iter().fold(0, |n: usize, param| n.saturating_add(param.shape.numel()))
    }

    /// The tensors, in order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The tensor of this name out of `theta [len]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name; [`Error::Shape`] if `theta` has another shape.
    #[track_caller]
    pub fn get<'g>(&self, theta: Var<'g>, name: &str) -> Result<Var<'g>> {
        let param = self.find(name)?;
        self.fits(theta)?;
        Ok(theta.narrow(0, param.start, param.shape.numel()).reshape(&param.shape))
    }

    /// The flat vector of a nested layout out of `theta [len]`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn part<'g>(&self, theta: Var<'g>, part: &str) -> Result<Var<'g>> {
        let mut inside = self.params.iter().filter(|param| in_part(param, part));
        let (Some(first), last) = (inside.next(), inside.next_back()) else { return Err(self.unknown(part)) };
        self.fits(theta)?;
        let end = last.unwrap_or(first).range().end.next_multiple_of(ALIGN);
        Ok(theta.narrow(0, first.start, end - first.start))
    }

    /// All tensors of `theta [len]` with their names.
    ///
    /// # Errors
    /// [`Error::Shape`] if `theta` has another shape.
    #[track_caller]
    pub fn unflatten<'g>(&self, theta: Var<'g>) -> Result<Vec<(&str, Var<'g>)>> {
        self.fits(theta)?;
        let tensor = |param: &Param| theta.narrow(0, param.start, param.shape.numel()).reshape(&param.shape);
        Ok(self.params.iter().map(|param| (param.name.as_str(), tensor(param))).collect())
    }

    /// The elements of one tensor in host data `[len]`, row-major.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name; [`Error::Shape`] for data of another length.
    pub fn view<'a, T>(&self, data: &'a [T], name: &str) -> Result<&'a [T]> {
        let range = self.find(name)?.range();
        data.get(range).filter(|_| data.len() == self.len).ok_or_else(|| self.misfit(&[data.len()].into(), None))
    }

    /// The elements of one tensor in host data `[len]`, to be written.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub fn view_mut<'a, T>(&self, data: &'a mut [T], name: &str) -> Result<&'a mut [T]> {
        let (range, len) = (self.find(name)?.range(), data.len());
        data.get_mut(range).filter(|_| len == self.len).ok_or_else(|| self.misfit(&[len].into(), None))
    }

    fn find(&self, name: &str) -> Result<&Param> {
        self.params.iter().find(|param| param.name == name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let names: Vec<_> = self.params.iter().map(|param| param.name.as_str()).collect();
        let got = format!("`{name}`, which is not among {}", names.join(", "));
        Error::Invalid { what: "a parameter's name", got, want: "one of the layout" }
    }

    #[track_caller]
    fn fits(&self, theta: Var<'_>) -> Result<()> {
        if theta.is_invalid() {
            theta.graph().check()?;
        }
        let shape = theta.shape();
        if *shape == [self.len] { Ok(()) } else { Err(self.misfit(&shape, Some(Location::caller()))) }
    }

    fn misfit(&self, got: &Shape, at: Option<crate::error::Site>) -> Error {
        let want = format!("[{}], the layout's length", self.len);
        Error::Shape { op: "parameters", got: got.to_string(), want, at }
    }
}

fn in_part(param: &Param, part: &str) -> bool {
    param.name.strip_prefix(part).is_some_and(|rest| rest.starts_with('/'))
}
