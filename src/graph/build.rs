//! Making nodes: hash-consing, and the algebra that happens as a node is made.

use super::{Binary, DType, Graph, Inner, Node, NodeId, Op, Shape, Unary, Var, binary_f64, compare_f64, unary_f64};
use crate::error::Site;
use std::rc::Rc;

impl Graph {
    /// The node for this operation: an existing one, a simpler one of equal value, or a new one.
    ///
    /// The caller has checked the shapes; the methods of [`Var`] do.
    pub(crate) fn push(&self, mut op: Op, mut args: Vec<NodeId>, shape: Shape, dtype: DType, site: Site) -> Var<'_> {
        let mut inner = self.inner.borrow_mut();
        let site = inner.site.unwrap_or(site);
        if args.iter().any(|&a| matches!(inner.nodes[a.index()].op, Op::Invalid)) {
            let id = inner.intern(Op::Invalid, vec![], Shape::default(), DType::F32, site);
            return Var::new(self, id);
        }
        let id = loop {
            if matches!(op, Op::Binary(f) if f.commutes()) {
                // Constants last, so that the same expression in two graphs is the same text.
                args.sort_unstable_by_key(|&arg| (inner.constant(arg).is_some(), arg));
            }
            match inner.simplify(&op, &args, &shape, dtype) {
                Some(Simpler::Same(id)) => break id,
                Some(Simpler::Full(value)) => break inner.full(value, shape, dtype, site),
                Some(Simpler::Other(other, of)) => (op, args) = (other, of), // it may be simpler still
                None => break inner.intern(op, args, shape, dtype, site),
            }
        };
        Var::new(self, id)
    }

    /// The value of a node that is one constant everywhere.
    pub(crate) fn constant_value(&self, id: NodeId) -> Option<f64> {
        self.inner.borrow().constant(id)
    }
}

/// What a node can be replaced by.
enum Simpler {
    Same(NodeId),
    Full(f64),
    Other(Op, Vec<NodeId>),
}

impl Inner {
    fn intern(&mut self, op: Op, args: Vec<NodeId>, shape: Shape, dtype: DType, site: Site) -> NodeId {
        let key = (op, args, shape, dtype);
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        let id = NodeId(self.nodes.len() as u32);
        let (op, args, shape, dtype) = key.clone();
        self.nodes.push(Rc::new(Node { op, args, shape, dtype, site }));
        self.ids.insert(key, id);
        id
    }

    fn full(&mut self, value: f64, shape: Shape, dtype: DType, site: Site) -> NodeId {
        let scalar = self.intern(Op::Const(value.to_bits()), vec![], Shape::default(), dtype, site);
        if shape.is_empty() { scalar } else { self.intern(Op::Broadcast, vec![scalar], shape, dtype, site) }
    }

    fn constant(&self, id: NodeId) -> Option<f64> {
        match &*self.nodes[id.index()] {
            Node { op: Op::Const(bits), .. } => Some(f64::from_bits(*bits)),
            Node { op: Op::Broadcast, args, .. } => self.constant(args[0]),
            _ => None,
        }
    }

    fn simplify(&self, op: &Op, args: &[NodeId], shape: &Shape, dtype: DType) -> Option<Simpler> {
        let arg = |i: usize| &self.nodes[args[i].index()];
        let value = |i: usize| self.constant(args[i]);
        match op {
            Op::Unary(f) => match (value(0), &arg(0).op) {
                (Some(x), _) => Some(Simpler::Full(unary_f64(*f, x))),
                (_, Op::Unary(Unary::Neg)) if *f == Unary::Neg => Some(Simpler::Same(arg(0).args[0])),
                _ => None,
            },
            Op::Binary(f) => self.simplify_binary(*f, args, dtype),
            Op::Compare(f) => Some(Simpler::Full(f64::from(u8::from(compare_f64(*f, value(0)?, value(1)?))))),
            Op::Select => match value(0) {
                Some(c) => Some(Simpler::Same(args[if c != 0.0 { 1 } else { 2 }])),
                None => (args[1] == args[2]).then_some(Simpler::Same(args[1])),
            },
            Op::Cast if arg(0).dtype == dtype => Some(Simpler::Same(args[0])),
            Op::Cast => {
                let x = value(0)?;
                Some(Simpler::Full(super::scalar::cast_f64(x, dtype)))
            }
            Op::Sum { axes } if axes.is_empty() => Some(Simpler::Same(args[0])),
            Op::Max { axes } if axes.is_empty() => Some(Simpler::Same(args[0])),
            Op::Sum { .. } => {
                let repeats = arg(0).shape.numel() as f64 / shape.numel().max(1) as f64;
                value(0).map(|x| Simpler::Full(x * repeats))
            }
            Op::Max { .. } if arg(0).shape.numel() > 0 => value(0).map(Simpler::Full),
            Op::Reshape | Op::Permute(_) | Op::Broadcast | Op::Slice(_) | Op::Pad(_) | Op::StopGrad => {
                self.simplify_view(op, args, shape)
            }
            Op::Concat { .. } if args.len() == 1 => Some(Simpler::Same(args[0])),
            Op::MatMul | Op::Stencil { .. } | Op::ScatterAdd => {
                // The second argument of scatter_add is where, not what.
                let factors = if matches!(op, Op::ScatterAdd) { &args[..1] } else { args };
                let zero = factors.iter().any(|&a| self.constant(a) == Some(0.0));
                zero.then_some(Simpler::Full(0.0))
            }
            Op::Gather => value(0).map(Simpler::Full),
            Op::Tridiagonal { .. } => (value(3) == Some(0.0)).then_some(Simpler::Full(0.0)),
            _ => None,
        }
    }

