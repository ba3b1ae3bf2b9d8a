//! Index arithmetic: where an element lies, as a sum of multiples of symbols.
//!
//! A view (reshape, permute, slice, ...) costs nothing in generated code because it only rewrites indices. Indices are
//! affine forms over symbols of known range, so that `(4 q + 1) / 4` is `q` before any WGSL is written.

use std::collections::BTreeMap;

/// A name in generated code that stands for an index in `0..extent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sym(pub(super) u32);

/// What is known about a symbol.
#[derive(Clone, Debug)]
pub struct SymInfo {
    /// Its name in WGSL.
    pub name: String,
    /// One more than its largest value.
    pub extent: usize,
    /// The scope in which it is defined; see [`Emitter`](super::Emitter).
    pub level: usize,
}

/// `constant + sum of coefficient * symbol`, never negative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Affine {
    terms: BTreeMap<Sym, usize>,
    constant: usize,
}

impl Affine {
    /// A number.
    pub fn constant(value: usize) -> Self {
        Affine { terms: BTreeMap::new(), constant: value }
    }

    /// A symbol.
    pub fn symbol(sym: Sym) -> Self {
        Affine { terms: BTreeMap::from([(sym, 1)]), constant: 0 }
    }

    /// The number, if there is no symbol in it.
    pub fn as_constant(&self) -> Option<usize> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// The sum of two.
    pub fn plus(&self, other: &Affine) -> Self {
        let mut sum = self.clone();
        sum.constant += other.constant;
        for (&sym, &c) in &other.terms {
            *sum.terms.entry(sym).or_insert(0) += c;
        }
        sum
    }

    /// This plus a number.
    pub fn offset(&self, by: usize) -> Self {
        Affine { terms: self.terms.clone(), constant: self.constant + by }
    }

    /// This times a number.
    pub fn times(&self, factor: usize) -> Self {
        if factor == 0 {
            return Affine::default();
        }
        let terms = self.terms.iter().map(|(&s, &c)| (s, c * factor)).collect();
        Affine { terms, constant: self.constant * factor }
    }

    /// One more than the largest value.
    pub fn extent(&self, info: &[SymInfo]) -> usize {
        let top = |(s, c): (&Sym, &usize)| c * (info[s.0 as usize].extent.max(1) - 1);
        self.terms.iter().map(top).sum::<usize>() + self.constant + 1
    }

    /// The scopes of all symbols in it: what a statement with it reads.
    pub fn levels(&self, info: &[SymInfo]) -> Vec<usize> {
        self.terms.keys().map(|s| info[s.0 as usize].level).collect()
    }

    /// Quotient and remainder by `divisor`, where they are affine themselves.
    pub fn div_rem(&self, divisor: usize, info: &[SymInfo]) -> Option<(Affine, Affine)> {
        let (mut quotient, mut rest) = (Affine::default(), Affine::default());
        for (&sym, &c) in &self.terms {
            let part = if c % divisor == 0 { &mut quotient } else { &mut rest };
            part.terms.insert(sym, if c % divisor == 0 { c / divisor } else { c });
        }
        quotient.constant = self.constant / divisor;
        rest.constant = self.constant % divisor;
        (rest.extent(info) <= divisor).then_some((quotient, rest))
    }

    /// As a WGSL expression of type `u32`.
    pub fn wgsl(&self, info: &[SymInfo]) -> String {
        let term = |(s, c): (&Sym, &usize)| match c {
            1 => info[s.0 as usize].name.clone(),
            c => format!("{c}u*{}", info[s.0 as usize].name),
        };
        let mut parts: Vec<_> = self.terms.iter().map(term).collect();
        if self.constant > 0 || parts.is_empty() {
            parts.push(format!("{}u", self.constant));
        }
        parts.join(" + ")
    }
}

/// Row-major position of an element in a box of this shape.
pub fn flatten(idx: &[Affine], shape: &[usize]) -> Affine {
    idx.iter().zip(shape).fold(Affine::default(), |flat, (i, &n)| flat.times(n).plus(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Vec<SymInfo> {
        let info = |name: &str, extent| SymInfo { name: name.into(), extent, level: 0 };
        vec![info("i", 1000), info("q", 32)]
    }

    #[test]
    fn division_is_exact_where_ranges_prove_it() {
        let info = symbols();
        let (i, q) = (Affine::symbol(Sym(0)), Affine::symbol(Sym(1)));
        let flat = flatten(&[i.clone(), q.times(4).offset(3)], &[1000, 128]);
        assert_eq!(flat.wgsl(&info), "128u*i + 4u*q + 3u");
        assert_eq!(flat.div_rem(128, &info), Some((i.clone(), q.times(4).offset(3))));
        assert_eq!(flat.div_rem(4, &info), Some((i.times(32).plus(&q), Affine::constant(3))));
        assert_eq!(i.div_rem(10, &info), None, "i / 10 is not affine");
    }
}
