//! Operations that move elements without changing them.

use super::Arg;
use crate::graph::Shape;

/// Call `visit` with `start + sum_k i_k strides[k]` for every index of the box, in row-major order.
pub(super) fn walk(shape: &[usize], strides: &[usize], start: usize, mut visit: impl FnMut(usize)) {
    if shape.contains(&0) {
        return;
    }
    let (mut index, mut at) = (vec![0; shape.len()], start);
    loop {
        visit(at);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

fn pick(data: &[f64], shape: &[usize], strides: &[usize], start: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(shape.iter().product());
    walk(shape, strides, start, |at| out.push(data[at]));
    out
}

fn corner(start: &[usize], strides: &[usize]) -> usize {
    start.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

pub(super) fn iota(axis: usize, shape: &Shape) -> Vec<f64> {
    let mut along = vec![0; shape.len()];
    along[axis] = 1;
    let mut out = Vec::with_capacity(shape.numel());
    walk(shape, &along, 0, |i| out.push(i as f64));
    out
}

pub(super) fn permute(data: &[f64], from: &Shape, perm: &[usize]) -> Vec<f64> {
    let strides = from.strides();
    let to: Vec<_> = perm.iter().map(|&axis| from[axis]).collect();
    let along: Vec<_> = perm.iter().map(|&axis| strides[axis]).collect();
    pick(data, &to, &along, 0)
}

pub(super) fn broadcast(data: &[f64], from: &Shape, to: &Shape) -> Vec<f64> {
    let strides = from.strides();
    let new = to.len() - from.len();
    let along = |axis: usize| if axis < new || from[axis - new] == 1 { 0 } else { strides[axis - new] };
    pick(data, to, &(0..to.len()).map(along).collect::<Vec<_>>(), 0)
}

pub(super) fn slice(data: &[f64], from: &Shape, start: &[usize], to: &Shape) -> Vec<f64> {
    let strides = from.strides();
    pick(data, to, &strides, corner(start, &strides))
}

pub(super) fn pad(data: &[f64], from: &Shape, start: &[usize], to: &Shape) -> Vec<f64> {
    let (strides, mut out) = (to.strides(), vec![0.0; to.numel()]);
    let mut source = data.iter();
    walk(from, &strides, corner(start, &strides), |at| {
        if let Some(&x) = source.next() {
            out[at] = x;
        }
    });
    out
}

pub(super) fn concat(parts: &[Arg<'_>], axis: usize) -> Vec<f64> {
    let outer: usize = parts.first().map_or(0, |part| part.shape[..axis].iter().product());
    let mut out = Vec::new();
    for i in 0..outer {
        for part in parts {
            let len: usize = part.shape[axis..].iter().product();
            out.extend_from_slice(&part.data[i * len..(i + 1) * len]);
        }
    }
    out
}
