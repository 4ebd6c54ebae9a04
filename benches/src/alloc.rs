//! What code allocates, counted by the global allocator of the process.

use std::alloc::System;

pub use stats_alloc::INSTRUMENTED_SYSTEM;
use stats_alloc::{Region, StatsAlloc};

/// The allocator that counts; a bench makes it its global one.
pub type Counting = &'static StatsAlloc<System>;

/// What was allocated by a piece of code, on all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Calls of `alloc` and `realloc`.
    pub calls: usize,
    /// Bytes that were asked for.
    pub bytes: usize,
    /// Bytes that are held now and were not before; negative if more was freed.
    pub held: isize,
}

/// Runs `work` and counts what it allocates.
///
/// It counts nothing unless [`INSTRUMENTED_SYSTEM`] is the global allocator.
pub fn counted<R>(work: impl FnOnce() -> R) -> (R, Counted) {
    let region = Region::new(&INSTRUMENTED_SYSTEM);
    let result = work();
    let change = region.change();
    let counted = Counted {
        calls: change.allocations + change.reallocations,
        bytes: change.bytes_allocated,
        held: change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed(),
    };
    (result, counted)
}

/// Makes sure that allocations are counted at all.
///
/// # Panics
/// If [`INSTRUMENTED_SYSTEM`] is not the global allocator.
pub fn check_counting() {
    let (kept, counted) = counted(|| std::hint::black_box(vec![0u8; 1_000]));
    assert_eq!(
        (counted.calls, counted.held),
        (1, 1_000),
        "{} bytes",
        kept.len()
    );
}
