//! From values to what the store holds, and back.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::envelope::Envelope;
use super::{ByteStore, EncodedBackend, scratch};
use crate::{BackendEntry, Codec, Error, ErrorKind, ReadNow, Result};

impl<S: ByteStore, C> EncodedBackend<S, C> {
    fn envelope<V>(&self) -> Envelope
    where
        C: Codec<V>,
    {
        Envelope {
            codec: self.codec.id(),
            schema: self.schema,
            max_bytes: self.max_value_bytes,
        }
    }

    pub(super) fn encode<V: 'static>(&self, value: &V) -> Result<Bytes>
    where
        C: Codec<V>,
    {
        scratch::with(|payload| {
            let encoded = self.codec.encode(value, payload);
            encoded.map_err(|cause| Error::new(ErrorKind::Encode).with_source(cause))?;
            let (weight, limit) = (payload.len() as u64, u64::from(self.max_value_bytes));
            if weight > limit {
                return Err(Error::new(ErrorKind::TooLarge { weight, limit }));
            }
            if self.verifier.is_due::<V>() {
                self.verifier.note::<V>(self.codec.verify(value, payload))?;
            }
            if self.raw {
                return Ok(Bytes::copy_from_slice(payload));
            }
            Ok(self.envelope().seal(payload, self.compression))
        })
    }

    /// Decodes what the store holds; what cannot be read is a miss that is counted.
    pub(super) fn decode<V>(&self, stored: &[u8]) -> Option<V>
    where
        C: Codec<V>,
    {
        let envelope = self.envelope();
        let decode = |payload: &[u8]| self.codec.decode(payload).ok();
        let value = if self.raw && !envelope.is_told_from_bare() {
            envelope.open_bare(stored, decode)
        } else {
            envelope.open(stored, decode)
        };
        if value.is_none() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
            self.verifier.doubt();
        }
        value
    }

    pub(super) fn decode_now<V>(&self, answer: ReadNow<Bytes>) -> ReadNow<V>
    where
        C: Codec<V>,
    {
        match answer {
            ReadNow::Answer(found) => {
                ReadNow::Answer(found.map(|stored| self.decode(stored?.as_ref())))
            }
            ReadNow::WouldWait => ReadNow::WouldWait,
        }
    }

    pub(super) fn decode_entry<V>(&self, stored: BackendEntry<Bytes>) -> Option<BackendEntry<V>>
    where
        C: Codec<V>,
    {
        let value = self.decode(&stored.value)?;
        Some(stored.map(|_| value))
    }
}
