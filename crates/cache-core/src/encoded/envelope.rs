//! The header in front of every value in a shared store.
//!
//! ```text
//! byte  0      magic 0xC1, with which neither JSON nor MessagePack can start
//!       1      version of the header, 1
//!       2      codec
//!       3      flags: 0 for a plain payload, 1 for LZ4 (block format), 2 for Zstandard;
//!              a reader refuses flags that it does not know
//!       4..8   schema, 0 for none          (numbers are little-endian)
//!       8..12  length of the payload before compression
//!      12..16  CRC-32 of bytes 0..12 and of the payload as stored
//!      16..    payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::compression::{self, Compression, PLAIN};
use super::scratch;
use crate::CodecId;

const MAGIC: u8 = 0xC1;
const VERSION: u8 = 1;
const CHECKED_BYTES: usize = 12;
const HEADER_BYTES: usize = 16;

/// What a value must have been written with to be read.
#[derive(Clone, Copy)]
pub(super) struct Envelope {
    pub(super) codec: CodecId,
    pub(super) schema: u32,
    /// The longest payload that is accepted, before compression.
    pub(super) max_bytes: u32,
}

impl Envelope {
    /// Puts the header in front of a payload, which is alone in a buffer and is not longer than
    /// is accepted.
    pub(super) fn seal(self, buffer: &mut Vec<u8>, compression: Option<Compression>) -> Bytes {
        let length = buffer.len();
        let compressed = compression.and_then(|compression| compression.append_to(buffer));
        let (flags, payload) = match compressed {
            Some(flags) => (flags, &buffer[length..]),
            None => (PLAIN, &buffer[..length]),
        };
        let mut sealed = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        sealed.put_slice(&[MAGIC, VERSION, self.codec.to_byte(), flags]);
        sealed.put_u32_le(self.schema);
        // It is not above `max_bytes`, which has 32 bits.
        sealed.put_u32_le(length as u32);
        let checksum = checksum(&sealed, payload);
        sealed.put_u32_le(checksum);
        sealed.put_slice(payload);
        sealed.freeze()
    }

    /// Tells whether a payload of this codec can never start with the magic byte, so that it is
    /// told from an envelope.
    pub(super) fn is_told_from_bare(self) -> bool {
        matches!(self.codec, CodecId::JSON | CodecId::MSGPACK)
    }

    /// Hands the payload of a stored value to `decode`, or returns `None` if this reader cannot
    /// trust it.
    pub(super) fn open<T>(
        self,
        stored: &[u8],
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        if stored.first() != Some(&MAGIC) {
            return if self.is_told_from_bare() {
                self.open_bare(stored, decode)
            } else {
                None
            };
        }
        let (header, payload) = stored.split_at_checked(HEADER_BYTES)?;
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = number(8);
        // The checksum last, because it looks at every byte; and before the payload is
        // decompressed, so that damage never reaches that.
        let readable = header[1] == VERSION
            && header[2] == self.codec.to_byte()
            && number(4) == self.schema
            && length <= self.max_bytes
            && number(12) == checksum(&header[..CHECKED_BYTES], payload);
        if !readable {
            return None;
        }
        let (flags, length) = (header[3], length as usize);
        if flags == PLAIN {
            return if length == payload.len() {
                decode(payload)
            } else {
                None
            };
        }
        scratch::with(|buffer| {
            compression::decompress(flags, payload, length, buffer)?;
            decode(buffer)
        })
    }

    /// Hands a value that was stored without a header to `decode`.
    pub(super) fn open_bare<T>(
        self,
        stored: &[u8],
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        if stored.len() > self.max_bytes as usize {
            return None;
        }
        decode(stored)
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, CodecId, Envelope};

    const ENVELOPE: Envelope = Envelope {
        codec: CodecId::JSON,
        schema: 7,
        max_bytes: 1 << 20,
    };

    fn seal(payload: &[u8]) -> Bytes {
        ENVELOPE.seal(&mut payload.to_vec(), None)
    }

    fn open(envelope: Envelope, stored: &[u8]) -> Option<Vec<u8>> {
        envelope.open(stored, |payload| Some(payload.to_vec()))
    }

    #[test]
    fn what_is_sealed_opens_again() {
        for payload in [&b""[..], b"{}", &[0xC1; 100]] {
            assert_eq!(open(ENVELOPE, &seal(payload)), Some(payload.to_vec()));
        }
    }

    #[test]
    fn a_flip_of_any_bit_is_noticed() {
        let sealed = seal(b"{\"name\":\"Alice\"}");
        // From byte 1: without its magic byte the value is a bare payload, for the codec to refuse.
        for bit in 8..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(ENVELOPE, &flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_at_any_place_is_noticed() {
        let sealed = seal(b"{\"name\":\"Alice\"}");
        for length in 1..sealed.len() {
            assert_eq!(open(ENVELOPE, &sealed[..length]), None, "length {length}");
        }
    }

    #[test]
    fn another_codec_and_another_schema_are_not_opened() {
        let sealed = seal(b"1");
        let msgpack = Envelope {
            codec: CodecId::MSGPACK,
            ..ENVELOPE
        };
        assert_eq!(open(msgpack, &sealed), None);
        let schema_8 = Envelope {
            schema: 8,
            ..ENVELOPE
        };
        assert_eq!(open(schema_8, &sealed), None);
    }

    #[test]
    fn a_payload_without_a_header_is_handed_on() {
        assert_eq!(open(ENVELOPE, b"{}"), Some(b"{}".to_vec()));
        assert_eq!(open(ENVELOPE, b""), Some(Vec::new()));
    }

    #[test]
    fn more_than_the_limit_is_not_opened_with_a_header_or_without() {
        let limited = |max_bytes| Envelope {
            max_bytes,
            ..ENVELOPE
        };
        for stored in [&seal(b"[1,2]")[..], b"[1,2]"] {
            assert_eq!(open(limited(5), stored), Some(b"[1,2]".to_vec()));
            assert_eq!(open(limited(4), stored), None);
        }
    }
}
