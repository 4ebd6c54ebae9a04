//! What a load writes: the value, and a copy that outlives it.

use std::time::Duration;

use super::lease::Leased;
use crate::cache::Cache;
use crate::flights::Lead;
use crate::{CacheBackend, Condition, Expiry, MAX_TTL, Result, WriteOptions};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Stores what was loaded, unless the key was written meanwhile; returns what is there if
    /// somebody else's value is.
    pub(super) async fn fill(
        &self,
        lead: &Lead<V>,
        key: &str,
        value: &V,
        expiry: Expiry,
        condition: Condition,
    ) -> Result<Option<V>> {
        let (backend, raw) = (&self.shared.backend, lead.key());
        let Some(_storing) = lead.store() else {
            return Ok(None);
        };
        // The order: at no moment does an old copy stand behind a new value.
        self.drop_copy(key).await?;
        let options = WriteOptions::new(expiry, condition);
        if !backend.set(raw, value.clone(), options).await? {
            if condition == Condition::IfPresent {
                return Ok(None);
            }
            if let Some(found) = backend.get(raw).await? {
                return Ok(Some(found));
            }
            // What is there cannot be read: it is in the way.
            let options = WriteOptions::new(expiry, Condition::Always);
            backend.set(raw, value.clone(), options).await?;
        }
        self.shared.counters.sets(1);
        self.keep_copy(key, value, expiry).await?;
        Ok(None)
    }

    /// Stores what was loaded under a lease, unless the key was written meanwhile, here or elsewhere.
    pub(super) async fn fill_lease(
        &self,
        lead: &Lead<V>,
        key: &str,
        value: &V,
        expiry: Expiry,
        leased: Leased<V, B>,
    ) -> Result<()> {
        let (Some(_storing), Some(leases)) = (lead.store(), self.shared.backend.leases()) else {
            return Ok(());
        };
        self.drop_copy(key).await?;
        let lease = leased.lease();
        let is_filled = leases
            .fill(lead.key(), lease, value.clone(), expiry)
            .await?;
        leased.settle();
        if is_filled {
            self.shared.counters.sets(1);
            self.keep_copy(key, value, expiry).await?;
        }
        Ok(())
    }

    /// Removes the copy of a value, and the value too if it is gone, unless the key was written
    /// meanwhile.
    pub(super) async fn unfill(&self, lead: &Lead<V>, key: &str, is_gone: bool) -> Result<()> {
        if !is_gone && self.shared.keep_stale.is_none() {
            return Ok(());
        }
        if let Some(_storing) = lead.store() {
            self.drop_copy(key).await?;
            if is_gone {
                self.shared.backend.delete(lead.key()).await?;
            }
        }
        Ok(())
    }

    /// Keeps a copy of a value beyond its end.
    async fn keep_copy(&self, key: &str, value: &V, expiry: Expiry) -> Result<()> {
        if let Some(expiry) = self.copy_expiry(expiry) {
            let options = WriteOptions::new(expiry, Condition::Always);
            let copy = self.keyspace.copy_of(key);
            self.shared
                .backend
                .set(&copy, value.clone(), options)
                .await?;
        }
        Ok(())
    }
}

impl<V: Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the last value of an absent key, and how long ago it ended.
    pub(in crate::cache) async fn kept(&self, key: &str) -> Result<Option<(V, Duration)>> {
        let Some(keep) = self.shared.keep_stale else {
            return Ok(None);
        };
        let copy = self.keyspace.copy_of(key);
        let kept = self.shared.backend.get_entry(&copy).await?;
        Ok(kept.and_then(|entry| {
            let left = entry.expiry.remaining()?;
            // More is left if the value itself was evicted before its end.
            Some((entry.value, keep.saturating_sub(left)))
        }))
    }

    /// Returns when the copy of a value ends, if one is kept.
    fn copy_expiry(&self, expiry: Expiry) -> Option<Expiry> {
        let (ttl, keep) = (expiry.remaining()?, self.shared.keep_stale?);
        Some(Expiry::After(ttl.saturating_add(keep).min(MAX_TTL)))
    }

    /// Lets the copy of a key end as its value does that has got another end.
    pub(in crate::cache) async fn move_copy(&self, key: &str, expiry: Expiry) -> Result<()> {
        if let Some(expiry) = self.copy_expiry(expiry) {
            let copy = self.keyspace.copy_of(key);
            self.shared.backend.set_expiry(&copy, expiry).await?;
        }
        Ok(())
    }

    /// Removes the copies of many keys.
    pub(in crate::cache) async fn drop_copies<K: AsRef<str> + Sync>(
        &self,
        keys: &[K],
    ) -> Result<()> {
        if self.shared.keep_stale.is_some() {
            let copies = keys.iter().map(|key| self.keyspace.copy_of(key.as_ref()));
            let copies: Vec<String> = copies.collect();
            let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
            self.shared.backend.delete_many(&copies).await?;
        }
        Ok(())
    }

    /// Removes all copies of this namespace.
    pub(in crate::cache) async fn clear_copies(&self) -> Result<()> {
        if self.shared.keep_stale.is_some() {
            let copies = self.keyspace.copies().scope("");
            self.shared.backend.clear(&copies).await?;
        }
        Ok(())
    }

    /// Removes the copy of a key that is about to be written.
    pub(in crate::cache) async fn drop_copy(&self, key: &str) -> Result<()> {
        if self.shared.keep_stale.is_some() {
            let copy = self.keyspace.copy_of(key);
            self.shared.backend.delete(&copy).await?;
        }
        Ok(())
    }
}
