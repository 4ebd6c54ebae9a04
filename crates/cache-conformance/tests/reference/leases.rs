//! The load leases of the reference, beside its entries.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{CacheBackend, Claim, Condition, Expiry, LoadLease, LoadLeases, Result};
use tokio::task::yield_now;

use super::Bug;
use super::backend::Reference;

/// The leases, with their ends, and the last token.
#[derive(Default)]
pub(super) struct Leases {
    granted: BTreeMap<String, (LoadLease, u64)>,
    last_token: u64,
}

impl Leases {
    /// Ends the leases of some keys, and returns how many there were.
    pub(super) fn revoke(&mut self, is_one: impl Fn(&str) -> bool) -> usize {
        let before = self.granted.len();
        self.granted.retain(|key, _| !is_one(key));
        before - self.granted.len()
    }

    fn grant(&mut self, key: &str, end: u64) -> LoadLease {
        self.last_token += 1;
        let lease = LoadLease::new(self.last_token, self.last_token);
        self.granted.insert(key.to_owned(), (lease, end));
        lease
    }

    fn held(&self, key: &str, now: u64) -> Option<(LoadLease, u64)> {
        self.granted.get(key).copied().filter(|(_, end)| *end > now)
    }
}

impl<V: TestValue> Reference<V> {
    pub(super) fn is_held(&self, key: &str, lease: LoadLease) -> bool {
        let held = self.leases.lock().expect("no call panics");
        held.held(key, self.clock.nanos())
            .is_some_and(|(held, _)| held == lease)
    }
}

#[async_trait]
impl<V: TestValue> LoadLeases<V> for Reference<V> {
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<V>> {
        if let Some(value) = self.get(key).await? {
            return Ok(Claim::Found(value));
        }
        if self.bug == Some(Bug::ClaimNotAtomic) {
            let now = self.clock.nanos();
            let is_held = {
                let leases = self.leases.lock().expect("no call panics");
                leases.held(key, now).is_some()
            };
            yield_now().await;
            if !is_held {
                let mut leases = self.leases.lock().expect("no call panics");
                return Ok(Claim::Granted(leases.grant(key, now + 1)));
            }
        }
        let mut leases = self.leases.lock().expect("no call panics");
        // Under the lock: a lease that was granted later must not seem to last longer.
        let now = self.clock.nanos();
        Ok(match leases.held(key, now) {
            Some((lease, end)) => Claim::Held {
                left: Duration::from_nanos(end - now),
                lease: Some(lease),
            },
            None => Claim::Granted(leases.grant(key, self.clock.deadline_nanos(ttl))),
        })
    }

    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool> {
        let is_held = self.is_held(key, lease);
        if is_held {
            let mut leases = self.leases.lock().expect("no call panics");
            let end = self.clock.deadline_nanos(ttl);
            leases.granted.insert(key.to_owned(), (lease, end));
        }
        Ok(is_held)
    }

    async fn fill(&self, key: &str, lease: LoadLease, value: V, expiry: Expiry) -> Result<bool> {
        let is_held = self.is_held(key, lease);
        if is_held {
            self.set(key, value, super::backend::always(expiry)).await?;
        }
        Ok(is_held)
    }

    async fn release(&self, key: &str, lease: LoadLease) -> Result<()> {
        if self.is_held(key, lease) {
            let mut leases = self.leases.lock().expect("no call panics");
            leases.revoke(|held| held == key);
        }
        Ok(())
    }

    async fn discard(&self, key: &str, value: V) -> Result<()> {
        let found = self.get(key).await?;
        if found.is_some_and(|found| found.to_text() == value.to_text()) {
            self.delete(key, Condition::Always).await?;
        }
        Ok(())
    }

    async fn ended(&self, _key: &str, at_most: Duration) {
        tokio::time::sleep(at_most).await;
    }
}
