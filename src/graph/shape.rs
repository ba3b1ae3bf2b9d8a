//! Shapes and element types: what every node knows about its value before anything runs.

use std::fmt;

/// Element type of a node or tensor. All are 4 bytes wide on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DType {
    /// 32-bit float; its reference meaning is f64.
    F32,
    /// 32-bit unsigned integer, wrapping.
    U32,
    /// 0 or 1, stored as a `u32`.
    Bool,
    /// A random key: three `u32` (seed, stream). It has no elements of its own and lives in a plan's uniform block.
    Key,
}

impl DType {
    /// Bytes of one element in a storage buffer.
    pub const BYTES: u64 = 4;
}

/// Axis lengths, outermost first; row-major. Rank 0 is a scalar. Axis 0 is the walker wherever there are walkers.
#[derive(Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Number of elements; 1 for a scalar, 0 if any axis is empty, `usize::MAX` where it is no `usize`: no device holds that.
    pub fn numel(&self) -> usize {
        self.0.iter().fold(1, |n: usize, axis| n.saturating_mul(*axis))
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.0.len()];
        for axis in (1..self.0.len()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis];
        }
        strides
    }

    /// The shape that both broadcast to under the trailing-axis rule of NumPy, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.len().max(other.len());
        let axis = |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(1, |k| s.0[k]);
        (0..rank)
            .map(|i| match (axis(self, i), axis(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Shape)
    }

    /// This shape without the listed axes.
    pub fn without(&self, axes: &[usize]) -> Shape {
        Shape(self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &n)| n).collect())
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(axes: Vec<usize>) -> Self {
        Shape(axes)
    }
}

impl From<&[usize]> for Shape {
    fn from(axes: &[usize]) -> Self {
        Shape(axes.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(axes: [usize; N]) -> Self {
        Shape(axes.to_vec())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}
