//! `eval_f64`: the reference meaning of every operation. (interface; body follows)

use super::{DType, Graph, Shape, Var};
use crate::error::Result;
use std::collections::HashMap;

/// A dense array in f64, row-major. `U32` and `Bool` elements are held exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Axis lengths.
    pub shape: Shape,
    /// Element type that it stands for.
    pub dtype: DType,
    /// Elements.
    pub data: Vec<f64>,
}

/// What [`Graph::eval_f64`] computes from: tensors and keys by input name, and the step.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    pub(crate) tensors: HashMap<String, Vec<f64>>,
    pub(crate) keys: HashMap<String, crate::random::RngKey>,
    pub(crate) step: u32,
}

impl Graph {
    /// Interpret the graph in f64.
    ///
    /// # Errors
    /// The first mistake made while building; an input without a value, or of another size.
    pub fn eval_f64(&self, outputs: &[Var<'_>], feeds: &Feeds) -> Result<Vec<Value>> {
        let _ = (outputs, feeds);
        todo!()
    }
}
