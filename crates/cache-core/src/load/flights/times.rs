//! The times to live that loaders gave to values of their own accord.
//!
//! A backend tells how much time an entry has left, and not how much it was given. So what a load of
//! this process has stored with a time that is not that of its options is remembered here. Of an entry
//! that another process has stored nothing is known: it may be loaded ahead too early, once, which makes
//! its time known.

use std::collections::HashMap;
use std::time::Duration;

use super::sync::Ordering;
use super::{Flights, MAX_HELD_OFF, MAX_HELD_OFF_KEY_BYTES};
use crate::Scope;

/// How much time a value was given, and when that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnTime {
    pub(crate) ttl: Duration,
    pub(crate) now: u64,
    pub(crate) until: u64,
}

/// By the keys of the backend.
pub(super) type OwnTimes = HashMap<Box<str>, OwnTime>;

impl<V> Flights<V> {
    /// Returns the time to live that the loader of a key gave, if it is remembered.
    pub(crate) fn own_ttl(&self, key: &str) -> Option<Duration> {
        if self.own_times.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let times = self.stripe(key).own_times.lock();
        times.get(key).map(|time| time.ttl)
    }

    /// Remembers the time to live of a key, or forgets the one of an earlier value.
    pub(crate) fn set_own_time(&self, key: &str, own: Option<OwnTime>) {
        let Some(own) = own.filter(|_| key.len() <= MAX_HELD_OFF_KEY_BYTES) else {
            return self.forget_own_time(key);
        };
        let mut times = self.stripe(key).own_times.lock();
        if times.len() >= MAX_HELD_OFF && !times.contains_key(key) {
            let before = times.len();
            times.retain(|_, time| time.until > own.now);
            let freed = before - times.len();
            self.own_times.fetch_sub(freed, Ordering::SeqCst);
            if freed == 0 {
                return;
            }
        }
        if times.insert(key.into(), own).is_none() {
            self.own_times.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn forget_own_time(&self, key: &str) {
        if self.own_times.load(Ordering::SeqCst) > 0
            && self.stripe(key).own_times.lock().remove(key).is_some()
        {
            self.own_times.fetch_sub(1, Ordering::SeqCst);
        }
    }

    pub(super) fn forget_own_times(&self, scope: &Scope) {
        if self.own_times.load(Ordering::SeqCst) == 0 {
            return;
        }
        for stripe in &self.stripes {
            let mut times = stripe.own_times.lock();
            let before = times.len();
            times.retain(|key, _| !scope.contains(key));
            self.own_times
                .fetch_sub(before - times.len(), Ordering::SeqCst);
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::{Flights, OwnTime};
    use crate::load::flights::sync::Ordering;

    #[test]
    fn what_is_remembered_is_bounded_and_makes_room_for_what_is_new() {
        let flights = Flights::<u32>::new();
        let ttl = Duration::from_secs(1);
        let add = |keys: std::ops::Range<u32>, now| {
            let until = now + 10;
            let own = OwnTime { ttl, now, until };
            for key in keys {
                flights.set_own_time(&key.to_string(), Some(own));
            }
            flights.own_times.load(Ordering::SeqCst)
        };
        assert!((60_000..=65_536).contains(&add(0..200_000, 0)));
        assert!(add(200_000..201_000, 10) < 65_536);
        assert_eq!(flights.own_ttl("200999"), Some(ttl));
        flights.set_own_time("200999", None);
        assert_eq!(flights.own_ttl("200999"), None);
        flights.set_own_time(
            &"x".repeat(1_025),
            Some(OwnTime {
                ttl,
                now: 0,
                until: 1,
            }),
        );
        assert_eq!(flights.own_ttl(&"x".repeat(1_025)), None);
    }
}
