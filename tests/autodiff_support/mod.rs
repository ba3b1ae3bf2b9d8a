//! What the tests of derivatives share: seeded numbers, evaluation by input name, and inner products.
#![allow(dead_code)] // each test file uses its part

use ergodic::graph::{Feeds, Graph, Op, Var};

/// SplitMix64: uniform numbers that depend on nothing but the seed.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    pub fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn vec(&mut self, n: usize, lo: f64, hi: f64) -> Vec<f64> {
        (0..n).map(|_| self.uniform(lo, hi)).collect()
    }
}

/// Inputs of a graph by name.
pub type Point = Vec<(String, Vec<f64>)>;

pub fn point<const N: usize>(inputs: [(&str, &[f64]); N]) -> Point {
    inputs.iter().map(|(name, data)| (name.to_string(), data.to_vec())).collect()
}

/// Values of some nodes at a point.
pub fn values(outputs: &[Var], at: &Point) -> Vec<Vec<f64>> {
    let feeds = at.iter().fold(Feeds::new(), |feeds, (name, data)| feeds.tensor(name, data));
    let got = outputs[0].graph().eval_f64(outputs, &feeds).unwrap_or_else(|e| panic!("{e}"));
    got.into_iter().map(|v| v.data).collect()
}

pub fn value(output: Var, at: &Point) -> Vec<f64> {
    values(&[output], at).remove(0)
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sum of the sizes of an inner product's terms: what its rounding error is relative to.
pub fn dot_scale(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

#[track_caller]
pub fn assert_close(got: &[f64], want: &[f64], relative: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let bound = relative * scale.max(f64::MIN_POSITIVE);
        assert!((g - w).abs() <= bound, "{what}: element {i} is {g}, want {w} within {bound:e}");
    }
}

/// How many nodes of a kind some outputs need.
pub fn count(outputs: &[Var], is_kind: impl Fn(&Op) -> bool) -> usize {
    let g: &Graph = outputs[0].graph();
    let ids: Vec<_> = outputs.iter().map(|v| v.id()).collect();
    g.reachable(&ids).into_iter().filter(|&id| is_kind(&g.node(id).op)).count()
}

pub fn matmuls(outputs: &[Var]) -> usize {
    count(outputs, |op| matches!(op, Op::MatMul))
}
