//! Writes of one key.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cache_core::{BackendWrite, Condition, Error, ErrorKind, Expiry, Result, Version};

use super::{ATTEMPTS, RedisStore, contended};
use crate::client::{Change, Found, SetTime, Source, set_option};
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

    /// Writes if the condition lets `SET` do it, and tells whether it did.
    pub(super) async fn put(
        &self,
        key: Bytes,
        value: Bytes,
        options: BackendWrite,
    ) -> Result<bool> {
        let payload = (key, value, set_option(&options.condition)?);
        let set = self
            .link
            .write(payload, |connection, (key, value, condition)| async move {
                connection.set(key, value, options.expiry, condition).await
            });
        set.await
    }

    /// Writes a value and returns the one of the entry in the place of which it is now.
    pub(super) async fn put_and_get(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
    ) -> Result<Option<Bytes>> {
        let swap = self
            .link
            .write((key, value), |connection, (key, value)| async move {
                connection.swap(key, value, expiry).await
            });
        let found = swap.await?.map_or(Found::Nothing, Found::Value);
        let replaced = self.accept_live(found, Source::Primary).await?;
        Ok(replaced.map(|(_, value)| value))
    }

    /// Writes if the condition holds, and tells whether it did. A load lease is no value, nor is one of
    /// which a tag was invalidated.
    pub(super) async fn put_if(
        &self,
        key: Bytes,
        value: Bytes,
        options: BackendWrite,
    ) -> Result<bool> {
        if let Condition::IfVersion(version) = &options.condition {
            return self.put_over(key, value, version, &options).await;
        }
        let condition = set_option(&options.condition)?;
        if options.condition == Condition::IfAbsent || condition.is_none() && !options.keeps_expiry
        {
            let put = self.put(key.clone(), value.clone(), options.clone());
            let is_written = put.await?;
            if is_written {
                return Ok(true);
            }
            // What is there may be no value: it is looked at and replaced in one step.
        }
        let mut time = SetTime {
            expiry: options.expiry,
            is_kept: options.keeps_expiry,
        };
        let mut known = Bytes::new();
        for _ in 0..ATTEMPTS {
            let payload = (key.clone(), value.clone(), (condition.clone(), known));
            let set = self
                .link
                .write(payload, |connection, (key, value, condition)| async move {
                    connection.set_if(key, value, time, condition).await
                });
            let header = match set.await? {
                Change::Made(is_made) => return Ok(is_made),
                Change::Header(header) => header,
            };
            let is_present = self.is_present(&header).await?;
            let holds = match options.condition {
                Condition::IfAbsent => !is_present,
                Condition::IfPresent => is_present,
                _ => true,
            };
            if !holds {
                return Ok(false);
            }
            // An entry that is no longer there has no time to keep.
            time.is_kept = options.keeps_expiry && is_present;
            known = header;
        }
        Err(contended())
    }

    /// Writes in the place of what a version stands for, and tells whether that was there.
    async fn put_over(
        &self,
        key: Bytes,
        value: Bytes,
        version: &Version,
        options: &BackendWrite,
    ) -> Result<bool> {
        let Some(old) = self.stored_as(version).await? else {
            return Ok(false);
        };
        let time = SetTime {
            expiry: options.expiry,
            is_kept: options.keeps_expiry,
        };
        let set =
            self.link.write(
                (key, (value, old)),
                |connection, (key, values)| async move {
                    connection.set_if_equal(key, values, time).await
                },
            );
        set.await
    }

    /// Removes what a version stands for, and tells whether that was there.
    pub(super) async fn unlink_version(&self, key: Bytes, version: &Version) -> Result<bool> {
        let Some(old) = self.stored_as(version).await? else {
            return Ok(false);
        };
        let unlink = self
            .link
            .write((key, old), |connection, (key, old)| async move {
                connection.unlink_if_equal(key, old).await
            });
        unlink.await
    }

    /// Returns what is stored of an entry of this version, unless one of its tags was invalidated or
    /// the version is of another backend.
    async fn stored_as(&self, version: &Version) -> Result<Option<Bytes>> {
        let Some(stored) = version.as_bytes().cloned() else {
            return Ok(None);
        };
        let header = tagged::is_one(&stored).then(|| tagged::cut(&stored));
        Ok(match header.flatten() {
            Some((header, _)) if !Box::pin(self.is_present(&header)).await? => None,
            _ => Some(stored),
        })
    }

    /// Removes an entry and returns its value.
    pub(super) async fn unlink_and_get(&self, key: Bytes) -> Result<Option<Bytes>> {
        let take = self.link.write(
            key,
            |connection, key| async move { connection.take(key).await },
        );
        let taken = self.accept_live(take.await?, Source::Primary).await?;
        Ok(taken.map(|(_, value)| value))
    }

    /// Returns a value and changes the time that its entry has left, as
    /// [`change_expiry`](Self::change_expiry) does.
    pub(super) async fn get_and_change_expiry(
        &self,
        key: &str,
        expiry: Expiry,
    ) -> Result<Option<Bytes>> {
        let mut known = Bytes::new();
        for _ in 0..ATTEMPTS {
            let payload = (self.keys.join(key), known);
            let get = self
                .link
                .write(payload, |connection, (key, known)| async move {
                    connection.get_ex(key, expiry, known).await
                });
            let header = match get.await? {
                Ok(found) => return Ok(self.accept(found).map(|(_, value)| value)),
                Err(header) => header,
            };
            if !Box::pin(self.is_present_for(&header, expiry)).await? {
                return Ok(None);
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
