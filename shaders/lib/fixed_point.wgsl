// Fixed point: a pair (low, high) of u32 with 32 bits before the point.
fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < b.x));
}
// u of [0, 1) in units of 2^-32, no less and no more than the range says.
fn fixed(u: f32, range: vec4<u32>) -> u32 {
    let high = u * 65536.0;
    let whole = floor(high);
    let bits = (u32(clamp(whole, 0.0, 65535.0)) << 16u) | u32(clamp((high - whole) * 65536.0, 0.0, 65535.0));
    return clamp(bits, range.x, range.y);
}
