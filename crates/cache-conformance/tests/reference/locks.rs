//! The locks of the reference, beside its entries.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{Acquired, LockToken, Locks, Result};
use tokio::task::yield_now;

use super::Bug;
use super::backend::Reference;

/// The locks that were granted, with their ends, and the last token.
#[derive(Default)]
pub(super) struct Granted {
    locks: BTreeMap<String, (LockToken, u64)>,
    last_token: u64,
    last_nonce: u64,
}

impl<V: TestValue> Reference<V> {
    fn holder(&self, name: &str) -> Option<(LockToken, u64)> {
        let granted = self.locks.lock().expect("no call panics");
        let now = self.clock.nanos();
        let lasts = |end: u64| end > now || self.bug == Some(Bug::LocksNeverEnd);
        granted
            .locks
            .get(name)
            .copied()
            .filter(|(_, end)| lasts(*end))
    }

    fn has_lock(&self, name: &str, token: LockToken) -> bool {
        let holder = self.holder(name);
        match self.bug {
            Some(Bug::LocksOfAnybody) => holder.is_some(),
            Some(Bug::LocksOfThePast) => {
                let granted = self.locks.lock().expect("no call panics");
                granted
                    .locks
                    .get(name)
                    .is_some_and(|(held, _)| *held == token)
            }
            _ => holder.is_some_and(|(held, _)| held == token),
        }
    }

    /// Removes the holder, whoever that is.
    fn free(&self, name: &str) {
        let mut granted = self.locks.lock().expect("no call panics");
        granted.locks.remove(name);
    }

    fn grant(&self, name: &str, ttl: Duration) -> LockToken {
        let mut granted = self.locks.lock().expect("no call panics");
        if self.bug != Some(Bug::LockTokensRepeat) {
            granted.last_token += 1;
        }
        granted.last_nonce += 1;
        let token = LockToken::new(granted.last_token, granted.last_nonce);
        let end = self.clock.deadline_nanos(ttl);
        granted.locks.insert(name.to_owned(), (token, end));
        token
    }
}

#[async_trait]
impl<V: TestValue> Locks for Reference<V> {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired> {
        if self.bug == Some(Bug::LockNotAtomic) && self.holder(name).is_none() {
            yield_now().await;
            return Ok(Acquired::Granted(self.grant(name, ttl)));
        }
        let _one_at_a_time = self.acquiring.lock().expect("no call panics");
        if let Some((_, end)) = self.holder(name) {
            let left = end.saturating_sub(self.clock.nanos());
            return Ok(Acquired::Held(Duration::from_nanos(left)));
        }
        Ok(Acquired::Granted(self.grant(name, ttl)))
    }

    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool> {
        let _one_at_a_time = self.acquiring.lock().expect("no call panics");
        let has_lock = self.has_lock(name, token);
        if has_lock && self.bug != Some(Bug::LocksNotExtended) {
            let mut granted = self.locks.lock().expect("no call panics");
            let end = self.clock.deadline_nanos(ttl);
            granted.locks.insert(name.to_owned(), (token, end));
        }
        Ok(has_lock)
    }

    async fn release(&self, name: &str, token: LockToken) -> Result<bool> {
        if self.bug == Some(Bug::ReleaseNotAtomic) {
            let had_lock = self.has_lock(name, token);
            yield_now().await;
            if had_lock {
                self.free(name);
            }
            return Ok(had_lock);
        }
        let _one_at_a_time = self.acquiring.lock().expect("no call panics");
        let has_lock = self.has_lock(name, token);
        if has_lock && self.bug != Some(Bug::LocksNotReleased) {
            self.free(name);
        }
        Ok(has_lock)
    }

    async fn released(&self, name: &str, _at_most: Duration) {
        while self.holder(name).is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
