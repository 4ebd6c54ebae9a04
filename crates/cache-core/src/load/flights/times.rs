//! The times to live that loaders gave to values of their own accord.
//!
//! A backend tells how much time an entry has left, and not how much it was given. So what a load of
//! this process has stored with a time that is not that of its options is remembered here. Of an entry
//! that another process has stored nothing is known: it may be loaded ahead too early, once, which makes
//! its time known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::sync::Ordering;
use super::{FlightTable, MAX_HELD_OFF, MAX_HELD_OFF_KEY_BYTES};
use crate::Scope;

/// How much time a value was given, and when that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnTime {
    pub(crate) ttl: Duration,
    pub(crate) now: u64,
    pub(crate) until: u64,
}

/// What is known of the time to live of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenTtl {
    /// Its loader gave it this one.
    Own(Duration),
    /// It has the one of the options, as far as this process knows.
    Usual,
    /// Its loader may have given it one for which there was no room. A value with a short one would always
    /// look as if it was due.
    Forgotten,
}

/// The times of a stripe, by the [names](name_of) of the keys.
#[derive(Debug, Default)]
pub(super) struct OwnTimes {
    remembered: HashMap<Box<str>, OwnTime>,
    /// When the last value expires for whose time there was no room.
    forgotten_until: u64,
}

impl FlightTable {
    /// Tells what is remembered of the time to live of a key.
    pub(crate) fn given_ttl(&self, key: &str, now: u64) -> GivenTtl {
        if self.own_times.load(Ordering::SeqCst) == 0 {
            return GivenTtl::Usual;
        }
        let times = self.stripe(key).own_times.lock();
        match times.remembered.get(&*name_of(key)) {
            Some(time) => GivenTtl::Own(time.ttl),
            None if times.forgotten_until > now => GivenTtl::Forgotten,
            None => GivenTtl::Usual,
        }
    }

    /// Remembers the time to live of a key, or forgets the one of an earlier value.
    pub(crate) fn set_own_time(&self, key: &str, own: Option<OwnTime>) {
        let Some(own) = own else {
            return self.forget_own_time(key);
        };
        let name = name_of(key);
        let mut times = self.stripe(key).own_times.lock();
        let before = times.remembered.len();
        if before >= MAX_HELD_OFF && !times.remembered.contains_key(&*name) {
            times.remembered.retain(|_, time| time.until > own.now);
            let freed = before - times.remembered.len();
            self.own_times.fetch_sub(freed, Ordering::SeqCst);
            if freed == 0 {
                times.forgotten_until = times.forgotten_until.max(own.until);
                return;
            }
        }
        if times.remembered.insert(name.into(), own).is_none() {
            self.own_times.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn forget_own_time(&self, key: &str) {
        if self.own_times.load(Ordering::SeqCst) > 0 {
            let mut times = self.stripe(key).own_times.lock();
            if times.remembered.remove(&*name_of(key)).is_some() {
                self.own_times.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    pub(super) fn forget_own_times(&self, scope: &Scope) {
        if self.own_times.load(Ordering::SeqCst) == 0 {
            return;
        }
        for stripe in &self.stripes {
            let times = &mut stripe.own_times.lock().remembered;
            let before = times.len();
            // Of a name that was cut it is not known to which scope it belongs.
            times.retain(|name, _| name.len() <= MAX_HELD_OFF_KEY_BYTES && !scope.contains(name));
            self.own_times
                .fetch_sub(before - times.len(), Ordering::SeqCst);
        }
    }
}

/// Returns the name under which the time of a key is remembered: the key, or of a long one its beginning and a hash,
/// which together are longer than any key that is whole.
fn name_of(key: &str) -> Cow<'_, str> {
    if key.len() <= MAX_HELD_OFF_KEY_BYTES {
        return Cow::Borrowed(key);
    }
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let mut end = MAX_HELD_OFF_KEY_BYTES;
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{:016x}", &key[..end], hasher.finish()))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::{FlightTable, GivenTtl, OwnTime};
    use crate::Scope;
    use crate::load::flights::sync::Ordering;

    const TTL: Duration = Duration::from_secs(1);

    fn own_time(now: u64) -> Option<OwnTime> {
        let (ttl, until) = (TTL, now + 10);
        Some(OwnTime { ttl, now, until })
    }

    #[test]
    fn what_is_remembered_is_bounded_and_makes_room_for_what_is_new() {
        let flights = FlightTable::new();
        let add = |keys: std::ops::Range<u32>, now| {
            for key in keys {
                flights.set_own_time(&key.to_string(), own_time(now));
            }
            flights.own_times.load(Ordering::SeqCst)
        };
        assert!((60_000..=65_536).contains(&add(0..200_000, 0)));
        // Those for which there was no room are not taken for such as were given no time.
        assert_eq!(flights.given_ttl("199999", 9), GivenTtl::Forgotten);
        assert_eq!(flights.given_ttl("199999", 10), GivenTtl::Usual);
        assert!(add(200_000..201_000, 10) < 65_536);
        assert_eq!(flights.given_ttl("200999", 10), GivenTtl::Own(TTL));
        flights.set_own_time("200999", None);
        assert_eq!(flights.given_ttl("200999", 10), GivenTtl::Usual);
    }

    #[test]
    fn a_key_of_any_length_has_its_time_until_it_is_written_or_cleared() {
        let flights = FlightTable::new();
        let long = |last: &str| format!("{}{last}", "ä".repeat(1_000));
        let (first, second) = (long("1"), long("2"));
        flights.set_own_time(&first, own_time(0));
        assert_eq!(flights.given_ttl(&first, 0), GivenTtl::Own(TTL));
        assert_eq!(flights.given_ttl(&second, 0), GivenTtl::Usual);
        flights.forget_own_time(&first);
        assert_eq!(flights.given_ttl(&first, 0), GivenTtl::Usual);
        flights.set_own_time(&first, own_time(0));
        flights.forget_own_times(&Scope::root());
        assert_eq!(flights.given_ttl(&first, 0), GivenTtl::Usual);
        assert_eq!(flights.own_times.load(Ordering::SeqCst), 0);
    }
}
