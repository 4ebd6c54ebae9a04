//! What a load writes: the value, and a copy that outlives it.

use super::flights::{Lead, OwnTime};
use super::leased::Leased;
use super::lookup::Last;
use crate::facade::by_tag::{tag_keys, tag_names};
use crate::facade::copies::Outdated;
use crate::facade::raw_keys::borrowed;
use crate::{
    BackendWrite, Cache, CacheBackend, Condition, Expiry, Result, TagTicket, Tagging, Version,
    Versioned,
};

/// A value that was loaded, and how it is to be stored.
pub(super) struct Fresh<'f, V> {
    pub(super) key: &'f str,
    pub(super) value: &'f V,
    pub(super) expiry: Expiry,
    /// The names of its tags.
    pub(super) tags: &'f [String],
    pub(super) since: Option<&'f TagTicket>,
    /// Its time to live, if the options do not tell it.
    pub(super) own_time: Option<OwnTime>,
}

/// What is there after a value was to be stored.
pub(super) enum Filled<V> {
    /// The value.
    Stored,
    /// Another one.
    Found(V),
    /// Another value, or none: the key was written, deleted or evicted meanwhile.
    Overtaken,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Stores what was loaded, unless the key was written meanwhile.
    pub(super) async fn fill(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
        condition: Condition,
    ) -> Result<Filled<V>> {
        let tags = tag_keys(&self.keyspace, fresh.tags)?;
        let tagging = (&*tags, fresh.since);
        let Some(_storing) = lead.store() else {
            return Ok(Filled::Overtaken);
        };
        let outdated = self.copies_of(&[fresh.key]);
        let put = self.put_or_find(lead.key(), fresh, condition, tagging);
        let filled = match put.await {
            Ok(filled) => filled,
            Err(error) => {
                // The caller that is told the error removes it, and the value too if need be.
                outdated.leave();
                return Err(error);
            }
        };
        match filled {
            Filled::Stored => self.follow(lead, fresh, outdated).await,
            // The copy is that of what is there.
            Filled::Found(_) => outdated.leave(),
            // A task that has deleted the key has removed the copy; of an evicted key it is too old.
            Filled::Overtaken => outdated.remove().await?,
        }
        Ok(filled)
    }

    /// Writes what was loaded, and returns what is there if the condition does not hold.
    async fn put_or_find(
        &self,
        raw: &str,
        fresh: &Fresh<'_, V>,
        condition: Condition,
        tagging: (&[String], Option<&TagTicket>),
    ) -> Result<Filled<V>> {
        let put = |condition| {
            let options = BackendWrite::new(fresh.expiry, condition);
            self.put(raw, fresh.value.clone(), options, tagging)
        };
        let was_absent = condition == Condition::IfAbsent;
        if put(condition).await? {
            return Ok(Filled::Stored);
        }
        let Versioned { entry, version } = self.shared.backend.get_versioned(raw).await?;
        if let Some(found) = entry {
            return Ok(Filled::Found(found.value));
        }
        // What is there cannot be read. A load of an absent key replaces it; any other load leaves it.
        let replace = version.map_or(Condition::Always, Condition::IfVersion);
        if was_absent && put(replace).await? {
            return Ok(Filled::Stored);
        }
        Ok(Filled::Overtaken)
    }

    /// Stores what was loaded under a lease, unless the key was written meanwhile, here or elsewhere.
    pub(super) async fn fill_lease(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
        leased: Leased<V, B>,
    ) -> Result<Filled<V>> {
        let (leases, raw) = (self.shared.backend.abilities().leases, lead.key());
        let tags = tag_keys(&self.keyspace, fresh.tags)?;
        let (Some(_storing), Some(leases)) = (lead.store(), leases) else {
            return Ok(Filled::Overtaken);
        };
        let outdated = self.copies_of(&[fresh.key]);
        let (lease, value) = (leased.lease(), fresh.value.clone());
        let filled = if tags.is_empty() {
            leases.fill(raw, lease, value, fresh.expiry).await
        } else {
            let names = borrowed(&tags);
            let tagging = Tagging::new(&names, fresh.since);
            let tags = self.backend_tags()?;
            tags.fill(raw, lease, value, fresh.expiry, tagging).await
        };
        let is_filled = match filled {
            Ok(is_filled) => is_filled,
            Err(error) => {
                outdated.leave();
                return Err(error);
            }
        };
        leased.settle();
        if is_filled {
            self.follow(lead, fresh, outdated).await;
            return Ok(Filled::Stored);
        }
        // The lease was lost: to somebody whose value is there, or to time.
        self.overtaken(raw, outdated).await
    }

