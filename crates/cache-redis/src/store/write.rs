//! Writes of one key.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cache_core::{Condition, Error, ErrorKind, Result, WriteOptions};

use super::RedisStore;
use crate::client::set_option;

impl RedisStore {
    pub(crate) fn check_value(&self, value: &Bytes) -> Result<()> {
        if value.len() <= self.max_value_bytes {
            return Ok(());
        }
        self.tally.refused.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorKind::TooLarge {
            weight: value.len() as u64,
            limit: self.max_value_bytes as u64,
        }))
    }

    /// Writes, and returns what `SET` answers.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        key: &str,
        value: Bytes,
        options: WriteOptions,
        get: bool,
    ) -> Result<Option<Bytes>> {
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        let set = self.put(key, value, options, get);
        self.observe(operation, bytes, set).await
    }

    /// Writes if the condition holds, and tells whether it did. A load lease is no value.
    pub(super) async fn write_if(
        &self,
        key: &str,
        value: Bytes,
        options: WriteOptions,
    ) -> Result<bool> {
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        let write = async {
            if options.condition == Condition::IfAbsent {
                let put = self.put(key.clone(), value.clone(), options, false);
                if put.await?.is_some() {
                    return Ok(true);
                }
                // What is there may be a lease: it is looked at and replaced in one step.
            }
            self.put_beside_leases(key, value, options).await
        };
        self.observe("set", bytes, write).await
    }

    async fn put(
        &self,
        key: Bytes,
        value: Bytes,
        options: WriteOptions,
        get: bool,
    ) -> Result<Option<Bytes>> {
        let payload = (key, value, set_option(options.condition)?);
        let set = self
            .link
            .write(payload, |connection, (key, value, condition)| async move {
                connection
                    .set(key, value, options.expiry, condition, get)
                    .await
            });
        set.await
    }

    async fn put_beside_leases(
        &self,
        key: Bytes,
        value: Bytes,
        options: WriteOptions,
    ) -> Result<bool> {
        let Some(condition) = set_option(options.condition)? else {
            return Ok(self.put(key, value, options, false).await?.is_some());
        };
        let payload = (key, value, condition);
        let set = self
            .link
            .write(payload, |connection, (key, value, condition)| async move {
                connection
                    .set_if(key, value, options.expiry, condition)
                    .await
            });
        Ok(set.await?.is_some())
    }
}
