//! The header in front of every value in a shared store.
//!
//! ```text
//! byte  0      magic 0xC1, with which neither JSON nor MessagePack can start
//!       1      version of the header, 1
//!       2      codec
//!       3      flags, all zero in version 1; a reader refuses flags that it does not know
//!       4..8   schema, 0 for none          (numbers are little-endian)
//!       8..12  length of the payload before compression
//!      12..16  CRC-32 of bytes 0..12 and of the payload as stored
//!      16..    payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::{CodecId, Error, ErrorKind, Result};

const MAGIC: u8 = 0xC1;
const VERSION: u8 = 1;
const NO_FLAGS: u8 = 0;
const CHECKED_BYTES: usize = 12;
const HEADER_BYTES: usize = 16;

/// What a value must have been written with to be read.
#[derive(Clone, Copy)]
pub(super) struct Envelope {
    pub(super) codec: CodecId,
    pub(super) schema: u32,
}

impl Envelope {
    /// Puts the header in front of a payload.
    pub(super) fn seal(self, payload: &[u8]) -> Result<Bytes> {
        let Ok(length) = u32::try_from(payload.len()) else {
            let weight = payload.len() as u64;
            return Err(Error::new(ErrorKind::TooLarge {
                weight,
                limit: u64::from(u32::MAX),
            }));
        };
        let mut sealed = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        sealed.put_slice(&[MAGIC, VERSION, self.codec.to_byte(), NO_FLAGS]);
        sealed.put_u32_le(self.schema);
        sealed.put_u32_le(length);
        let checksum = checksum(&sealed, payload);
        sealed.put_u32_le(checksum);
        sealed.put_slice(payload);
        Ok(sealed.freeze())
    }

    /// Tells whether a payload of this codec can never start with the magic byte, so that it is
    /// told from an envelope.
    pub(super) fn is_told_from_bare(self) -> bool {
        matches!(self.codec, CodecId::JSON | CodecId::MSGPACK)
    }

    /// Returns the payload of a stored value, or `None` if this reader cannot trust it.
    pub(super) fn open(self, stored: &[u8]) -> Option<&[u8]> {
        if stored.first() != Some(&MAGIC) {
            return self.is_told_from_bare().then_some(stored);
        }
        let (header, payload) = stored.split_at_checked(HEADER_BYTES)?;
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let readable = header[1] == VERSION
            && header[2] == self.codec.to_byte()
            && header[3] == NO_FLAGS
            && number(4) == self.schema
            && number(8) as usize == payload.len()
            && number(12) == checksum(&header[..CHECKED_BYTES], payload);
        readable.then_some(payload)
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
    use super::{CodecId, Envelope};

    const ENVELOPE: Envelope = Envelope {
        codec: CodecId::JSON,
        schema: 7,
    };

    #[test]
    fn what_is_sealed_opens_again() {
        for payload in [&b""[..], b"{}", &[0xC1; 100]] {
            let sealed = ENVELOPE.seal(payload).unwrap();
            assert_eq!(ENVELOPE.open(&sealed), Some(payload));
        }
    }

    #[test]
    fn a_flip_of_any_bit_is_noticed() {
        let sealed = ENVELOPE.seal(b"{\"name\":\"Alice\"}").unwrap();
        // From byte 1: without its magic byte the value is a bare payload, for the codec to refuse.
        for bit in 8..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ENVELOPE.open(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_at_any_place_is_noticed() {
        let sealed = ENVELOPE.seal(b"{\"name\":\"Alice\"}").unwrap();
        for length in 1..sealed.len() {
            assert_eq!(ENVELOPE.open(&sealed[..length]), None, "length {length}");
        }
    }

    #[test]
    fn another_codec_and_another_schema_are_not_opened() {
        let sealed = ENVELOPE.seal(b"1").unwrap();
        assert_eq!(
            Envelope {
                codec: CodecId::MSGPACK,
                ..ENVELOPE
            }
            .open(&sealed),
            None
        );
        assert_eq!(
            Envelope {
                schema: 8,
                ..ENVELOPE
            }
            .open(&sealed),
            None
        );
    }

    #[test]
    fn a_payload_without_a_header_is_handed_on() {
        assert_eq!(ENVELOPE.open(b"{}"), Some(&b"{}"[..]));
        assert_eq!(ENVELOPE.open(b""), Some(&b""[..]));
    }
}
