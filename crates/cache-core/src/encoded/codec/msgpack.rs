//! MessagePack through rmp-serde.

use rmp_serde::config::SerializerConfig;
use rmp_serde::decode::ReadRefReader;
use rmp_serde::{Deserializer, Serializer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::checker::{self, Form};
use super::{Codec, CodecError, CodecId};

/// Stores values as MessagePack: smaller and faster than JSON, and it holds every float.
///
/// Structs are written as maps with field names, so that fields can be added, removed and
/// reordered. Values nested deeper than 120 levels are refused; nesting deeper than 128 and bytes
/// behind the value are not decoded.
///
/// Types that have a compact form, such as addresses and UUIDs, are written in it. Serde does not decode that
/// form in tagged, untagged and flattened types, so values of such types are written as text, as in JSON, if the
/// compact form does not come back; to know that, a value with an address in it is decoded once at each write.
///
/// Some values that MessagePack holds do not come back; `EncodedBackend` [finds them](crate::EncodedBackend#values-that-do-not-come-back):
/// - `Some` of `None`, of `()` and of `serde_json::Value::Null` comes back as `None`;
/// - 128-bit integers are not decoded in tagged, untagged and flattened types, which serde keeps in a buffer
///   that has no place for them;
/// - of an untagged type the first variant that fits comes back.
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
        let has_two_forms = checker::check(value, Form::MSGPACK)?;
        let start = out.len();
        written(rmp_serde::encode::write_named(out, value))?;
        if has_two_forms && self.verify(value, &out[start..]).is_err() {
            let mut text = Vec::new();
            let serializer = Serializer::new(&mut text).with_struct_map();
            written(value.serialize(&mut serializer.with_human_readable()))?;
            // What comes back in neither form is written as ever.
            if self.verify(value, &text).is_ok() {
                out.truncate(start);
                out.append(&mut text);
            }
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        // Reads the slice in place; over `Read` it would copy each text once more.
        read(Deserializer::from_read_ref(bytes)).or_else(|error| {
            let text = read(Deserializer::from_read_ref(bytes).with_human_readable());
            text.map_err(|_| error)
        })
    }

    fn verify(&self, value: &V, bytes: &[u8]) -> Result<(), CodecError> {
        checker::compare(value, &self.decode(bytes)?, Form::MSGPACK)
    }
}

/// The cause is not attached: its text can quote the value.
fn written(outcome: Result<(), rmp_serde::encode::Error>) -> Result<(), CodecError> {
    outcome.map_err(|_| CodecError::new("the value has no form in MessagePack"))
}

fn read<V: DeserializeOwned, C: SerializerConfig>(
    mut decoder: Deserializer<ReadRefReader<'_, [u8]>, C>,
) -> Result<V, CodecError> {
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
