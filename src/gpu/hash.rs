//! One hash for names of files and keys of tables.

/// FNV-1a: the same on every machine and in every version, which the standard library's hashes do not promise. It tells
/// accidents from data, and is no defence against forgery.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
