//! What the element-wise operations mean, in f64. Constant folding and `eval_f64` share these.

use super::{Binary, Compare, DType, Unary};

/// The f64 meaning of a function of one argument.
pub fn unary_f64(f: Unary, x: f64) -> f64 {
    match f {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Recip => 1.0 / x,
        Unary::Floor => x.floor(),
        Unary::Erf => libm::erf(x),
        Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Unary::Not => f64::from(u8::from(x == 0.0)),
    }
}

/// The f64 meaning of a function of two arguments. Arithmetic on `U32` wraps, and its division truncates.
pub fn binary_f64(f: Binary, a: f64, b: f64, dtype: DType) -> f64 {
    if dtype == DType::U32 {
        return f64::from(binary_u32(f, a as u32, b as u32));
    }
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow => a.powf(b),
    }
}

fn binary_u32(f: Binary, a: u32, b: u32) -> u32 {
    match f {
        Binary::Add => a.wrapping_add(b),
        Binary::Sub => a.wrapping_sub(b),
        Binary::Mul => a.wrapping_mul(b),
        Binary::Div => a.checked_div(b).unwrap_or(a), // WGSL: division by zero gives the dividend
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow => a.wrapping_pow(b),
    }
}

/// The f64 meaning of a comparison.
pub fn compare_f64(f: Compare, a: f64, b: f64) -> bool {
    match f {
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Eq => a == b,
    }
}

/// The f64 meaning of a conversion.
pub(super) fn cast_f64(x: f64, to: DType) -> f64 {
    match to {
        DType::F32 | DType::Key => x,
        DType::U32 => f64::from(x as u32),
        DType::Bool => f64::from(u8::from(x != 0.0)),
    }
}
