//! Methods: one module a family of papers, each made of the graphs, plans and dynamics below it.

pub mod action;
pub mod ebm;
pub mod interpolant;
