//! Locks over a store of bytes that has none: entries that are compared and set.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{ByteStore, EncodedBackend};
use crate::backend::derived::Races;
use crate::keyspace::{lock_key, lock_token_key};
use crate::timer::sleep;
use crate::{Acquired, BackendWrite, Condition, Expiry, LockToken, Locks, Result, Versioned};

/// How long the last token of a lock is kept.
const TOKENS_KEPT: Expiry = Expiry::After(Duration::from_secs(24 * 60 * 60));
/// How soon a waiter looks for the first time, and how often at the least.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// The holder of a lock is an entry that expires with it. Its token is above the last one, which another
/// entry keeps.
#[async_trait]
impl<S: ByteStore, C: Send + Sync + 'static> Locks for EncodedBackend<S, C> {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired> {
        let (key, token_key) = (lock_key(name), lock_token_key(name));
        let mut races = Races::default();
        loop {
            if let Some(holder) = self.store.get_versioned(&key).await?.entry {
                return Ok(Acquired::Held(holder.expiry.remaining().unwrap_or(ttl)));
            }
            let token = self.next_token(&token_key).await?;
            let options = BackendWrite::new(Expiry::After(ttl), Condition::IfAbsent);
            if self.store.set(&key, encode(token), options).await? {
                // Whoever drew a higher token since may have had the lock and have given it back. Then ours
                // would be lower than that of an earlier holder.
                if self.last_token(&token_key).await?.1 == token.fencing_token() {
                    return Ok(Acquired::Granted(token));
                }
                self.release(name, token).await?;
            }
            races.lose().await?;
        }
    }

    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool> {
        let key = lock_key(name);
        let mut races = Races::default();
        while let Some(held) = self.held_by(&key, token).await? {
            let options = BackendWrite::new(Expiry::After(ttl), held);
            if self.store.set(&key, encode(token), options).await? {
                return Ok(true);
            }
            // Lost to another `extend`, maybe: then the token still holds the lock.
            races.lose().await?;
        }
        Ok(false)
    }

    async fn release(&self, name: &str, token: LockToken) -> Result<bool> {
        let key = lock_key(name);
        let mut races = Races::default();
        while let Some(held) = self.held_by(&key, token).await? {
            if self.store.delete(&key, held).await? {
                return Ok(true);
            }
            // Lost to an `extend`, maybe: then the token still holds the lock.
            races.lose().await?;
        }
        Ok(false)
    }

    async fn released(&self, name: &str, at_most: Duration) {
        let (key, end) = (lock_key(name), Instant::now() + at_most);
        let mut pause = LOOK.0;
        // Whoever gets no answer now would get none to `acquire`.
        while let Ok(Some(_)) = self.store.expiry(&key).await {
            let left = end.duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LOOK.1);
        }
    }
}

impl<S: ByteStore, C: Sync> EncodedBackend<S, C> {
    /// Returns the condition that a lock still has this holder, if it has.
    async fn held_by(&self, key: &str, token: LockToken) -> Result<Option<Condition>> {
        let Versioned { entry, version } = self.store.get_versioned(key).await?;
        let is_ours = entry.is_some_and(|entry| entry.value == encode(token));
        Ok(version.filter(|_| is_ours).map(Condition::IfVersion))
    }

    /// Draws a token above all that were drawn.
    async fn next_token(&self, key: &str) -> Result<LockToken> {
        let mut races = Races::default();
        loop {
            let (unchanged, last) = self.last_token(key).await?;
            let token = LockToken::after(last, fastrand::u64(..));
            let options = BackendWrite::new(TOKENS_KEPT, unchanged);
            let text = Bytes::from(token.fencing_token().to_string());
            if self.store.set(key, text, options).await? {
                return Ok(token);
            }
            races.lose().await?;
        }
    }

    /// Returns the token that was drawn last, or 0, and the condition that this is still so.
    async fn last_token(&self, key: &str) -> Result<(Condition, u64)> {
        let Versioned { entry, version } = self.store.get_versioned(key).await?;
        let text = entry.and_then(|entry| String::from_utf8(entry.value.into()).ok());
        let last = text.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((Condition::unchanged(version), last))
    }
}

fn encode(token: LockToken) -> Bytes {
    format!("{} {:016x}", token.fencing_token(), token.nonce()).into()
}
