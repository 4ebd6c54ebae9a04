//! Writes of one key.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cache_core::{Condition, Error, ErrorKind, Expiry, Result, WriteOptions};

use super::{ATTEMPTS, RedisStore, contended};
use crate::client::{Change, set_option};
use crate::{placeholder, tagged};

impl RedisStore {
    pub(crate) fn check_value(&self, value: &Bytes) -> Result<()> {
        if tagged::is_one(value) || placeholder::is_one(value) {
            // No codec and no envelope makes such bytes.
            let problem = "starts with bytes that stand for tags or a load lease";
            return Err(Error::invalid("value", problem));
        }
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
    pub(super) async fn put(
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

    /// Writes if the condition holds, and tells whether it did. A load lease is no value, nor is one of
    /// which a tag was invalidated.
    pub(super) async fn put_if(
        &self,
        key: Bytes,
        value: Bytes,
        options: WriteOptions,
    ) -> Result<bool> {
        let Some(condition) = set_option(options.condition)? else {
            return Ok(self.put(key, value, options, false).await?.is_some());
        };
        if options.condition == Condition::IfAbsent {
            let put = self.put(key.clone(), value.clone(), options, false);
            if put.await?.is_some() {
                return Ok(true);
            }
            // What is there may be no value: it is looked at and replaced in one step.
        }
        let mut known = Bytes::new();
        for _ in 0..ATTEMPTS {
            let payload = (key.clone(), value.clone(), (condition.clone(), known));
            let set = self
                .link
                .write(payload, |connection, (key, value, condition)| async move {
                    let set = connection.set_if(key, value, options.expiry, condition);
                    set.await
                });
            let header = match set.await? {
                Change::Made(is_made) => return Ok(is_made),
                Change::Header(header) => header,
            };
            let is_present = self.is_present(&header).await?;
            if is_present != (options.condition == Condition::IfPresent) {
                return Ok(false);
            }
            known = header;
        }
        Err(contended())
    }

    /// Changes the time that an entry has left. The versions of its tags are given theirs before, so
    /// that it never lasts longer than they do.
    pub(super) async fn change_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        let mut known = Bytes::new();
        for _ in 0..ATTEMPTS {
            let payload = (self.keys.join(key), known);
            let change = self
                .link
                .write(payload, |connection, (key, known)| async move {
                    connection.set_expiry(key, expiry, known).await
                });
            let header = match change.await? {
                Change::Made(is_made) => return Ok(is_made),
                Change::Header(header) => header,
            };
            if !Box::pin(self.is_present_for(&header, expiry)).await? {
                return Ok(false);
            }
            known = header;
        }
        Err(contended())
    }
}
