//! Formats of values in a store of bytes.

#[cfg(any(feature = "json", feature = "msgpack"))]
mod checker;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

use std::error::Error as StdError;
use std::fmt;

#[cfg(feature = "json")]
pub use self::json::JsonCodec;
#[cfg(feature = "msgpack")]
pub use self::msgpack::MsgPackCodec;

/// Turns values into bytes and back.
///
/// The trait names no serializer, so a codec for protobuf or for plain bytes can implement it.
///
/// ```
/// use bytes::Bytes;
/// use cache_core::{Codec, CodecError, CodecId};
///
/// /// Stores bytes as they are.
/// #[derive(Debug, Clone)]
/// struct Plain;
///
/// impl Codec<Bytes> for Plain {
///     fn id(&self) -> CodecId {
///         CodecId::custom(1)
///     }
///     fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         out.extend_from_slice(value);
///         Ok(())
///     }
///     fn decode(&self, bytes: &[u8]) -> Result<Bytes, CodecError> {
///         Ok(Bytes::copy_from_slice(bytes))
///     }
/// }
/// ```
///
/// A decoder is handed whatever the store holds: it must neither panic nor allocate much more
/// than the bytes it was given.
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` cannot store values of type `{V}`",
    note = "`JsonCodec` and `MsgPackCodec` need `V: Serialize + DeserializeOwned`"
)]
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// Returns the number that marks values of this format in a store.
    fn id(&self) -> CodecId;

    /// Appends the bytes of `value` to `out`.
    ///
    /// What `out` holds already is not the codec's to change. It is a buffer that is used again,
    /// so a write allocates nothing for the bytes on their way to the store.
    ///
    /// # Errors
    /// If the format cannot hold the value, such as NaN in JSON. The caller discards what was
    /// appended until then.
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Returns the value in `bytes`, which must be used up.
    ///
    /// # Errors
    /// If the bytes are not exactly one value of this type.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;

    /// Fails if `bytes`, which `value` was encoded as, do not come back as that value.
    ///
    /// Unless it is overridden it decodes them, and compares nothing.
    /// [`EncodedBackend`](crate::EncodedBackend#values-that-do-not-come-back) calls it before a write.
    ///
    /// # Errors
    /// If the bytes are not decoded, or are decoded as something that is not equal in all that the codec can tell.
    fn verify(&self, value: &V, bytes: &[u8]) -> Result<(), CodecError> {
        let _ = value;
        self.decode(bytes).map(drop)
    }
}

/// The number that marks a format in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecId(u8);

impl CodecId {
    /// JSON.
    pub const JSON: Self = Self(1);
    /// MessagePack.
    pub const MSGPACK: Self = Self(2);

    /// Returns a number of your own; 128 of them are kept free for that.
    ///
    /// # Panics
    /// If `number` is above 127.
    #[must_use]
    pub const fn custom(number: u8) -> Self {
        assert!(number < 128, "custom codec numbers go from 0 to 127");
        Self(128 + number)
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }
}

/// Why a codec refused a value or some bytes.
///
/// Its text must not hold the value: it ends in logs.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CodecError {
    message: &'static str,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CodecError {
    /// Creates an error from a fixed text.
    #[must_use]
    pub const fn new(message: &'static str) -> Self {
        Self {
            message,
            source: None,
        }
    }

    /// Adds the cause, whose text must not hold the value either.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}
