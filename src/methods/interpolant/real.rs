//! Formulas of time that are written once, for numbers and for nodes of a graph.

use crate::graph::Var;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number, or a node that stands for many: what a schedule is a function of.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
{
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Logistic function.
    fn sigmoid(self) -> Self;
    /// The larger of this and a number.
    fn at_least(self, least: f64) -> Self;
    /// `yes` where this is below a number, elsewhere `no`.
    fn if_below(self, limit: f64, yes: Self, no: Self) -> Self;

    /// This number wherever `self` has elements.
    fn fill(self, value: f64) -> Self;

    /// `self * self`.
    fn squared(self) -> Self {
        self * self
    }
}

impl Real for f64 {
    fn sin(self) -> Self {
        f64::sin(self)
    }

    fn cos(self) -> Self {
        f64::cos(self)
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn sigmoid(self) -> Self {
        0.5 + 0.5 * (0.5 * self).tanh()
    }

    fn at_least(self, least: f64) -> Self {
        self.max(least)
    }

    fn if_below(self, limit: f64, yes: Self, no: Self) -> Self {
        if self < limit { yes } else { no }
    }

    fn fill(self, value: f64) -> Self {
        value
    }
}

impl<'g> Real for Var<'g> {
    fn sin(self) -> Self {
        Var::sin(self)
    }

    fn cos(self) -> Self {
        Var::cos(self)
    }

    fn exp(self) -> Self {
        Var::exp(self)
    }

    fn sqrt(self) -> Self {
        Var::sqrt(self)
    }

    fn sigmoid(self) -> Self {
        Var::sigmoid(self)
    }

    fn at_least(self, least: f64) -> Self {
        self.max(least)
    }

    fn if_below(self, limit: f64, yes: Self, no: Self) -> Self {
        self.lt(limit).select(yes, no)
    }

    fn fill(self, value: f64) -> Self {
        self.graph().full(value, self.shape())
    }
}
