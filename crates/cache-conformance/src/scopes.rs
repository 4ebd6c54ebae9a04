//! Scopes as the facade makes them, for calls of a backend without the facade.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache_core::{
    BackendStats, Cache, CacheBackend, Capabilities, Cursor, Entry, Error, ErrorKind, Expiry, Page,
    ReadNow, Result, Scope, WriteOptions,
};

/// Returns the scope of the keys that start with `prefix` in a namespace.
///
/// Only the facade can make a scope, so this asks it for keys and keeps what the backend was told.
pub(crate) async fn scope(namespaces: &[&str], prefix: &str) -> Scope {
    let recorder = Arc::new(Recorder::default());
    let mut cache: Cache<(), _> = Cache::with_backend(Arc::clone(&recorder));
    for name in namespaces {
        cache = cache.namespace(name).expect("the suite uses valid names");
    }
    cache
        .keys_with_prefix(prefix)
        .await
        .expect("the recorder answers");
    let seen = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone().expect("the facade scanned")
}

/// A backend that remembers the scope of the last scan and can do nothing else.
#[derive(Debug, Default)]
struct Recorder(Mutex<Option<Scope>>);

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported {
        what: "anything but a scan".into(),
    }))
}

impl CacheBackend<()> for Recorder {
    fn read_now(&self, _: &str) -> ReadNow<()> {
        ReadNow::WouldWait
    }

    async fn get(&self, _: &str) -> Result<Option<()>> {
        unsupported()
    }

    async fn get_entry(&self, _: &str) -> Result<Option<Entry<()>>> {
        unsupported()
    }

    async fn set(&self, _: &str, (): (), _: WriteOptions) -> Result<bool> {
        unsupported()
    }

    async fn swap(&self, _: &str, (): (), _: Expiry) -> Result<Option<()>> {
        unsupported()
    }

    async fn delete(&self, _: &str) -> Result<bool> {
        unsupported()
    }

    async fn expiry(&self, _: &str) -> Result<Option<Expiry>> {
        unsupported()
    }

    async fn set_expiry(&self, _: &str, _: Expiry) -> Result<bool> {
        unsupported()
    }

    async fn get_many(&self, _: &[&str]) -> Result<Vec<Option<()>>> {
        unsupported()
    }

    async fn set_many(&self, _: Vec<(&str, ())>, _: Expiry) -> Result<()> {
        unsupported()
    }

    async fn delete_many(&self, _: &[&str]) -> Result<u64> {
        unsupported()
    }

    async fn scan(&self, scope: &Scope, _: Cursor, _: usize) -> Result<Page> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(scope.clone());
        Ok(Page::new(Vec::new(), None))
    }

    async fn clear(&self, _: &Scope) -> Result<u64> {
        unsupported()
    }

    fn default_ttl(&self) -> Option<Duration> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }
}
