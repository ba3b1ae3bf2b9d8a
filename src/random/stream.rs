//! A key as a generator of the `rand` crates.

use super::RngKey;
use rand::TryRng;
use std::convert::Infallible;

/// The words of one walker and step, in order of component: word `c` is [`RngKey::bits`]`(walker, c, step)`.
///
/// It implements `rand::Rng`, so every distribution of `rand_distr` draws from it. It repeats after 2^34 words.
#[derive(Debug)]
pub struct KeyRng {
    key: RngKey,
    walker: u32,
    step: u32,
    block: u32,
    words: [u32; 4],
    used: usize,
}

impl KeyRng {
    pub(super) fn new(key: RngKey, walker: u32, step: u32) -> Self {
        KeyRng { key, walker, step, block: 0, words: [0; 4], used: 4 }
    }

    fn next(&mut self) -> u32 {
        if self.used == 4 {
            self.words = self.key.block(self.walker, self.block, self.step);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }
}

impl TryRng for KeyRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = self.next();
        Ok(u64::from(self.next()) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for part in dst.chunks_mut(4) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_stream_is_the_components_in_order() {
        let key = RngKey::new(3);
        let mut rng = key.rng(5, 9);
        let words: Vec<_> = (0..4).map(|c| key.bits(5, c, 9)).collect();
        assert_eq!((rng.next_u32(), rng.next_u32()), (words[0], words[1]));
        assert_eq!(rng.next_u64(), u64::from(words[3]) << 32 | u64::from(words[2]));
        let mut bytes = [0; 5]; // across a block boundary and a partial word
        rng.fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], key.bits(5, 4, 9).to_le_bytes());
        assert_eq!(bytes[4], key.bits(5, 5, 9).to_le_bytes()[0]);
    }
}
