//! The locks of the in-process backend.

use std::time::Duration;

use async_trait::async_trait;
use cache_core::{Acquired, LockToken, Locks, Result};

use super::LocalBackend;

#[async_trait]
impl<V: Clone + Send + Sync + 'static> Locks for LocalBackend<V> {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired> {
        Ok(self.locks.acquire(name, ttl))
    }

    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool> {
        Ok(self.locks.extend(name, token, ttl))
    }

    async fn release(&self, name: &str, token: LockToken) -> Result<bool> {
        Ok(self.locks.release(name, token))
    }

    async fn released(&self, name: &str, at_most: Duration) {
        self.locks.released(name, at_most).await;
    }
}
