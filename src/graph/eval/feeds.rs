//! What a graph is computed from in f64.

use super::Value;
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::random::RngKey;
use std::collections::HashMap;
use std::rc::Rc;

/// What [`Graph::eval_f64`](crate::graph::Graph::eval_f64) computes from: tensors and keys by input name, and the step.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    tensors: HashMap<String, Rc<Vec<f64>>>,
    keys: HashMap<String, RngKey>,
    pub(super) step: u32,
}

/// Data for an input: numbers in a slice, a borrowed array or a vector, or one number for a scalar.
pub trait Feed {
    /// As f64.
    fn into_f64(self) -> Vec<f64>;
}

/// A number that an input can hold.
pub trait Element: Copy {
    /// As f64, exactly.
    fn to_f64(self) -> f64;
}

macro_rules! elements {
    ($($number:ty),*) => {$(
        impl Element for $number {
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
        impl Feed for $number {
            fn into_f64(self) -> Vec<f64> {
                vec![f64::from(self)]
            }
        }
    )*};
}
elements!(f64, f32, u32, bool);

impl<T: Element> Feed for &[T] {
    fn into_f64(self) -> Vec<f64> {
        self.iter().map(|x| x.to_f64()).collect()
    }
}

impl<T: Element> Feed for Vec<T> {
    fn into_f64(self) -> Vec<f64> {
        self.as_slice().into_f64()
    }
}

impl<T: Element> Feed for &Vec<T> {
    fn into_f64(self) -> Vec<f64> {
        self.as_slice().into_f64()
    }
}

impl<T: Element, const N: usize> Feed for &[T; N] {
    fn into_f64(self) -> Vec<f64> {
        self.as_slice().into_f64()
    }
}

impl Feeds {
    /// Nothing bound, step 0.
    pub fn new() -> Self {
        Feeds::default()
    }

    /// With this data for an input, row-major; it replaces what was there.
    #[must_use]
    pub fn tensor(mut self, name: &str, data: impl Feed) -> Self {
        self.set(name, data);
        self
    }

    /// With this key for a key input.
    #[must_use]
    pub fn key(mut self, name: &str, key: RngKey) -> Self {
        self.keys.insert(name.into(), key);
        self
    }

    /// With this step counter, which [`Graph::step`](crate::graph::Graph::step) and random draws read.
    #[must_use]
    pub fn step(mut self, step: u32) -> Self {
        self.step = step;
        self
    }

    /// Replace the data of an input.
    pub fn set(&mut self, name: &str, data: impl Feed) {
        self.tensors.insert(name.into(), Rc::new(data.into_f64()));
    }

    /// The data of an input.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.tensors.get(name).map(|data| data.as_slice())
    }

    /// The step counter.
    pub fn at_step(&self) -> u32 {
        self.step
    }

    /// Go to the next step: values whose names are bound here replace what was bound, others are ignored, and the
    /// step counter goes up by one.
    pub fn advance<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, &'a Value)>) {
        for (name, value) in values {
            if let Some(bound) = self.tensors.get_mut(name) {
                *bound = Rc::new(value.data.clone());
            }
        }
        self.step = self.step.wrapping_add(1);
    }

    pub(super) fn input_data(&self, name: &str, node: &Node) -> Result<Rc<Vec<f64>>> {
        let data = self.tensors.get(name).ok_or_else(|| self.unbound(name, &node.shape, self.tensors.keys()))?;
        if data.len() != node.shape.numel() {
            let got = format!("{} elements for `{name}`", data.len());
            let want = format!("{} elements, shape {}", node.shape.numel(), node.shape);
            return Err(Error::Shape { op: "input", got, want, at: Some(node.site) });
        }
        Ok(data.clone())
    }

    pub(super) fn input_key(&self, name: &str) -> Result<RngKey> {
        self.keys.get(name).copied().ok_or_else(|| self.unbound(name, &[], self.keys.keys()))
    }

    fn unbound<'a>(&self, name: &str, shape: &[usize], bound: impl Iterator<Item = &'a String>) -> Error {
        let mut bound: Vec<_> = bound.cloned().collect();
        bound.sort_unstable();
        Error::UnboundInput { name: name.into(), shape: shape.to_vec(), bound }
    }
}
