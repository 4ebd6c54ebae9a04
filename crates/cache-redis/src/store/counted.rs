//! Counters: whole numbers under keys that end with their window.

use std::str;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Count, Counters, Error, ErrorKind, Expiry, Result};

use super::RedisStore;
use crate::client::{Add, Counted, Found, slot};

#[async_trait]
impl Counters for RedisStore {
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        // The server counts exactly up to twice of what is allowed.
        Count::after(None, by)?;
        let key = self.counter(name)?;
        let add = self.add_to(Add { key, by, window });
        let counted = self.observe("counter add", name.len(), add).await?;
        let Counted { value, left } = counted.ok_or_else(Count::out_of_range)?;
        Ok(Count::new(value, left))
    }

    async fn get(&self, name: &str) -> Result<Option<Count>> {
        let key = self.counter(name)?;
        let get = self.link.read(|connection| {
            let key = key.clone();
            async move { connection.get_with_ttl(key).await }
        });
        let (found, expiry) = self.observe("counter get", name.len(), get).await?;
        match found {
            Found::Nothing => Ok(None),
            Found::Value(text) => Ok(Some(Count::new(number(&text)?, expiry))),
            Found::WrongType => Err(ErrorKind::Backend.into()),
        }
    }

    async fn reset(&self, name: &str) -> Result<bool> {
        let key = self.counter(name)?;
        let reset = self.link.write(key, |connection, key| async move {
            connection.unlink(vec![key]).await
        });
        let (removed, _) = self.observe("counter reset", name.len(), reset).await?;
        Ok(removed > 0)
    }
}

impl RedisStore {
    /// Returns the key in the database of a counter.
    fn counter(&self, name: &str) -> Result<Bytes> {
        self.keys.check(name)?;
        let key = self.keys.counter(slot(name.as_bytes()), name);
        key.ok_or_else(|| Error::unsupported("counters beside bare keys; choose a namespace"))
    }
}

fn number(text: &[u8]) -> Result<i64> {
    let text = str::from_utf8(text).map_err(Error::backend)?;
    text.parse().map_err(Error::backend)
}
