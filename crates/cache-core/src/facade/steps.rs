//! The steps that the verbs are made of.

use std::borrow::Cow;

use futures_core::Stream;
use futures_util::stream;

use super::{Cache, SCAN_PAGE, Shared};
use crate::{
    CacheBackend, Condition, Cursor, Expiry, Hit, Layer, ReadNow, Result, SetNow, SetOptions, Ttl,
    WriteOptions,
};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    #[inline]
    pub(crate) fn raw<'k>(&self, operation: &'static str, key: &'k str) -> Result<Cow<'k, str>> {
        self.keyspace
            .encode(key)
            .map_err(|error| error.during(operation))
    }

    /// Asks the backend for an answer at once.
    #[inline]
    pub(crate) fn read_now(&self, operation: &'static str, key: &str) -> Result<ReadNow<V>> {
        let read = |raw: &str| self.shared.backend.read_now(raw);
        let answer = self.keyspace.lend(key, read);
        answer.map_err(|error| error.during(operation))
    }

    pub(crate) fn raw_many<'k, K: AsRef<str>>(
        &self,
        operation: &'static str,
        keys: &'k [K],
    ) -> Result<Vec<Cow<'k, str>>> {
        keys.iter()
            .map(|key| self.raw(operation, key.as_ref()))
            .collect()
    }

    pub(crate) fn resolve(&self, operation: &'static str, key: &str, ttl: Ttl) -> Result<Expiry> {
        ttl.resolve(self.shared.default_ttl)
            .map_err(|error| error.during(operation).for_key(key))
    }

    #[inline]
    pub(crate) fn hit(&self, value: V) -> Option<V> {
        self.shared.counters.read(true);
        Some(value)
    }

    #[inline]
    pub(crate) fn miss(&self) -> Option<V> {
        self.shared.counters.read(false);
        None
    }

    pub(crate) async fn write(
        &self,
        operation: &'static str,
        key: &str,
        value: V,
        options: SetOptions<'_>,
    ) -> Result<bool> {
        let expiry = self.resolve(operation, key, options.ttl)?;
        let value = if options.is_plain() {
            match self.write_now(operation, key, value, expiry)? {
                SetNow::Done(written) => {
                    // A load may have begun during the write.
                    if !self.shared.flights.is_idle() {
                        let raw = self.raw(operation, key)?;
                        Box::pin(self.detach_many(&[raw])).await;
                    }
                    return self.counted(operation, key, written.map(|()| true));
                }
                SetNow::WouldWait(value) => value,
            }
        } else {
            value
        };
        let raw = self.raw(operation, key)?;
        let write = WriteOptions::new(expiry, options.condition.into());
        let write = write.with_kept_expiry(options.keeps_ttl);
        let written = if options.tags.is_empty() {
            let set = self.shared.backend.set(&raw, value, write);
            self.superseding(&[key], &[&*raw], set, |written| *written)
                .await
        } else {
            Box::pin(self.write_tagged((key, &raw), value, write, options.tags)).await
        };
        self.counted(operation, key, written)
    }

    /// Counts a write that took place, and names one that failed.
    fn counted(&self, operation: &'static str, key: &str, written: Result<bool>) -> Result<bool> {
        match written {
            Ok(written) => {
                self.shared.counters.sets(u64::from(written));
                Ok(written)
            }
            Err(error) => Err(error.during(operation).for_key(key)),
        }
    }

    /// Writes a value at once if the backend can, and nothing else has to be seen to before.
    #[inline]
    fn write_now(
        &self,
        operation: &'static str,
        key: &str,
        value: V,
        expiry: Expiry,
    ) -> Result<SetNow<V>> {
        let Shared {
            backend,
            flights,
            keep_stale,
            ..
        } = &*self.shared;
        if keep_stale.is_none() && flights.is_idle() {
            let write = |raw: &str| backend.set_now(raw, value, expiry);
            let written = self.keyspace.lend(key, write);
            written.map_err(|error| error.during(operation))
        } else {
            Ok(SetNow::WouldWait(value))
        }
    }

    pub(crate) async fn remove(
        &self,
        operation: &'static str,
        key: &str,
        condition: Condition,
    ) -> Result<bool> {
        let raw = self.raw(operation, key)?;
        // The copy of a value that has expired goes too, but what a condition spares keeps it.
        let is_sure = condition == Condition::Always;
        let delete = self.shared.backend.delete(&raw, condition);
        let changed = |deleted: &bool| is_sure || *deleted;
        let deleted = self.superseding(&[key], &[&*raw], delete, changed).await;
        let deleted = deleted.map_err(|error| error.during(operation).for_key(key))?;
        self.shared.counters.deletes(u64::from(deleted));
        Ok(deleted)
    }

    /// Looks for a value where it may be, a copy that has outlived it included.
    pub(crate) async fn find(&self, key: &str, raw: &str) -> Result<Option<Hit<V>>> {
        let backend = &self.shared.backend;
        let layer = match backend.read_now(raw) {
            ReadNow::Answer(_) => Layer::Memory,
            ReadNow::WouldWait => Layer::Store,
        };
        if let Some(entry) = backend.get_entry(raw).await? {
            return Ok(Some(Hit {
                value: entry.value,
                layer,
                expiry: entry.expiry,
                ended: None,
                version: entry.version,
            }));
        }
        let keep = self.shared.keep_stale.unwrap_or_default();
        Ok(self.kept(key).await?.map(|last| Hit {
            value: last.value,
            layer,
            expiry: Expiry::After(keep.saturating_sub(last.ended)),
            ended: Some(last.ended),
            version: None,
        }))
    }

    /// Writes some keys, and sees to it that neither a load that is under way nor the copy of an old
    /// value outlives what the write has `changed`.
    #[inline]
    pub(crate) async fn superseding<T, K: AsRef<str> + Sync, R: AsRef<str> + Sync>(
        &self,
        keys: &[K],
        raw: &[R],
        write: impl Future<Output = Result<T>> + Send,
        changed: impl FnOnce(&T) -> bool + Send,
    ) -> Result<T> {
        if !self.shared.flights.is_idle() {
            self.detach_many(raw).await;
        }
        let outdated = self.copies_of(keys);
        let written = write.await;
        // A caller that comes after the write joins no load that began before its end. This stands in front
        // of the copies: no load that began before can leave one from here on.
        if !self.shared.flights.is_idle() {
            self.detach_many(raw).await;
        }
        if outdated.is_none() {
            return written;
        }
        // Boxed: most caches keep no copies, and inline it would enlarge the future of every write.
        Box::pin(outdated.after(written, changed)).await
    }

    async fn detach_many<R: AsRef<str> + Sync>(&self, raw: &[R]) {
        for raw in raw {
            self.shared.flights.detach(raw.as_ref()).await;
        }
    }

    /// Reads the values of keys, and leaves out what is not there any more.
    pub(crate) async fn entries_of(&self, keys: Vec<String>) -> Result<Vec<(String, V)>> {
        let values = {
            let raw = self.raw_many("scan_entries", &keys)?;
            let values = self.shared.backend.get_many(&borrowed(&raw)).await;
            values.map_err(|error| error.during("scan_entries"))?
        };
        let entries = keys.into_iter().zip(values);
        let present = entries.filter_map(|(key, value)| Some((key, value?)));
        Ok(present.collect())
    }

    pub(crate) async fn remaining(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<Option<Expiry>> {
        let raw = self.raw(operation, key)?;
        let expiry = self.shared.backend.expiry(&raw).await;
        expiry.map_err(|error| error.during(operation).for_key(key))
    }

    pub(crate) async fn change_expiry(
        &self,
        operation: &'static str,
        key: &str,
        expiry: Expiry,
    ) -> Result<bool> {
        let raw = self.raw(operation, key)?;
        let change = self.shared.backend.set_expiry(&raw, expiry);
        let changed = self
            .with_copy(key, expiry, change, |changed| *changed)
            .await;
        changed.map_err(|error| error.during(operation).for_key(key))
    }

    /// The keys of a scope, as the user knows them, a page at a time.
    pub(crate) fn pages(
        &self,
        prefix: &str,
        operation: &'static str,
    ) -> impl Stream<Item = Result<Vec<String>>> + Send + use<V, B> {
        let cache = self.clone();
        let scope = self.keyspace.scope(prefix);
        stream::try_unfold(Some(Cursor::Start), move |cursor| {
            let (cache, scope) = (cache.clone(), scope.clone());
            async move {
                let Some(cursor) = cursor else {
                    return Ok(None);
                };
                let page = cache.shared.backend.scan(&scope, cursor, SCAN_PAGE).await;
                let page = page.map_err(|error| error.during(operation))?;
                let own = |raw: &String| cache.keyspace.decode(raw).map(str::to_owned);
                Ok(Some((
                    page.keys.iter().filter_map(own).collect(),
                    page.next,
                )))
            }
        })
    }
}

pub(crate) fn borrowed<'a>(keys: &'a [Cow<'_, str>]) -> Vec<&'a str> {
    keys.iter().map(AsRef::as_ref).collect()
}
