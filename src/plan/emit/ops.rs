//! The operations that compute: element-wise functions, sums, products, indexing.

use super::{Affine, Emitter, Val};
use crate::graph::{Binary, Boundary, Compare, DType, Node, NodeId, Tap, Unary};
use crate::plan::spread::NARROW;

/// Rough cost of an element-wise function, in floating-point operations.
pub fn unary_flops(f: Unary) -> f64 {
    match f {
        Unary::Neg | Unary::Abs | Unary::Floor | Unary::Not => 1.0,
        Unary::Sqrt | Unary::Rsqrt | Unary::Recip => 4.0,
        _ => 15.0,
    }
}

/// Rough cost of an element-wise function of two arguments.
pub fn binary_flops(f: Binary) -> f64 {
    match f {
        Binary::Div => 4.0,
        Binary::Pow => 30.0,
        _ => 1.0,
    }
}

impl Emitter<'_> {
    pub(super) fn unary(&mut self, f: Unary, arg: NodeId, idx: &[Affine]) -> Val {
        let x = self.value(arg, idx);
        self.count(unary_flops(f));
        let expr = match f {
            Unary::Neg => format!("-{x}"),
            Unary::Not => format!("!{x}"),
            Unary::Recip => format!("1.0 / {x}"),
            Unary::Abs => format!("abs({x})"),
            Unary::Sqrt => format!("sqrt({x})"),
            Unary::Rsqrt => format!("inverseSqrt({x})"),
            Unary::Floor => format!("floor({x})"),
            other => format!("m_{}({x})", other.name()),
        };
        self.define(&expr, &[&x])
    }

    pub(super) fn binary(&mut self, f: Binary, node: &Node, idx: &[Affine]) -> Val {
        let (a, b) = (self.value(node.args[0], idx), self.value(node.args[1], idx));
        self.count(binary_flops(f));
        let expr = match f {
            Binary::Add => format!("{a} + {b}"),
            Binary::Sub => format!("{a} - {b}"),
            Binary::Mul => format!("{a} * {b}"),
            Binary::Div => format!("{a} / {b}"),
            Binary::Min => format!("min({a}, {b})"),
            Binary::Max => format!("max({a}, {b})"),
            Binary::Pow => format!("m_pow({a}, {b})"),
        };
        self.define(&expr, &[&a, &b])
    }

    pub(super) fn compare(&mut self, f: Compare, node: &Node, idx: &[Affine]) -> Val {
        let (a, b) = (self.value(node.args[0], idx), self.value(node.args[1], idx));
        self.count(1.0);
        let sign = match f {
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Eq => "==",
        };
        self.define(&format!("{a} {sign} {b}"), &[&a, &b])
    }

    pub(super) fn select(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let [c, yes, no] = [0, 1, 2].map(|i| self.value(node.args[i], idx));
        self.count(1.0);
        self.define(&format!("select({no}, {yes}, {c})"), &[&c, &yes, &no])
    }

    pub(super) fn cast(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let from = self.node(node.args[0]).dtype;
        let x = self.value(node.args[0], idx);
        let expr = match (from, node.dtype) {
            (DType::Bool, DType::U32) => format!("select(0u, 1u, {x})"),
            (DType::Bool, DType::F32) => format!("select(0.0, 1.0, {x})"),
            (DType::F32, DType::Bool) => format!("{x} != 0.0"),
            (DType::U32, DType::Bool) => format!("{x} != 0u"),
            (_, DType::U32) => format!("u32({x})"),
            _ => format!("f32({x})"),
        };
        self.define(&expr, &[&x])
    }

    pub(super) fn cumsum(&mut self, node: &Node, axis: usize, idx: &[Affine]) -> Val {
        let at = |r: Affine| {
            let mut at = idx.to_vec();
            at[axis] = r;
            at
        };
        if let Some(last) = idx[axis].as_constant() {
            return self.total(last + 1, node.dtype, |e, r| e.value(node.args[0], &at(r)));
        }
        let (limit, zero) = (self.wgsl(&idx[axis]), self.literal(0.0, node.dtype));
        let levels = idx[axis].levels(&self.syms);
        let limit = self.define_at(&limit, &levels);
        self.total(node.shape[axis], node.dtype, |e, r| {
            let x = e.value(node.args[0], &at(r.clone()));
            let (r_text, r_levels) = (e.wgsl(&r), r.levels(&e.syms));
            e.define_at(
                &format!("select({zero}, {x}, {r_text} <= {limit})"),
                &[r_levels, vec![x.level, limit.level]].concat(),
            )
        })
    }

    pub(super) fn gather(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let (table, index) = (node.args[0], node.args[1]);
        let rank = self.node(index).shape.len();
        let rows = self.node(table).shape[0];
        let at = self.value(index, &idx[..rank]);
        let row = self.opaque(format!("min({at}, {}u)", rows.saturating_sub(1)), rows, &[at.level]);
        let from: Vec<_> = [row].into_iter().chain(idx[rank..].iter().cloned()).collect();
        self.value(table, &from)
    }

    pub(super) fn scatter_add(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let (rows, index) = (node.args[0], node.args[1]);
        let target = {
            let (text, levels) = (self.wgsl(&idx[0]), idx[0].levels(&self.syms));
            self.define_at(&text, &levels)
        };
        let zero = self.literal(0.0, node.dtype);
        let (extent, last) = (self.node(index).shape[0], node.shape[0].saturating_sub(1));
        self.total(extent, node.dtype, |e, r| {
            let at = e.value(index, std::slice::from_ref(&r));
            let from: Vec<_> = [r].into_iter().chain(idx[1..].iter().cloned()).collect();
            let x = e.value(rows, &from);
            e.define(&format!("select({zero}, {x}, min({at}, {last}u) == {target})"), &[&x, &at, &target])
        })
    }

    pub(super) fn search_sorted(&mut self, node: &Node, idx: &[Affine]) -> Val {
        let (table, queries) = (node.args[0], node.args[1]);
        let m = self.node(table).shape[0];
        let query = self.value(queries, idx);
        let id = self.names;
        self.names += 1;
        let (lo, hi, k) = (format!("lo{id}"), format!("hi{id}"), format!("k{id}"));
        let rounds = usize::BITS - m.leading_zeros();
        self.turns += self.weight * f64::from(rounds);
        let level = self.open();
        let mid_name = format!("mid{id}");
        let middle = format!("let {mid_name} = min(({lo} + {hi}) / 2u, {}u);", m.saturating_sub(1));
        self.statement(level, &middle, &[]);
        let mid = self.symbol(&mid_name, m, level);
        let x = self.value(table, &[mid]);
        let below = format!("let below{id} = {lo} < {hi} && {x} < {query};");
        self.statement(level, &below, &[x.level, query.level]);
        self.statement(level, &format!("let next{id} = select(min({mid_name}, {hi}), {hi}, below{id});"), &[]);
        self.statement(level, &format!("{lo} = select({lo}, {mid_name} + 1u, below{id});"), &[]);
        self.statement(level, &format!("{hi} = next{id};"), &[]);
        let head = format!("var {lo} = 0u;\nvar {hi} = {m}u;\nfor (var {k} = 0u; {k} < {rounds}u; {k}++) {{");
        let at = self.close(&head, &[]);
        Val::new(lo, at)
    }

    pub(super) fn pad(&mut self, node: &Node, start: &[usize], idx: &[Affine]) -> Val {
        if let Some(val) = self.padded_column(node, start, idx) {
            return val;
        }
        let from = self.node(node.args[0]).shape.clone();
        let zero = self.literal(0.0, node.dtype);
        let (mut inside, mut levels, mut at) = (vec![], vec![], vec![]);
        for ((i, &lo), (&n, &full)) in idx.iter().zip(start).zip(from.iter().zip(node.shape.iter())) {
            if n == full {
                at.push(i.clone());
            } else if let Some(c) = i.as_constant() {
                let Some(c) = c.checked_sub(lo).filter(|&c| c < n) else { return zero };
                at.push(Affine::constant(c));
            } else {
                let (text, read) = (self.wgsl(i), i.levels(&self.syms));
                inside.push(format!("({text}) - {lo}u < {n}u"));
                at.push(self.opaque(format!("min(({text}) - {lo}u, {}u)", n.saturating_sub(1)), n, &read));
                levels.extend(read);
            }
        }
        if from.numel() == 0 {
            return zero;
        }
        let x = self.value(node.args[0], &at);
        if inside.is_empty() {
            return x;
        }
        levels.push(x.level);
        self.define_at(&format!("select({zero}, {x}, {})", inside.join(" && ")), &levels)
    }

    pub(super) fn concat(&mut self, node: &Node, axis: usize, idx: &[Affine]) -> Val {
        let mut parts = vec![];
        let mut start = 0;
        for &part in &node.args {
            let n = self.node(part).shape[axis];
            if n > 0 {
                parts.push((part, start, n));
            }
            start += n;
        }
        let mut at = idx.to_vec();
        if let Some(c) = idx[axis].as_constant() {
            let found = parts.iter().find(|(_, start, n)| (*start..start + n).contains(&c));
            let Some(&(part, start, _)) = found else { return self.literal(0.0, node.dtype) };
            at[axis] = Affine::constant(c - start);
            return self.value(part, &at);
        }
        if self.branches && node.shape.len() == 1 && parts.len() > 1 && self.level() == 0 {
            return self.in_branches(node.dtype, &parts, &idx[axis]);
        }
        let place = self.place_of_column(&node.shape, axis, &idx[axis]);
        let (text, read) = (self.wgsl(&idx[axis]), idx[axis].levels(&self.syms));
        let mut chosen: Option<Val> = None;
        for (part, start, n) in parts {
            if let Some(place) = place.filter(|_| n <= NARROW) {
                let before = chosen.unwrap_or_else(|| self.literal(0.0, node.dtype));
                chosen = Some(self.joined_columns(before, part, start, idx, place));
                continue;
            }
            at[axis] = self.place_in_part(&idx[axis], start, n);
            let x = self.value(part, &at);
            chosen = Some(match chosen {
                None => x,
                Some(before) => {
                    let levels = [&read[..], &[before.level, x.level]].concat();
                    self.define_at(&format!("select({before}, {x}, ({text}) >= {start}u)"), &levels)
                }
            });
        }
        chosen.unwrap_or_else(|| self.literal(0.0, node.dtype))
    }

    /// The element at a place of these parts, `(node, first place, places)`: each part is computed only where it is wanted.
    fn in_branches(&mut self, dtype: DType, parts: &[(NodeId, usize, usize)], place: &Affine) -> Val {
        let name = format!("v{}", self.names);
        self.names += 1;
        let (zero, text, levels) = (self.literal(0.0, dtype), self.wgsl(place), place.levels(&self.syms));
        self.statement(0, &format!("var {name} = {zero};"), &[]);
        let whole: usize = parts.iter().map(|(.., n)| n).sum();
        for &(part, start, n) in parts {
            let inside = format!("({text}) >= {start}u && ({text}) < {}u", start + n);
            self.apart(&inside, n as f64 / whole as f64, |e| {
                let at = e.opaque(format!("({text}) - {start}u"), n, &levels);
                let x = e.value(part, &[at]);
                e.statement(0, &format!("{name} = {x};"), &[]);
            });
        }
        Val::new(name, 0)
    }

    /// Where a place of a concatenation lies in the part that begins at `start`, clamped to its `n` places. Four neighbours that
    /// are one vector of the whole are one of the part, too, if it begins and ends with vectors.
    fn place_in_part(&mut self, place: &Affine, start: usize, n: usize) -> Affine {
        let levels = place.levels(&self.syms);
        let vectors = start.is_multiple_of(4) && n.is_multiple_of(4);
        let quad = place.div_rem(4, &self.syms).and_then(|(quad, lane)| Some((quad, lane.as_constant()?)));
        let inside = |text: &str, start: usize, n: usize| format!("min(({text}) - min({text}, {start}u), {}u)", n - 1);
        match quad.filter(|_| vectors) {
            Some((quad, lane)) => {
                let text = inside(&self.wgsl(&quad), start / 4, n / 4);
                self.opaque(text, n / 4, &levels).times(4).offset(lane)
            }
            None => {
                let text = inside(&self.wgsl(place), start, n);
                self.opaque(text, n, &levels)
            }
        }
    }

    pub(super) fn stencil(&mut self, node: &Node, taps: &[Tap], boundary: Boundary, idx: &[Affine]) -> Val {
        let terms: Vec<_> = taps.iter().map(|tap| self.tap(node, tap, boundary, idx)).collect();
        let mut sum: Option<Val> = None;
        for (tap, x) in taps.iter().zip(terms) {
            let weight = self.literal(tap.weight(), DType::F32);
            self.count(2.0);
            let expr = sum.as_ref().map_or(format!("{weight} * {x}"), |s| format!("{s} + {weight} * {x}"));
            let levels = [x.level, sum.as_ref().map_or(0, |s| s.level)];
            sum = Some(self.define_at(&expr, &levels));
        }
        sum.unwrap_or_else(|| self.literal(0.0, node.dtype))
    }

    fn tap(&mut self, node: &Node, tap: &Tap, boundary: Boundary, idx: &[Affine]) -> Val {
        if let Some(val) = self.neighbours.get(&(node.args[0], idx.to_vec(), tap.offset.clone())) {
            return val.clone();
        }
        let first = idx.len() - tap.offset.len();
        let (mut at, mut inside, mut levels) = (idx.to_vec(), vec![], vec![]);
        for (axis, &by) in (first..).zip(&tap.offset) {
            let n = node.shape[axis];
            if by == 0 || n == 0 {
                continue;
            }
            // Adding n - |by| instead of subtracting keeps everything unsigned.
            let ahead = by.rem_euclid(n as i32) as usize;
            let shifted = idx[axis].offset(ahead);
            let (text, read) = (self.wgsl(&idx[axis]), idx[axis].levels(&self.syms));
            if boundary == Boundary::Zero {
                let far = by.unsigned_abs() as usize >= n;
                inside.push(match by {
                    _ if far => "false".to_string(),
                    1.. => format!("{text} < {}u", n - by as usize),
                    _ => format!("{text} >= {}u", by.unsigned_abs()),
                });
                levels.extend(read);
            }
            at[axis] = self.div_rem(&shifted, n).1;
        }
        let x = self.value(node.args[0], &at);
        if inside.is_empty() {
            return x;
        }
        levels.push(x.level);
        self.define_at(&format!("select(0.0, {x}, {})", inside.join(" && ")), &levels)
    }
}
