//! Zstandard, a frame for each payload.

use std::cell::Cell;

use zstd::bulk::{self, Decompressor};

/// The smallest block of a frame has 4 bytes, and no block holds more than 128 KiB.
pub(super) const MAX_EXPANSION: usize = (128 << 10) / 4;

thread_local! {
    /// To set one up costs more than to read a few kilobytes with it. Its size is the same for
    /// every value; that of a compressor follows level and length, so none is kept.
    static DECOMPRESSOR: Cell<Option<Decompressor<'static>>> = const { Cell::new(None) };
}

/// Appends the compressed form of what is in `buffer`, and tells whether it is shorter.
pub(super) fn append_to(buffer: &mut Vec<u8>, level: i32) -> bool {
    let length = buffer.len();
    // With less room than the payload has, what does not get shorter fails.
    buffer.resize(length + length.saturating_sub(1), 0);
    let (payload, room) = buffer.split_at_mut(length);
    let Ok(written) = bulk::compress_to_buffer(payload, room, level) else {
        return false;
    };
    buffer.truncate(length + written);
    true
}

/// Reads in one pass, for which the room is all the window there is: a frame that asks for a
/// large one gets none.
pub(super) fn decompress(compressed: &[u8], room: &mut [u8]) -> Option<usize> {
    let kept = DECOMPRESSOR.try_with(Cell::take).ok().flatten();
    let mut decompressor = kept.or_else(|| Decompressor::new().ok())?;
    let written = decompressor.decompress_to_buffer(compressed, room).ok();
    // Without a place to keep it, when the thread is about to end, it is dropped.
    let _ = DECOMPRESSOR.try_with(|kept| kept.set(Some(decompressor)));
    written
}
