//! Decides which reads of the second tier may be kept in the first, and until when it may serve.
//!
//! Every read of the second tier is a *flight*, at most one for each key: whoever wants the same
//! key meanwhile waits for it. A change of the key *detaches* its flight: what the flight brings
//! is not kept, and nobody joins it any more. So a value that was read before a change is never
//! put in the first tier after it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_core::{BackendEntry, Result, Scope};
use tokio::sync::{MutexGuard as AsyncGuard, watch};

/// A power of two. Keys of one stripe wait for each other while one is put in the first tier.
const STRIPES: usize = 512;

/// What a flight has brought.
pub(crate) type Outcome<V> = Arc<Result<Option<BackendEntry<V>>>>;

type Landing<V> = watch::Receiver<Option<Outcome<V>>>;

/// The flights, the epoch and the permit.
#[derive(Debug)]
pub(crate) struct Fence<V> {
    /// How often everything was declared invalid.
    epoch: AtomicU64,
    /// Until when the first tier may serve, in nanoseconds of the clock that runs during suspend.
    permit: AtomicU64,
    /// How often tags were declared invalid.
    tag_epoch: AtomicU64,
    next_flight: AtomicU64,
    stripes: Box<[Stripe<V>]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Stripe<V> {
    flights: Mutex<HashMap<Box<str>, Flight<V>>>,
    /// Held while a value is put in the first tier or taken from it.
    first_tier: tokio::sync::Mutex<()>,
}

impl<V> Stripe<V> {
    fn flights(&self) -> MutexGuard<'_, HashMap<Box<str>, Flight<V>>> {
        // What panics while it is held is the allocator at most; the map is whole.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Flight<V> {
    id: u64,
    epoch: u64,
    tag_epoch: u64,
    started: u64,
    landing: Landing<V>,
}

/// The way to a value of the second tier.
pub(crate) enum Boarding<'f, V> {
    /// Nobody is reading the key: read it, then [`Lead::land`].
    Lead(Lead<'f, V>),
    /// Somebody is.
    Join(Join<V>),
}

impl<V: Send + Sync> Fence<V> {
    pub(crate) fn new() -> Self {
        let stripe = || Stripe {
            flights: Mutex::default(),
            first_tier: tokio::sync::Mutex::default(),
        };
        Self {
            epoch: AtomicU64::new(0),
            permit: AtomicU64::new(0),
            tag_epoch: AtomicU64::new(0),
            next_flight: AtomicU64::new(0),
            stripes: std::iter::repeat_with(stripe).take(STRIPES).collect(),
            hasher: RandomState::new(),
        }
    }

    fn stripe(&self, key: &str) -> &Stripe<V> {
        &self.stripes[self.hasher.hash_one(key) as usize & (STRIPES - 1)]
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Declares everything invalid that was read so far and that is being read.
    pub(crate) fn flush(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets nobody join a flight that is under way: what it brings may have a tag that is invalid now.
    pub(crate) fn outdate_flights(&self) {
        self.tag_epoch.fetch_add(1, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn permit(&self) -> u64 {
        self.permit.load(Ordering::Acquire)
    }

    pub(crate) fn extend_permit(&self, until: u64) {
        self.permit.fetch_max(until, Ordering::AcqRel);
    }

    /// Joins the flight of a key, or starts one. A flight that began before `oldest` is left alone.
    pub(crate) fn board<'f>(&'f self, key: &'f str, now: u64, oldest: u64) -> Boarding<'f, V> {
        let stripe = self.stripe(key);
        let (epoch, tag_epoch) = (self.epoch(), self.tag_epoch.load(Ordering::Acquire));
        let mut flights = stripe.flights();
        if let Some(flight) = flights.get(key)
            && flight.epoch == epoch
            && flight.tag_epoch == tag_epoch
            && flight.started >= oldest
        {
            return Boarding::Join(Join {
                landing: flight.landing.clone(),
                later: now.saturating_sub(flight.started),
            });
        }
        let (sender, landing) = watch::channel(None);
        let id = self.next_flight.fetch_add(1, Ordering::Relaxed);
        let flight = Flight {
            id,
            epoch,
            tag_epoch,
            started: now,
            landing,
        };
        flights.insert(key.into(), flight);
        Boarding::Lead(Lead {
            fence: self,
            stripe,
            key,
            id,
            epoch,
            started: now,
            sender,
        })
    }

    /// Returns the way to join the flight of a key, if there is one.
    pub(crate) fn flight(&self, key: &str) -> Option<Join<V>> {
        let flights = self.stripe(key).flights();
        let flight = flights.get(key)?;
        (flight.epoch == self.epoch()).then(|| Join {
            landing: flight.landing.clone(),
            later: 0,
        })
    }

    /// Detaches the flight of a key and holds off others that would put it in the first tier, from
    /// which the caller takes it.
    pub(crate) async fn detach(&self, key: &str) -> AsyncGuard<'_, ()> {
        let stripe = self.stripe(key);
        stripe.flights().remove(key);
        stripe.first_tier.lock().await
    }

    /// Detaches the flights of a scope, and returns when none of them is about to land.
    pub(crate) async fn detach_scope(&self, scope: &Scope) {
        for stripe in &self.stripes {
            stripe.flights().retain(|key, _| !scope.contains(key));
            drop(stripe.first_tier.lock().await);
        }
    }

    /// Returns how many flights are under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        let count = |stripe: &Stripe<V>| stripe.flights().len();
        self.stripes.iter().map(count).sum()
    }
}

/// A flight that somebody else leads.
pub(crate) struct Join<V> {
    landing: Landing<V>,
    /// How long after the start of the flight it was joined, in nanoseconds.
    later: u64,
}

impl<V: Send + Sync> Join<V> {
    /// Waits for the end of the flight; `None` if it was given up, or if what it brings may have expired
    /// before it was joined: how long the value had left is only known as of the start.
    pub(crate) async fn landed(mut self) -> Option<Outcome<V>> {
        let outcome = self.landing.wait_for(Option::is_some).await.ok()?.clone()?;
        let found = outcome.as_ref().as_ref().ok().and_then(Option::as_ref);
        let left = found.and_then(|entry| entry.expiry.remaining());
        let had_expired = left.is_some_and(|left| left.as_nanos() <= u128::from(self.later));
        (!had_expired).then_some(outcome)
    }
}

/// A flight, led. Dropped before it has landed, it lets somebody else begin.
pub(crate) struct Lead<'f, V> {
    fence: &'f Fence<V>,
    stripe: &'f Stripe<V>,
    pub(crate) key: &'f str,
    id: u64,
    pub(crate) epoch: u64,
    pub(crate) started: u64,
    sender: watch::Sender<Option<Outcome<V>>>,
}

impl<V: Send + Sync> Lead<'_, V> {
    /// Returns the permission to put what was read in the first tier, or `None` if the key has
    /// changed meanwhile. While it is held the key does not change.
    pub(crate) async fn permission(&self) -> Option<AsyncGuard<'_, ()>> {
        let guard = self.stripe.first_tier.lock().await;
        let is_attached = {
            let flights = self.stripe.flights();
            flights.get(self.key).is_some_and(|now| now.id == self.id)
        };
        (is_attached && self.epoch == self.fence.epoch()).then_some(guard)
    }

