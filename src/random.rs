//! placeholder until the rng branch lands
/// placeholder
#[derive(Clone, Copy, Debug)]
pub struct RngKey {
    /// seed
    pub seed: [u32; 2],
    /// stream
    pub stream: u32,
}
