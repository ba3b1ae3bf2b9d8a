//! Philox4x32-10: a block cipher's worth of mixing, used as a random function of a counter.
//!
//! Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11. The twin of
//! `philox4x32` in `shaders/lib/philox.wgsl`.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words from a counter and a key.
///
/// # Example
/// ```
/// # use ergodic::random::philox4x32;
/// // The known answer of the reference implementation.
/// assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [x, z] = [0, 1].map(|i| u64::from(MULTIPLIER[i]) * u64::from(counter[2 * i]));
        let (hi_x, hi_z) = ((x >> 32) as u32, (z >> 32) as u32);
        counter = [hi_z ^ counter[1] ^ key[0], z as u32, hi_x ^ counter[3] ^ key[1], x as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::philox4x32;

    /// `kat_vectors` of Random123, lines `philox4x32 10`.
    #[test]
    fn philox_gives_the_known_answers() {
        let known = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, bits) in known {
            assert_eq!(philox4x32(counter, key), bits, "counter {counter:x?}, key {key:x?}");
        }
    }
}
