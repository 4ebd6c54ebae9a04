//! Copies of loaded values, which outlive them: how they follow the keys that they belong to.

use tokio::runtime::Handle;

use super::{Cache, Shared};
use crate::{CacheBackend, Condition, ErrorKind, Expiry, MAX_TTL, Result, Scope};

/// The copies of values that are about to be overwritten or deleted.
///
/// They are removed **after** the write, because only then is it known whether anything was written: an
/// operation that is refused leaves them, and a copy that cannot be removed keeps nobody from a write.
/// No copy of an overwritten value is served once the write is acknowledged, because
/// - the write is acknowledged when the copies are gone, and fails if they cannot be removed;
/// - a load that began before the write is [detached](crate::load::flights::FlightTable::detach) between the two: it
///   has left a copy of its value by then, which is removed, or it leaves none. A load that begins later
///   reads the new value, or reads its source after the write;
/// - a write that is dropped half way may have happened: dropping it leaves the removal to a background
///   task. A backend that waits for anything does so on a runtime, which can run that task.
pub(crate) struct Outdated<'c, V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    cache: &'c Cache<V, B>,
    copies: Copies,
}

/// Copies, as the backend knows them.
enum Copies {
    None,
    One(String),
    Many(Vec<String>),
    All(Scope),
}

impl Copies {
    async fn remove<V: Clone + Send + Sync + 'static>(
        &self,
        backend: &impl CacheBackend<V>,
    ) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::One(copy) => backend.delete(copy, Condition::Always).await.map(drop),
            Self::Many(copies) => {
                let copies: Vec<&str> = copies.iter().map(String::as_str).collect();
                backend.delete_many(&copies).await.map(drop)
            }
            Self::All(scope) => backend.clear(scope).await.map(drop),
        }
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Outdated<'_, V, B> {
    /// Tells whether the cache keeps no copies.
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self.copies, Copies::None)
    }

    /// Leaves the copies: nothing was written.
    pub(crate) fn leave(mut self) {
        self.copies = Copies::None;
    }

    /// Removes the copies.
    pub(crate) async fn remove(mut self) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        // Boxed: rare, and inline it would enlarge the future of every write.
        let removed = Box::pin(self.copies.remove(&self.cache.shared.backend)).await;
        self.copies = Copies::None;
        removed
    }

    /// Removes the copies after a write that has `changed` something, and returns what the caller is told.
    pub(super) async fn after<T>(
        self,
        written: Result<T>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        let may_have_changed = match &written {
            Ok(written) => changed(written),
            // A store may have done what it was asked for, or a part of it.
            Err(error) => !error.is_refused() && *error.kind() != ErrorKind::Conflict,
        };
        if !may_have_changed {
            self.leave();
            return written;
        }
        let removed = self.remove().await;
        let written = written?;
        removed.map(|()| written)
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Drop for Outdated<'_, V, B> {
    fn drop(&mut self) {
        let copies = std::mem::replace(&mut self.copies, Copies::None);
        if matches!(copies, Copies::None) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let cache = self.cache.clone();
            runtime.spawn(async move {
                // Nobody is left who could be told that it fails.
                let _ = copies.remove(&cache.shared.backend).await;
            });
        }
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the copies of some keys, to be removed or left.
    pub(crate) fn copies_of<K: AsRef<str>>(&self, keys: &[K]) -> Outdated<'_, V, B> {
        let copy = |key: &K| self.keyspace.copy_of(key.as_ref());
        let copies = match (self.shared.keep_stale, keys) {
            (None, _) => Copies::None,
            (_, [key]) => Copies::One(copy(key)),
            (_, keys) => Copies::Many(keys.iter().map(copy).collect()),
        };
        Outdated {
            cache: self,
            copies,
        }
    }

    /// Returns all copies of this namespace, to be removed or left.
    fn all_copies(&self) -> Outdated<'_, V, B> {
        let copies = match self.shared.keep_stale {
            None => Copies::None,
            Some(_) => Copies::All(self.keyspace.copies().scope("")),
        };
        Outdated {
            cache: self,
            copies,
        }
    }

    /// Clears a scope and the copies of values that have ended in it.
    pub(super) async fn clear_with_copies(&self, scope: &Scope) -> Result<u64> {
        let Shared {
            backend, flights, ..
        } = &*self.shared;
        flights.detach_scope(scope).await;
        let outdated = self.all_copies();
        let cleared = backend.clear(scope).await;
        flights.detach_scope(scope).await;
        outdated.after(cleared, |_| true).await
    }

    /// Runs a change of the expiry of a key, and gives its copy one that fits if it has `changed` anything.
    pub(super) async fn with_copy<T>(
        &self,
        key: &str,
        expiry: Expiry,
        change: impl Future<Output = Result<T>>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        let outdated = self.copies_of(&[key]);
        let answer = change.await;
        let Ok(true) = answer.as_ref().map(changed) else {
            // Of a change that may have happened it is not known how old the copy would have to look.
            return outdated.after(answer, |_| false).await;
        };
        let moved = match (&outdated.copies, self.copy_expiry(expiry)) {
            (Copies::One(copy), Some(expiry)) => {
                let moved = self.shared.backend.set_expiry(copy, expiry);
                moved.await.map(drop)
            }
            _ => Ok(()),
        };
        if moved.is_ok() {
            outdated.leave();
            return answer;
        }
        // It would tell a wrong age of a value that expires early.
        outdated.remove().await?;
        moved.and(answer)
    }

    /// Returns when the copy of a value expires, if one is kept.
    pub(crate) fn copy_expiry(&self, expiry: Expiry) -> Option<Expiry> {
        let (ttl, keep) = (expiry.remaining()?, self.shared.keep_stale?);
        Some(Expiry::After(ttl.saturating_add(keep).min(MAX_TTL)))
    }
}
