//! What a load writes: the value, and a copy that outlives it.

use super::lease::Leased;
use super::lookup::Last;
use crate::cache::Cache;
use crate::cache::tags::{borrowed, tag_keys, tag_names};
use crate::flights::Lead;
use crate::{
    CacheBackend, Condition, Expiry, MAX_TTL, Result, TagTicket, Tagging, Version, Versioned,
    WriteOptions,
};

/// A value that was loaded, and how it is to be stored.
pub(super) struct Fresh<'f, V> {
    pub(super) key: &'f str,
    pub(super) value: &'f V,
    pub(super) expiry: Expiry,
    /// The names of its tags.
    pub(super) tags: &'f [String],
    pub(super) since: Option<&'f TagTicket>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Stores what was loaded, unless the key was written meanwhile; returns what is there if
    /// somebody else's value is.
    pub(super) async fn fill(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
        condition: Condition,
    ) -> Result<Option<V>> {
        let (backend, raw) = (&self.shared.backend, lead.key());
        let tags = tag_keys(&self.keyspace, fresh.tags)?;
        let tagging = (&*tags, fresh.since);
        let Some(_storing) = lead.store() else {
            return Ok(None);
        };
        // The order: at no moment does an old copy stand behind a new value.
        self.drop_copy(fresh.key).await?;
        let put = |condition| {
            let options = WriteOptions::new(fresh.expiry, condition);
            self.put(raw, fresh.value.clone(), options, tagging)
        };
        let was_absent = condition == Condition::IfAbsent;
        if !put(condition).await? {
            let Versioned { entry, version } = backend.get_versioned(raw).await?;
            if let Some(found) = entry {
                return Ok(Some(found.value));
            }
            // What is there cannot be read: it is in the way of what is loaded because there is nothing.
            let replace = version.map_or(Condition::Always, Condition::IfVersion);
            if !was_absent || !put(replace).await? {
                return Ok(None);
            }
        }
        self.shared.counters.sets(1);
        self.keep_copy(fresh).await?;
        Ok(None)
    }

    /// Stores what was loaded under a lease, unless the key was written meanwhile, here or elsewhere.
    pub(super) async fn fill_lease(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
        leased: Leased<V, B>,
    ) -> Result<()> {
        let tags = tag_keys(&self.keyspace, fresh.tags)?;
        let (Some(_storing), Some(leases)) = (lead.store(), self.shared.backend.leases()) else {
            return Ok(());
        };
        self.drop_copy(fresh.key).await?;
        let (lease, value) = (leased.lease(), fresh.value.clone());
        let is_filled = if tags.is_empty() {
            leases.fill(lead.key(), lease, value, fresh.expiry).await?
        } else {
            let names = borrowed(&tags);
            let tagging = Tagging::new(&names, fresh.since);
            let tags = self.backend_tags()?;
            tags.fill(lead.key(), lease, value, fresh.expiry, tagging)
                .await?
        };
        leased.settle();
        if is_filled {
            self.shared.counters.sets(1);
            self.keep_copy(fresh).await?;
        }
        Ok(())
    }

    /// Removes the copy of a value, and the value too if it is gone, unless the key was written
    /// meanwhile.
    pub(super) async fn unfill(
        &self,
        lead: &Lead<V>,
        key: &str,
        gone: Option<Version>,
    ) -> Result<()> {
        if gone.is_none() && self.shared.keep_stale.is_none() {
            return Ok(());
        }
        if let Some(_storing) = lead.store() {
            self.drop_copy(key).await?;
            if let Some(version) = gone {
                let condition = Condition::IfVersion(version);
                self.shared.backend.delete(lead.key(), condition).await?;
            }
        }
        Ok(())
    }

    /// Keeps a copy of a value beyond its end, with tags of its own: what ends a value is not what
    /// ends its copy.
    async fn keep_copy(&self, fresh: &Fresh<'_, V>) -> Result<()> {
        if let Some(expiry) = self.copy_expiry(fresh.expiry) {
            let options = WriteOptions::new(expiry, Condition::Always);
            let copy = self.keyspace.copy_of(fresh.key);
            let tags = tag_keys(&self.keyspace.copies(), fresh.tags)?;
            self.put(&copy, fresh.value.clone(), options, (&*tags, fresh.since))
                .await?;
        }
        Ok(())
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the last value of an absent key.
    pub(in crate::cache) async fn kept(&self, key: &str) -> Result<Option<Last<V>>> {
        let Some(keep) = self.shared.keep_stale else {
            return Ok(None);
        };
        let copy = self.keyspace.copy_of(key);
        let kept = self.shared.backend.get_entry(&copy).await?;
        Ok(kept.and_then(|entry| {
            let left = entry.expiry.remaining()?;
            Some(Last {
                tags: tag_names(&self.keyspace.copies(), &entry.tags),
                value: entry.value,
                // More is left if the value itself was evicted before its end.
                ended: keep.saturating_sub(left),
            })
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
            self.shared.backend.delete(&copy, Condition::Always).await?;
        }
        Ok(())
    }
}
