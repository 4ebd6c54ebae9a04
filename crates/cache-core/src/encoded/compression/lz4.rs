//! LZ4 in its block format, without a length in front: that one is in the header.

use lz4_flex::block;

/// A byte that lengthens a match by 255 is the most that one byte can stand for; the bytes that
/// start the match stand for less each.
pub(super) const MAX_EXPANSION: usize = 255;

/// Appends the compressed form of what is in `buffer`, and tells whether it is shorter.
pub(super) fn append_to(buffer: &mut Vec<u8>) -> bool {
    let length = buffer.len();
    buffer.resize(length + block::get_maximum_output_size(length), 0);
    let (payload, room) = buffer.split_at_mut(length);
    let Ok(written) = block::compress_into(payload, room) else {
        return false;
    };
    buffer.truncate(length + written);
    written < length
}

pub(super) fn decompress(compressed: &[u8], room: &mut [u8]) -> Option<usize> {
    block::decompress_into(compressed, room).ok()
}