    fn simplify_binary(&self, f: Binary, args: &[NodeId], dtype: DType) -> Option<Simpler> {
        let (a, b) = (args[0], args[1]);
        let (x, y) = (self.constant(a), self.constant(b));
        if let (Some(x), Some(y)) = (x, y) {
            return Some(Simpler::Full(binary_f64(f, x, y, dtype)));
        }
        let is = |v: Option<f64>, c: f64| v == Some(c);
        let float = dtype == DType::F32;
        let negated = |id: NodeId| match &*self.nodes[id.index()] {
            Node { op: Op::Unary(Unary::Neg), args, .. } => Some(args[0]),
            _ => None,
        };
        match f {
            Binary::Add if is(x, 0.0) => Some(Simpler::Same(b)),
            Binary::Add | Binary::Sub if is(y, 0.0) => Some(Simpler::Same(a)),
            Binary::Add => match (negated(a), negated(b)) {
                (_, Some(b)) => Some(Simpler::Other(Op::Binary(Binary::Sub), vec![a, b])),
                (Some(a), _) => Some(Simpler::Other(Op::Binary(Binary::Sub), vec![b, a])),
                _ => None,
            },
            Binary::Sub if float && is(x, 0.0) => Some(Simpler::Other(Op::Unary(Unary::Neg), vec![b])),
            Binary::Sub if a == b => Some(Simpler::Full(0.0)),
            Binary::Mul if is(x, 0.0) || is(y, 0.0) => Some(Simpler::Full(0.0)),
            Binary::Mul if is(x, 1.0) => Some(Simpler::Same(b)),
            Binary::Mul | Binary::Div | Binary::Pow if is(y, 1.0) => Some(Simpler::Same(a)),
            Binary::Mul if float && is(x, -1.0) => Some(Simpler::Other(Op::Unary(Unary::Neg), vec![b])),
            Binary::Mul if float && is(y, -1.0) => Some(Simpler::Other(Op::Unary(Unary::Neg), vec![a])),
            Binary::Div if is(x, 0.0) => Some(Simpler::Full(0.0)),
            Binary::Pow if is(y, 2.0) => Some(Simpler::Other(Op::Binary(Binary::Mul), vec![a, a])),
            Binary::Pow if is(y, 0.5) => Some(Simpler::Other(Op::Unary(Unary::Sqrt), vec![a])),
            Binary::Pow if is(y, 0.0) => Some(Simpler::Full(1.0)),
            Binary::Min | Binary::Max if a == b => Some(Simpler::Same(a)),
            _ => None,
        }
    }

    fn simplify_view(&self, op: &Op, args: &[NodeId], shape: &Shape) -> Option<Simpler> {
        let arg = &self.nodes[args[0].index()];
        let unchanged = match op {
            Op::Permute(perm) => perm.iter().enumerate().all(|(i, &p)| i == p),
            Op::StopGrad => false,
            _ => arg.shape == *shape,
        };
        if unchanged {
            return Some(Simpler::Same(args[0]));
        }
        // Padding puts zeros around a constant, so only a zero stays constant.
        let constant = self.constant(args[0]).filter(|&x| x == 0.0 || !matches!(op, Op::Pad(_)));
        // A broadcast of a scalar constant is the canonical form already.
        let canonical = matches!(op, Op::Broadcast) && arg.shape.is_empty();
        if let (Some(x), false) = (constant, canonical) {
            return Some(Simpler::Full(x));
        }
        match (op, &arg.op) {
            (Op::Reshape, Op::Reshape) if self.nodes[arg.args[0].index()].shape == *shape => {
                Some(Simpler::Same(arg.args[0]))
            }
            (Op::Reshape, Op::Reshape) | (Op::Broadcast, Op::Broadcast) => {
                Some(Simpler::Other(op.clone(), arg.args.clone()))
            }
            (Op::Permute(outer), Op::Permute(inner)) => {
                let perm: Vec<_> = outer.iter().map(|&i| inner[i]).collect();
                let identity = perm.iter().enumerate().all(|(i, &p)| i == p);
                let source = arg.args.clone();
                Some(if identity { Simpler::Same(source[0]) } else { Simpler::Other(Op::Permute(perm), source) })
            }
            (Op::Slice(outer), Op::Slice(inner)) => {
                let start = outer.iter().zip(inner).map(|(a, b)| a + b).collect();
                Some(Simpler::Other(Op::Slice(start), arg.args.clone()))
            }
            _ => None,
        }
    }
}
