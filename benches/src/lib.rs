//! What the benches share: workloads, the caches under test, and ways to measure that a noisy
//! machine does not spoil.

pub mod alloc;
pub mod caches;
pub mod chart;
pub mod paired;
pub mod policies;
pub mod ready;
pub mod remote;
pub mod rng;
pub mod trace;
pub mod workload;

/// Tells whether this is a mere trial run: `cargo bench` passes `--bench`, `cargo test` does not.
#[must_use]
pub fn is_trial() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}