    /// Stores nothing, as nobody knows whether the key was written meanwhile.
    pub(super) async fn fill_nothing(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
    ) -> Result<Filled<V>> {
        let Some(_storing) = lead.store() else {
            return Ok(Filled::Overtaken);
        };
        self.overtaken(lead.key(), self.copies_of(&[fresh.key]))
            .await
    }

    /// Leaves the copy of a value that is there, and removes that of an older one.
    async fn overtaken(&self, raw: &str, outdated: Outdated<'_, V, B>) -> Result<Filled<V>> {
        if outdated.is_none() || self.shared.backend.expiry(raw).await?.is_some() {
            outdated.leave();
        } else {
            outdated.remove().await?;
        }
        Ok(Filled::Overtaken)
    }

    /// Removes what is older than a value that was loaded and is not stored, unless the key was written
    /// meanwhile: the copy, and the value too if it is the one that `was_there`.
    pub(super) async fn unfill(
        &self,
        lead: &Lead<V>,
        key: &str,
        was_there: Option<Version>,
    ) -> Result<()> {
        let outdated = self.copies_of(&[key]);
        if was_there.is_none() && outdated.is_none() {
            return Ok(());
        }
        let Some(_storing) = lead.store() else {
            outdated.leave();
            return Ok(());
        };
        let deleted = match was_there.map(Condition::IfVersion) {
            Some(condition) => {
                let delete = self.shared.backend.delete(lead.key(), condition);
                delete.await.map(drop)
            }
            None => Ok(()),
        };
        let removed = outdated.remove().await;
        deleted.and(removed)
    }

    /// Puts a copy of a value that was stored in the place of that of an older one, with tags of its own:
    /// what ends a value is not what ends its copy.
    ///
    /// It comes after the value, as [`Outdated`] does. That it fails is counted.
    async fn follow(&self, lead: &Lead<V>, fresh: &Fresh<'_, V>, outdated: Outdated<'_, V, B>) {
        self.shared.counters.sets(1);
        let flights = &self.shared.flights;
        flights.set_own_time(lead.key(), fresh.own_time);
        // A writer that has waited for too long has removed the copy already.
        let expiry = self.copy_expiry(fresh.expiry);
        let followed = match expiry.filter(|_| lead.is_attached()) {
            Some(expiry) => self.keep_copy(fresh, expiry).await,
            None => {
                if outdated.remove().await.is_err() {
                    self.shared.loads.not_stored();
                }
                return;
            }
        };
        if followed.is_ok() {
            outdated.leave();
            return;
        }
        self.shared.loads.not_stored();
        // Better none than that of an older value. It is counted already if that fails too.
        let _ = outdated.remove().await;
    }

    async fn keep_copy(&self, fresh: &Fresh<'_, V>, expiry: Expiry) -> Result<()> {
        let options = BackendWrite::new(expiry, Condition::Always);
        let copy = self.keyspace.copy_of(fresh.key);
        let tags = tag_keys(&self.keyspace.copies(), fresh.tags)?;
        let tagging = (&*tags, fresh.since);
        self.put(&copy, fresh.value.clone(), options, tagging)
            .await
            .map(drop)
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the last value of an absent key.
    pub(crate) async fn kept(&self, key: &str) -> Result<Option<Last<V>>> {
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
                layer: entry.layer,
            })
        }))
    }
}
