//! Random numbers that must not repeat.

use std::hash::{BuildHasher, RandomState};

/// Returns a number that nobody else gets, in any process.
///
/// Not of a generator that the program can seed: with the same seed two processes would take each other's
/// leases and bring back what the other has invalidated. These are hashes under keys of the system.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(0)
}

/// Returns a longer one.
pub(crate) fn long_number() -> u128 {
    u128::from(number()) << 64 | u128::from(number())
}
