//! A codec that stores bytes as they are.

use bytes::Bytes;
use cache_core::{Codec, CodecError, CodecId};

/// A codec whose payloads may start with anything.
#[derive(Debug, Clone)]
pub(crate) struct Plain;

impl Codec<Bytes> for Plain {
    fn id(&self) -> CodecId {
        CodecId::custom(1)
    }

    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}
