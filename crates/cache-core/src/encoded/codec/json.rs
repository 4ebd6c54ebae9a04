//! JSON through `serde_json`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checker::{self, Form};
use super::{Codec, CodecError, CodecId};

/// Stores values as JSON: readable by every language and by a person with `redis-cli`.
///
/// JSON has no NaN and no infinity; `serde_json` writes `null` in their place, which does not
/// come back as a number. This codec refuses such values instead, and values nested deeper than
/// 120 levels.
///
/// Some values that JSON holds do not come back; `EncodedBackend` [finds them](crate::EncodedBackend#values-that-do-not-come-back):
/// - `Some` of what is written as `null` (`None`, `()`, a unit struct, `serde_json::Value::Null`) comes back as
///   `None`;
/// - maps whose keys are numbers, and 128-bit integers, are not decoded in tagged, untagged and flattened
///   types, which serde keeps in a buffer that knows neither;
/// - of an untagged type the first variant that fits comes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonCodec;

impl JsonCodec {
    /// Creates the codec.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for JsonCodec {
    fn id(&self) -> CodecId {
        CodecId::JSON
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        checker::check(value, Form::JSON)?;
        // The cause is not attached: its text can quote the value.
        serde_json::to_writer(out, value)
            .map_err(|_| CodecError::new("the value has no form in JSON"))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => CodecError::new("the JSON ends too early"),
            serde_json::error::Category::Data => CodecError::new("the JSON is of another type"),
            _ => CodecError::new("the bytes are not one JSON value"),
        })
    }

    fn verify(&self, value: &V, bytes: &[u8]) -> Result<(), CodecError> {
        checker::compare(value, &self.decode(bytes)?, Form::JSON)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Codec, JsonCodec};

    fn encode<V: serde::Serialize + serde::de::DeserializeOwned>(
        value: &V,
    ) -> Result<String, String> {
        let mut bytes = Vec::new();
        Codec::<V>::encode(&JsonCodec, value, &mut bytes).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_float_that_json_cannot_hold_is_refused_wherever_it_hides() {
        let refused = Err("JSON has no form for a number that is not finite".to_string());
        assert_eq!(encode(&f64::NAN), refused);
        assert_eq!(encode(&f32::INFINITY), refused);
        assert_eq!(encode(&vec![Some((1u8, f64::NEG_INFINITY))]), refused);
        let nested = BTreeMap::from([("a".to_string(), [f32::NAN])]);
        assert_eq!(encode(&nested), refused);
        assert_eq!(encode(&(1.5, Some(2.0f32))), Ok("[1.5,2.0]".to_string()));
    }

    #[test]
    fn nesting_of_100_000_is_refused_without_overflowing_the_stack() {
        let deep = "[".repeat(100_000);
        let decoded: Result<serde_json::Value, _> = JsonCodec.decode(deep.as_bytes());
        assert_eq!(
            decoded.unwrap_err().to_string(),
            "the bytes are not one JSON value"
        );
    }

    #[test]
    fn bytes_behind_the_value_are_refused() {
        let decoded: Result<u32, _> = JsonCodec.decode(b"17 18");
        assert_eq!(
            decoded.unwrap_err().to_string(),
            "the bytes are not one JSON value"
        );
    }
}
