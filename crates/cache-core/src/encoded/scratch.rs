//! A buffer per thread for bytes on their way to the store, so that a write allocates what it
//! hands over and nothing else.

use std::cell::Cell;

/// The largest buffer that is kept: one large value must not hold memory in every thread.
const MAX_KEPT_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `write` with an empty buffer.
pub(super) fn with<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // Taken out while it is in use: a codec may itself write to a cache, which then finds an empty
    // one. It is not there either when the thread is about to end.
    let mut buffer = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let written = write(&mut buffer);
    if buffer.capacity() <= MAX_KEPT_BYTES {
        buffer.clear();
        // Without a place to keep it, it is dropped.
        let _ = SCRATCH.try_with(|scratch| scratch.set(buffer));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEPT_BYTES, with};

    #[test]
    fn the_buffer_is_used_again_and_comes_empty() {
        let first = with(|buffer| {
            buffer.extend_from_slice(b"secret");
            buffer.as_ptr()
        });
        with(|buffer| {
            assert_eq!(buffer.as_ptr(), first);
            assert_eq!(buffer.len(), 0);
        });
    }

    #[test]
    fn a_buffer_in_use_is_not_handed_out_again() {
        with(|outer| {
            outer.extend_from_slice(b"outer");
            with(|inner| {
                assert_eq!(inner.len(), 0);
                inner.extend_from_slice(b"inner");
            });
            assert_eq!(outer, b"outer");
        });
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        with(|buffer| buffer.reserve_exact(MAX_KEPT_BYTES + 1));
        with(|buffer| assert_eq!(buffer.capacity(), 0));
        with(|buffer| buffer.reserve_exact(MAX_KEPT_BYTES));
        with(|buffer| assert_eq!(buffer.capacity(), MAX_KEPT_BYTES));
    }
}
