//! What the server keeps for tags.

use bytes::Bytes;
use cache_core::Expiry;
use fred::types::Value;

use super::sources::{GET_OR_SET, OVERWRITE, VERSION};
use super::{list, number, only, px};
use crate::client::commands::Answer;
use crate::client::connection::Connection;
use crate::tagged::Version;

/// How long the version of a tag has to last, and for how long it is made to if it does not; both for
/// ever for an entry that never expires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    pub(crate) least: Expiry,
    pub(crate) given: Expiry,
}

impl Connection {
    /// Returns the version of a tag, which then lasts long enough. One that has none gets `new`.
    pub(crate) async fn version(
        &self,
        tag: Bytes,
        new: Option<Version>,
        lifetime: Lifetime,
    ) -> Answer<Option<Version>> {
        let new = new.map_or(Bytes::new(), |new| Bytes::copy_from_slice(&new));
        let arguments = [Value::Bytes(new)].into_iter();
        let arguments = arguments
            .chain(px(lifetime.least))
            .chain(px(lifetime.given));
        match self.eval_one(&VERSION, tag, arguments.collect()).await? {
            Value::Null => Ok(None),
            version => Ok(only(list(version)?)?[..].try_into().ok()),
        }
    }

    /// Returns what a key holds that is as long as `new`, or puts that there.
    pub(crate) async fn get_or_set(&self, key: Bytes, new: Bytes) -> Answer<Bytes> {
        let held = self.eval_one(&GET_OR_SET, key, vec![Value::Bytes(new)]);
        only(list(held.await?)?)
    }

    /// Overwrites parts of the so many bytes that a key holds, or removes it.
    pub(crate) async fn overwrite(
        &self,
        key: Bytes,
        length: usize,
        parts: Vec<(usize, Version)>,
    ) -> Answer<()> {
        let part = |(place, new): (usize, Version)| {
            let new = Value::Bytes(Bytes::copy_from_slice(&new));
            [Value::Integer(number(place)), new]
        };
        let length = [Value::Integer(number(length))].into_iter();
        let arguments = length.chain(parts.into_iter().flat_map(part));
        self.eval_one(&OVERWRITE, key, arguments.collect()).await?;
        Ok(())
    }
}
