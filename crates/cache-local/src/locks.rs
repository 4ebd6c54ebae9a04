//! The locks of one backend.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache_core::timer::timeout;
use cache_core::{Acquired, Clock, LockToken};
use tokio::sync::Notify;

use crate::sync::Mutex;

/// How long a waiter relies on being woken: the one that was may have gone away.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// How many locks there are at the least before those that nobody needs are looked for.
const MIN_SWEEP: usize = 64;

/// All locks that are held or waited for.
#[derive(Debug)]
pub(crate) struct LockTable {
    clock: Clock,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    locks: HashMap<Box<str>, Slot>,
    last_token: u64,
    next_sweep: usize,
}

#[derive(Debug)]
struct Slot {
    holder: Option<Holder>,
    /// Wakes one waiter when the lock is released. Whoever waits has a share of it.
    bell: Arc<Notify>,
}

#[derive(Debug)]
struct Holder {
    token: LockToken,
    until: u64,
}

impl Slot {
    /// Returns the holder whose time is not over.
    fn holder(&self, now: u64) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| holder.until > now)
    }

    fn is_needed(&self, now: u64) -> bool {
        self.holder(now).is_some() || Arc::strong_count(&self.bell) > 1
    }
}

impl LockTable {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            table: Mutex::default(),
        }
    }

    pub(crate) fn acquire(&self, name: &str, ttl: Duration) -> Acquired {
        let mut table = self.table.lock();
        let now = self.clock.nanos();
        if let Some(holder) = table.locks.get(name).and_then(|slot| slot.holder(now)) {
            return Acquired::Held(Duration::from_nanos(holder.until - now));
        }
        let token = table.next_token();
        let holder = Some(Holder {
            token,
            until: self.clock.deadline_nanos(ttl),
        });
        match table.locks.get_mut(name) {
            Some(slot) => slot.holder = holder,
            None => table.insert(name, holder, now),
        }
        Acquired::Granted(token)
    }

    /// Lets a lock last for `ttl` from now, if it is still that holder's.
    pub(crate) fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> bool {
        let mut table = self.table.lock();
        let now = self.clock.nanos();
        let Some(slot) = table.locks.get_mut(name) else {
            return false;
        };
        let is_ours = slot.holder(now).is_some_and(|holder| holder.token == token);
        if is_ours {
            let until = self.clock.deadline_nanos(ttl);
            slot.holder = Some(Holder { token, until });
        }
        is_ours
    }

    /// Frees a lock, if it is still that holder's.
    pub(crate) fn release(&self, name: &str, token: LockToken) -> bool {
        let mut table = self.table.lock();
        let now = self.clock.nanos();
        let Some(slot) = table.locks.get_mut(name) else {
            return false;
        };
        let is_ours = slot.holder(now).is_some_and(|holder| holder.token == token);
        if is_ours {
            slot.holder = None;
            slot.bell.notify_one();
        }
        if !slot.is_needed(now) {
            table.locks.remove(name);
        }
        is_ours
    }

    /// Returns when a lock may be free.
    pub(crate) async fn released(&self, name: &str, at_most: Duration) {
        let bell = {
            let table = self.table.lock();
            let now = self.clock.nanos();
            match table.locks.get(name) {
                Some(slot) if slot.holder(now).is_some() => Arc::clone(&slot.bell),
                _ => return,
            }
        };
        // What was released since is told all the same.
        let _ = timeout(at_most.min(LOOK_ANYWAY), pin!(bell.notified())).await;
    }

    /// Returns how many locks are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.table.lock().locks.len()
    }
}

impl Table {
    fn insert(&mut self, name: &str, holder: Option<Holder>, now: u64) {
        // A holder that died leaves its lock behind.
        if self.locks.len() >= self.next_sweep.max(MIN_SWEEP) {
            self.locks.retain(|_, slot| slot.is_needed(now));
            self.next_sweep = self.locks.len() * 2;
        }
        let bell = Arc::default();
        self.locks.insert(name.into(), Slot { holder, bell });
    }

    /// Returns a token above all that were given, also by a process before this one.
    fn next_token(&mut self) -> LockToken {
        // No other holder of this process has the number, so nothing need be random.
        let token = LockToken::after(self.last_token, 0);
        self.last_token = token.fencing_token();
        token
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_core::{Acquired, Clock};

    use super::{LockTable, MIN_SWEEP};

    const TTL: Duration = Duration::from_secs(10);

    #[test]
    fn a_lock_that_was_released_is_forgotten_and_so_is_one_that_expired_later() {
        let (clock, hand) = Clock::manual();
        let table = LockTable::new(clock);
        let Acquired::Granted(token) = table.acquire("job", TTL) else {
            panic!("nobody has it");
        };
        assert!(table.release("job", token));
        assert_eq!(table.len(), 0);
        for number in 0..MIN_SWEEP {
            let _ = table.acquire(&number.to_string(), TTL);
        }
        assert_eq!(table.len(), MIN_SWEEP);
        hand.advance(TTL);
        let _ = table.acquire("one more", TTL);
        assert_eq!(table.len(), 1);
    }
}
