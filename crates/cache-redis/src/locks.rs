//! Locks for work that only one of many processes should do.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Acquired, Error, LoadLease, LockToken, Locks, Result};

use crate::RedisStore;
use crate::client::{ClaimTerms, Claimed, slot};

/// How long the last token of a lock is kept.
const TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A lock is a lease beside the keys of the store, and the tokens are those of leases: microseconds of the
/// server's clock. The last one is kept for a day besides. So they grow also when the clock is set back,
/// unless a failover loses the last token as well.
#[async_trait]
impl Locks for RedisStore {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired> {
        let [key, token] = self.lock_keys(name)?;
        let terms = ClaimTerms {
            kept: Some((token, TOKENS_KEPT)),
            ..self.leases().terms(ttl)
        };
        let (nonce, bytes) = (terms.nonce, key.len());
        let claim = self
            .link()
            .write((key, terms), |connection, (key, terms)| async move {
                connection.claim(key, terms).await
            });
        Ok(match self.observe("acquire lock", bytes, claim).await? {
            Claimed::Token(token) => {
                let lease = self.leases().granted(token, nonce);
                Acquired::Granted(LockToken::new(lease.fencing_token(), lease.nonce()))
            }
            Claimed::Held(left, _) => Acquired::Held(left.remaining().unwrap_or(ttl)),
            // Nobody but a stranger has put a value there. It is waited for as a lock would be.
            Claimed::Value(_) => Acquired::Held(ttl),
        })
    }

    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool> {
        let [key, _] = self.lock_keys(name)?;
        let (lease, bytes) = (lease(token), key.len());
        let extend = self.link().write(key, |connection, key| async move {
            connection.extend(key, lease, ttl).await
        });
        self.observe("extend lock", bytes, extend).await
    }

    async fn release(&self, name: &str, token: LockToken) -> Result<bool> {
        let [key, _] = self.lock_keys(name)?;
        let (lease, bytes) = (lease(token), key.len());
        let payload = (self.call(&key), key);
        let release = self
            .link()
            .write(payload, |connection, (call, key)| async move {
                connection.release(key, lease, Some(call)).await
            });
        self.observe("release lock", bytes, release).await
    }

    async fn released(&self, name: &str, at_most: Duration) {
        if let Ok([key, _]) = self.lock_keys(name) {
            self.until_free(&key, at_most).await;
        }
    }
}

impl RedisStore {
    /// Returns the keys of a lock and of its last token.
    fn lock_keys(&self, name: &str) -> Result<[Bytes; 2]> {
        if self.keys().are_bare() {
            let what = "a lock beside bare keys; choose a namespace";
            return Err(Error::unsupported(what));
        }
        Ok(self.keys().lock(slot(name.as_bytes()), name))
    }
}

const fn lease(token: LockToken) -> LoadLease {
    LoadLease::new(token.fencing_token(), token.nonce())
}
