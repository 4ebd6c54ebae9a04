//! MessagePack through rmp-serde.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Codec, CodecError, CodecId, checker};

/// Stores values as MessagePack: smaller and faster than JSON, and it holds every float.
///
/// Structs are written as maps with field names, so that fields can be added, removed and
/// reordered. Values nested deeper than 120 levels are refused; nesting deeper than 128 and bytes
/// behind the value are not decoded. An option in an option that holds `None` comes back as the
/// outer `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MsgPackCodec;

impl MsgPackCodec {
    /// Creates the codec.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for MsgPackCodec {
    fn id(&self) -> CodecId {
        CodecId::MSGPACK
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        checker::check(value, false)?;
        rmp_serde::encode::write_named(out, value)
            .map_err(|_| CodecError::new("the value has no form in MessagePack"))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        // Reads the slice in place; over `Read` it would copy each text once more.
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        decoder.set_max_depth(checker::MAX_DECODED_LEVELS);
        // The cause is not attached: its text can quote the value.
        let value = V::deserialize(&mut decoder)
            .map_err(|_| CodecError::new("the bytes are not MessagePack of this type"))?;
        // It does not tell where it stands, but what fails at the first byte of another value has
        // none left. A unit has no parts that could be cut off instead.
        match <()>::deserialize(&mut decoder) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
            _ => Err(CodecError::new("bytes follow the MessagePack value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::{Codec, MsgPackCodec};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Tree {
        children: Vec<Self>,
    }

    #[test]
    fn nesting_of_5_000_is_refused_in_known_and_in_unknown_fields() {
        let deep = vec![0x91; 5_000];
        let decoded: Result<Tree, _> = MsgPackCodec.decode(&deep);
        assert_eq!(
            decoded.unwrap_err().to_string(),
            "the bytes are not MessagePack of this type"
        );
        // {"x": [[[…]]], "children": []}: `x` is skipped, which recurses as well.
        let unknown = [&[0x82, 0xa1, b'x'][..], &deep].concat();
        let decoded: Result<Tree, _> = MsgPackCodec.decode(&unknown);
        assert_eq!(
            decoded.unwrap_err().to_string(),
            "the bytes are not MessagePack of this type"
        );
    }

    #[test]
    fn a_length_that_lies_is_refused_without_a_large_allocation() {
        // An array of 2^32 - 1 elements, of which none follows.
        let lie = [0xdd, 0xff, 0xff, 0xff, 0xff];
        let decoded: Result<Vec<u64>, _> = MsgPackCodec.decode(&lie);
        assert_eq!(
            decoded.unwrap_err().to_string(),
            "the bytes are not MessagePack of this type"
        );
    }

    #[test]
    fn bytes_behind_the_value_are_refused() {
        // Whatever they look like: whole values, cut off ones, and what is none.
        let nothing_and_a_number = [0xc0, 17];
        for behind in 0..=u8::MAX {
            for value in nothing_and_a_number {
                let decoded: Result<Option<u8>, _> = MsgPackCodec.decode(&[value, behind]);
                assert_eq!(
                    decoded.unwrap_err().to_string(),
                    "bytes follow the MessagePack value",
                    "{behind:x}"
                );
            }
        }
    }

    #[test]
    fn floats_that_json_cannot_hold_come_back() {
        let mut bytes = Vec::new();
        MsgPackCodec.encode(&f64::INFINITY, &mut bytes).unwrap();
        let decoded: f64 = MsgPackCodec.decode(&bytes).unwrap();
        assert_eq!(decoded, f64::INFINITY);
    }
}