    /// Ends the flight and tells everybody who has joined.
    pub(crate) fn land(self, outcome: impl FnOnce() -> Result<Option<BackendEntry<V>>>) {
        self.leave();
        // Nobody can join from here on. The receiver in the table is gone.
        if self.sender.receiver_count() > 0 {
            self.sender.send_replace(Some(Arc::new(outcome())));
        }
    }
}

impl<V> Lead<'_, V> {
    fn leave(&self) {
        let mut flights = self.stripe.flights();
        if flights.get(self.key).is_some_and(|now| now.id == self.id) {
            flights.remove(self.key);
        }
    }
}

impl<V> Drop for Lead<'_, V> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cache_core::{BackendEntry, Expiry};

    use super::{Boarding, Fence, Join, Lead};

    fn lead<'f>(fence: &'f Fence<u32>, key: &'f str) -> Lead<'f, u32> {
        match fence.board(key, 0, 0) {
            Boarding::Lead(lead) => lead,
            Boarding::Join(_) => panic!("nobody else reads"),
        }
    }

    fn join(fence: &Fence<u32>, key: &str, now: u64) -> Join<u32> {
        match fence.board(key, now, 0) {
            Boarding::Join(join) => join,
            Boarding::Lead(_) => panic!("somebody reads"),
        }
    }

    #[tokio::test]
    async fn a_reader_is_not_told_what_may_have_expired_before_it_came() {
        let fence = Fence::new();
        let lead = lead(&fence, "key");
        let (early, late) = (join(&fence, "key", 999), join(&fence, "key", 1_000));
        let entry = BackendEntry::new(7, Expiry::After(Duration::from_micros(1)));
        lead.land(|| Ok(Some(entry)));
        let told = early.landed().await.expect("it had not expired");
        assert_eq!(told.as_ref().as_ref().unwrap().as_ref().unwrap().value, 7);
        assert!(late.landed().await.is_none());
    }

    #[tokio::test]
    async fn nothing_is_left_of_flights_that_have_landed_or_were_given_up() {
        let fence = Fence::new();
        for number in 0..1_000 {
            let (landed, dropped) = (format!("a{number}"), format!("b{number}"));
            lead(&fence, &landed).land(|| Ok(None));
            let given_up = lead(&fence, &dropped);
            assert_eq!(fence.under_way(), 1);
            drop(given_up);
        }
        assert_eq!(fence.under_way(), 0);
    }

    #[tokio::test]
    async fn a_flight_that_was_detached_takes_nothing_from_its_successor() {
        let fence = Fence::new();
        let old = lead(&fence, "key");
        drop(fence.detach("key").await);
        let new = lead(&fence, "key");
        assert!(old.permission().await.is_none());
        drop(old);
        assert!(new.permission().await.is_some());
        assert_eq!(fence.under_way(), 1);
    }

    #[tokio::test]
    async fn no_permission_outlives_a_flush() {
        let fence = Fence::new();
        let old = lead(&fence, "key");
        fence.flush();
        assert!(old.permission().await.is_none());
        assert!(matches!(fence.board("key", 0, 0), Boarding::Lead(_)));
    }

    #[tokio::test]
    async fn a_flight_that_began_before_a_tag_was_invalid_is_not_joined() {
        let fence = Fence::new();
        let old = lead(&fence, "key");
        fence.outdate_flights();
        // Alone, it may keep what it brings: the first tier knows the tags.
        assert!(old.permission().await.is_some());
        let _new = lead(&fence, "key");
        assert!(old.permission().await.is_none());
    }

    #[tokio::test]
    async fn a_flight_that_began_too_long_ago_is_not_joined() {
        let fence = Fence::new();
        let old = lead(&fence, "key");
        assert!(matches!(fence.board("key", 9, 0), Boarding::Join(_)));
        assert!(matches!(fence.board("key", 9, 1), Boarding::Lead(_)));
        assert!(old.permission().await.is_none());
    }
}
