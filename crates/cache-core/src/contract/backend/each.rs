//! Calls on many keys as loops over the single calls, for stores that have no such command.
//!
//! They are here to be called by name: a backend that loops says so in its own code.

use super::derived::tell;
use super::{CacheBackend, Cursor};
use crate::{BackendEntry, BackendWrite, Condition, Expiry, Result, Scope};

/// Calls `get` for each key.
///
/// # Errors
/// The first error ends the loop and is returned.
pub async fn get<V, B>(backend: &B, keys: &[&str]) -> Result<Vec<Option<V>>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("get_many");
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        values.push(backend.get(key).await?);
    }
    Ok(values)
}

/// Calls `get_entry` for each key.
///
/// # Errors
/// The first error ends the loop and is returned.
pub async fn get_entry<V, B>(backend: &B, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("get_entries");
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        entries.push(backend.get_entry(key).await?);
    }
    Ok(entries)
}

/// Calls `set` for each pair, in order.
///
/// # Errors
/// The first error ends the loop and is returned; earlier pairs are written.
pub async fn set<V, B>(backend: &B, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("set_many");
    for (key, value) in entries {
        backend
            .set(key, value, BackendWrite::new(expiry, Condition::Always))
            .await?;
    }
    Ok(())
}

/// Calls `delete` for each key and counts the entries that were there.
///
/// # Errors
/// The first error ends the loop and is returned; earlier keys are deleted.
pub async fn delete<V, B>(backend: &B, keys: &[&str]) -> Result<u64>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("delete_many");
    let mut count = 0;
    for key in keys {
        count += u64::from(backend.delete(key, Condition::Always).await?);
    }
    Ok(count)
}

/// Scans the scope and deletes each key; returns how many entries were there.
///
/// # Errors
/// The first error ends the loop and is returned; earlier keys are deleted.
pub async fn clear<V, B>(backend: &B, scope: &Scope) -> Result<u64>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V> + ?Sized,
{
    tell("clear");
    const PAGE: usize = 512;
    let (mut count, mut next) = (0, Some(Cursor::Start));
    while let Some(cursor) = next {
        let page = backend.scan(scope, cursor, PAGE).await?;
        let keys: Vec<&str> = page.keys.iter().map(String::as_str).collect();
        count += backend.delete_many(&keys).await?;
        next = page.next;
    }
    Ok(count)
}
