//! Verbs that are made of others by comparing versions, for stores that have no such command.
//!
//! Each reads, decides, and writes on the condition that the version is still the one it has read; a call
//! that loses this race begins again. So each is atomic, and costs two round trips or more.
//!
//! Each call of a verb that is made of others, here and in [`each`](super::each), emits a trace event with
//! the target [`TARGET`]: nothing is slow in silence.

use tokio::task::yield_now;

use super::CacheBackend;
use crate::{BackendWrite, Condition, Error, ErrorKind, Expiry, Result, Versioned};

/// How often a race may be lost.
const ATTEMPTS: u32 = 128;
/// The most turns that others get after a race was lost, as a power of two.
const MOST_TURNS: u32 = 6;

/// The target of the trace events of verbs that are made of others. Their field `verb` has the name.
pub const TARGET: &str = "cache_core::derived";

/// Tells that a verb of the contract is made of others.
pub(super) fn tell(verb: &'static str) {
    tracing::trace!(target: TARGET, verb);
}

/// Calls `get_entry` for its value.
///
/// # Errors
/// What the backend reports.
pub async fn get<V, B>(backend: &B, key: &str) -> Result<Option<V>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("get");
    Ok(backend.get_entry(key).await?.map(|entry| entry.value))
}

/// Calls `get_entry` for its expiry.
///
/// # Errors
/// What the backend reports.
pub async fn expiry<V, B>(backend: &B, key: &str) -> Result<Option<Expiry>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("expiry");
    Ok(backend.get_entry(key).await?.map(|entry| entry.expiry))
}

/// Calls `get_entry`, whose entries have to have versions.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for an entry without a version; otherwise what the backend
/// reports.
pub async fn get_versioned<V, B>(backend: &B, key: &str) -> Result<Versioned<V>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    let entry = backend.get_entry(key).await?;
    let version = entry.as_ref().and_then(|entry| entry.version.clone());
    if entry.is_some() && version.is_none() {
        return Err(Error::unsupported("versions by this backend"));
    }
    Ok(Versioned::new(entry, version))
}

/// Replaces what `get_versioned` finds by `set`.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if others were faster 128 times; otherwise what the backend reports.
pub async fn swap<V, B>(backend: &B, key: &str, value: V, expiry: Expiry) -> Result<Option<V>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("swap");
    let mut races = Races::default();
    loop {
        let Versioned { entry, version } = backend.get_versioned(key).await?;
        let options = BackendWrite::new(expiry, Condition::unchanged(version));
        if backend.set(key, value.clone(), options).await? {
            return Ok(entry.map(|entry| entry.value));
        }
        races.lose().await?;
    }
}

/// Removes what `get_versioned` finds by `delete`.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if others were faster 128 times; otherwise what the backend reports.
pub async fn take<V, B>(backend: &B, key: &str) -> Result<Option<V>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("take");
    let mut races = Races::default();
    loop {
        let found = backend.get_versioned(key).await?;
        let (Some(entry), Some(version)) = (found.entry, found.version) else {
            return Ok(None);
        };
        if backend.delete(key, Condition::IfVersion(version)).await? {
            return Ok(Some(entry.value));
        }
        races.lose().await?;
    }
}

/// Calls `set_expiry`, between two calls of `get_versioned` that find one version.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if others wrote the key 128 times; otherwise what the backend reports.
pub async fn get_ex<V, B>(backend: &B, key: &str, expiry: Expiry) -> Result<Option<V>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("get_ex");
    let mut races = Races::default();
    let mut before = backend.get_versioned(key).await?;
    loop {
        if before.entry.is_none() {
            return Ok(None);
        }
        // A newer entry that gets the expiry meanwhile is the one that is returned, or is gone.
        backend.set_expiry(key, expiry).await?;
        let after = backend.get_versioned(key).await?;
        if after.version == before.version {
            return Ok(after.entry.map(|entry| entry.value));
        }
        before = after;
        races.lose().await?;
    }
}

/// The races for a key that were lost so far.
#[derive(Debug, Default)]
pub(crate) struct Races(u32);

impl Races {
    /// Notes that one was lost, and lets other tasks go first, for a random number of turns: calls that lost
    /// together do not come back together. It needs neither a runtime nor its timers.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for the last one.
    pub(crate) async fn lose(&mut self) -> Result<()> {
        self.0 += 1;
        if self.0 >= ATTEMPTS {
            return Err(ErrorKind::Conflict.into());
        }
        for _ in 0..fastrand::u32(0..1 << self.0.min(MOST_TURNS)) {
            yield_now().await;
        }
        Ok(())
    }
}
