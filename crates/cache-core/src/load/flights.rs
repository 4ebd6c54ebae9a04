//! Single flight: of those who want one key loaded, one loads it and the others wait.
//!
//! A load is a *flight*; of all caches over one [table](crate::Flights) at most one is joined for each key. Who
//! boards it first leads. A leader that is dropped, whatever the reason, hands over to exactly one of those who wait.
//! A write of the key *detaches* its flight: the flight goes on for those who wait already, but what it
//! brings is not stored and nobody joins it any more. Whether the invalidation of a tag concerns a
//! flight is known when it has landed: who has boarded since then starts over.

mod cycles;
mod seat;
mod sync;
mod tag_log;
mod times;

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

pub(crate) use self::cycles::LeaseEntry;
use self::seat::Seat;
pub(crate) use self::seat::{Arrival, Join, Lead, run};
use self::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use self::tag_log::TagLog;
use self::times::OwnTimes;
pub(crate) use self::times::{GivenTtl, OwnTime};
use crate::timer::timeout;
use crate::{Error, Scope};

/// A power of two. The fewer locks, the more schedules of two calls have something to say.
const STRIPES: usize = if cfg!(shuttle) { 2 } else { 64 };
/// How many keys of a stripe may be held off, and how long they may be: what is over is loaded each
/// time it is wanted.
const MAX_HELD_OFF: usize = 1024;
const MAX_HELD_OFF_KEY_BYTES: usize = 1024;
/// For how long a flight is joined after its lease was known to be held, or after a load past an outage has begun,
/// which has none: a change of the key by another process takes the lease away. It is the bound that two tiers have unless they are told another.
pub(crate) const JOINED_UNSEEN: Duration = Duration::from_secs(1);
/// For how long a writer waits for a leader that is writing to the backend.
const MAX_STORE_WAIT: Duration = Duration::from_secs(2);

/// What a flight has brought those who wait for it.
#[derive(Clone)]
pub(crate) enum Outcome<V> {
    /// What was loaded; `None` if there is nothing.
    Loaded(Option<V>),
    /// The error of the loader, of the type that the leader knows.
    Failed(Arc<dyn Any + Send + Sync>),
    /// The cache itself failed.
    Broken(Error),
    /// The store did not answer to the claim of a lease. A caller that goes past outages starts over.
    Unclaimed(Error),
    /// Nothing of use: start over.
    Nothing,
}

/// Why a key is not loaded for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is nothing to load.
    Absent,
    /// The loader has failed.
    Failed,
}

/// The loads of one backend that are under way, by the keys of the backend. Caches of different values may share
/// it: whoever joins the load of a value of another type starts over when that has landed.
pub(crate) struct FlightTable {
    stripes: Box<[Stripe]>,
    hasher: RandomState,
    /// How many keys have a slot. A writer looks here first.
    slots: AtomicUsize,
    /// Which tags were invalidated lately.
    tags: TagLog,
    /// Of how many keys the time to live of a loader is remembered.
    own_times: AtomicUsize,
}

struct Stripe {
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    own_times: Mutex<OwnTimes>,
    /// How many flights have landed: who has read before one did must read again.
    landed: AtomicU64,
}

enum Slot {
    Flight {
        flight: Arc<Flight>,
        /// Those who lead and who wait.
        seats: usize,
        /// The leader is writing to the backend. A writer waits until it has.
        is_storing: bool,
        /// When it was last known that no other process had changed the key, if others can.
        current_at: Option<Instant>,
    },
    HeldOff(HoldOff),
}

/// Until when a key is not loaded, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldOff {
    pub(crate) now: u64,
    pub(crate) until: u64,
    pub(crate) verdict: Verdict,
}

struct Flight {
    id: u64,
    key: Arc<str>,
    /// One permit, which makes its holder the leader; closed once there is an outcome.
    turn: Semaphore,
    /// An [`Outcome`] of values of the type that the leader loads.
    outcome: OnceLock<Box<dyn Any + Send + Sync>>,
    /// How many tags had been invalidated when the leader began.
    began: AtomicU64,
    /// The tags of the outcome, once they are known.
    tags: OnceLock<Vec<String>>,
    /// Wakes writers when the leader has stored or was dropped.
    stored: Notify,
}

/// The way to a value.
pub(crate) enum Boarding<V> {
    /// Load it.
    Lead(Lead<V>),
    /// Somebody does.
    Join(Join<V>),
}

/// What has to be known before a key is read, to tell later whether somebody loaded it since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// Of a read so long ago that it has to be repeated.
    pub(crate) const OUTDATED: Self = Self(u64::MAX);
}

impl FlightTable {
    pub(crate) fn new() -> Self {
        let stripe = || Stripe {
            slots: Mutex::default(),
            own_times: Mutex::default(),
            landed: AtomicU64::new(0),
        };
        Self {
            stripes: std::iter::repeat_with(stripe).take(STRIPES).collect(),
            hasher: RandomState::new(),
            slots: AtomicUsize::new(0),
            tags: TagLog::default(),
            own_times: AtomicUsize::new(0),
        }
    }

    /// Returns how many keys have a flight or are held off, or were.
    pub(crate) fn len(&self) -> usize {
        self.slots.load(Ordering::SeqCst)
    }

    /// Returns how many keys have a flight or are held off now, and frees the others.
    pub(crate) fn pending(&self, now: u64) -> usize {
        if self.len() > 0 {
            for stripe in &self.stripes {
                self.free_held_off(&mut stripe.slots.lock(), now);
            }
        }
        self.len()
    }

    /// To be called before a key is read.
    pub(crate) fn ticket(&self, key: &str) -> Ticket {
        Ticket(self.stripe(key).landed.load(Ordering::SeqCst))
    }

    /// Tells why a key is not to be loaded now, if it is held off.
    pub(crate) fn verdict(&self, key: &str, now: u64) -> Option<Verdict> {
        if self.len() == 0 {
            return None;
        }
        let mut slots = self.stripe(key).slots.lock();
        match slots.get(key)? {
            Slot::HeldOff(held) if held.until > now => Some(held.verdict),
            Slot::HeldOff(_) => {
                self.take_out(&mut slots, key);
                None
            }
            Slot::Flight { .. } => None,
        }
    }

    /// Joins the flight of a key, or starts one. A flight whose lease was not seen for too long is detached:
    /// the key may have been changed elsewhere.
    pub(crate) fn board<V: Send + Sync + 'static>(
        self: &Arc<Self>,
        key: &str,
        ticket: Ticket,
    ) -> Boarding<V> {
        let stripe = self.stripe(key);
        let mut slots = stripe.slots.lock();
        if let Some(Slot::Flight {
            flight,
            seats,
            is_storing,
            current_at,
        }) = slots.get_mut(key)
        {
            let is_fresh = |seen: Instant| seen.elapsed() <= JOINED_UNSEEN;
            // What is being stored is only stored if the lease is still held.
            if *is_storing || current_at.is_none_or(is_fresh) {
                *seats += 1;
                let flight = Arc::clone(flight);
                return Boarding::Join(Join::new(self.seat(flight), self.tags.now()));
            }
        }
        let landed = stripe.landed.load(Ordering::SeqCst);
        Boarding::Lead(self.start(&mut slots, key, landed != ticket.0))
    }

    /// Starts a flight that is alone: there is none, none has landed since the ticket was taken, and
    /// the key is not held off.
    pub(crate) fn board_alone<V: Send + Sync + 'static>(
        self: &Arc<Self>,
        key: &str,
        ticket: Ticket,
        now: u64,
    ) -> Option<Lead<V>> {
        let stripe = self.stripe(key);
        let mut slots = stripe.slots.lock();
        if stripe.landed.load(Ordering::SeqCst) != ticket.0 {
            return None;
        }
        match slots.get(key) {
            Some(Slot::Flight { .. }) => None,
            Some(Slot::HeldOff(held)) if held.until > now => None,
            _ => Some(self.start(&mut slots, key, false)),
        }
    }

    /// Detaches the flight of a key and starts another, whose loader begins after this call.
    pub(crate) async fn board_anew<V: Send + Sync + 'static>(
        self: &Arc<Self>,
        key: &str,
    ) -> Lead<V> {
        loop {
            self.detach(key).await;
            let mut slots = self.stripe(key).slots.lock();
            match slots.get(key) {
                Some(Slot::Flight {
                    is_storing: true, ..
                }) => {}
                _ => return self.start(&mut slots, key, false),
            }
        }
    }

    fn start<V: Send + Sync + 'static>(
        self: &Arc<Self>,
        slots: &mut HashMap<Arc<str>, Slot>,
        key: &str,
        is_late: bool,
    ) -> Lead<V> {
        let flight = Arc::new(Flight {
            id: cycles::next_id(),
            key: key.into(),
            turn: Semaphore::new(0),
            outcome: OnceLock::new(),
            began: AtomicU64::new(self.tags.now()),
            tags: OnceLock::new(),
            stored: Notify::new(),
        });
        let slot = Slot::Flight {
            flight: Arc::clone(&flight),
            seats: 1,
            is_storing: false,
            current_at: None,
        };
        if slots.insert(Arc::clone(&flight.key), slot).is_none() {
            self.slots.fetch_add(1, Ordering::SeqCst);
        }
        Lead::new(self.seat(flight), is_late)
    }

    /// Tells whether there is nothing to detach and nothing to forget, whatever the key.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.len() == 0 && self.own_times.load(Ordering::SeqCst) == 0
    }

    /// Detaches the flight of a key that is about to be written, and forgets that it is held off, and what
    /// time to live its loader gave.
    ///
    /// Returns when no flight can store the key any more that began before. A leader that is not
    /// polled cannot say that it has stored: the wait for it has a limit.
    pub(crate) async fn detach(&self, key: &str) {
        self.forget_own_time(key);
        if self.len() == 0 || self.detach_now(key, false).is_none() {
            return;
        }
        // Rare, and of no use to the size of each write.
        let has_stored = Box::pin(async {
            while let Some(storing) = self.detach_now(key, false) {
                let stored = storing.stored.notified();
                // Looked at again: it may have stored before it was listened to.
                if self.is_storing(&storing) {
                    stored.await;
                }
            }
        });
        if timeout(MAX_STORE_WAIT, has_stored).await.is_err() {
            self.detach_now(key, true);
        }
    }

    /// Detaches the flight of a key; returns it instead if its leader is writing to the backend and
    /// that is to be waited for.
    fn detach_now(&self, key: &str, is_forced: bool) -> Option<Arc<Flight>> {
        let mut slots = self.stripe(key).slots.lock();
        match slots.get(key) {
            Some(Slot::Flight {
                flight, is_storing, ..
            }) if *is_storing && !is_forced => Some(Arc::clone(flight)),
            Some(_) => {
                self.take_out(&mut slots, key);
                None
            }
            None => None,
        }
    }

    /// Tells whether the leader of this flight is writing to the backend, and not that of a later one.
    fn is_storing(&self, flight: &Arc<Flight>) -> bool {
        let slots = self.stripe(&flight.key).slots.lock();
        matches!(
            slots.get(&flight.key),
            Some(Slot::Flight { flight: now, is_storing: true, .. }) if Arc::ptr_eq(now, flight)
        )
    }

    /// Detaches the flights of a scope, as [`detach`](Self::detach) does.
    pub(crate) async fn detach_scope(&self, scope: &Scope) {
        self.forget_own_times(scope);
        if self.len() == 0 {
            return;
        }
        let mut keys = Vec::new();
        for stripe in &self.stripes {
            let slots = stripe.slots.lock();
            let within = slots.keys().filter(|key| scope.contains(key));
            keys.extend(within.cloned());
        }
        // At once: for each that is being stored there is a limit, and the caller is to wait for one.
        join_all(keys.iter().map(|key| self.detach(key))).await;
    }

    /// Notes that tags were invalidated: who boards from here on has no use for a value with one of
    /// them that began to be loaded before.
    pub(crate) fn invalidated(&self, tags: &[String]) {
        self.tags.add(tags);
    }

    fn seat(self: &Arc<Self>, flight: Arc<Flight>) -> Seat {
        Seat::new(Arc::clone(self), flight)
    }
}

impl FlightTable {
    fn stripe(&self, key: &str) -> &Stripe {
        &self.stripes[self.hasher.hash_one(key) as usize & (STRIPES - 1)]
    }

    /// Ends the flight of a slot, and returns how many seats it had.
    fn end(
        &self,
        slots: &mut HashMap<Arc<str>, Slot>,
        key: &Arc<str>,
        hold_off: Option<HoldOff>,
    ) -> usize {
        let seats = match slots.get(key) {
            Some(Slot::Flight { seats, .. }) => *seats,
            _ => 0,
        };
        let hold_off = hold_off.filter(|held| {
            if slots.len() > MAX_HELD_OFF {
                self.free_held_off(slots, held.now);
            }
            slots.len() <= MAX_HELD_OFF && key.len() <= MAX_HELD_OFF_KEY_BYTES
        });
        match hold_off {
            Some(held) => drop(slots.insert(Arc::clone(key), Slot::HeldOff(held))),
            None => self.take_out(slots, key),
        }
        seats
    }

    /// Frees the slots of keys that may be loaded again.
    fn free_held_off(&self, slots: &mut HashMap<Arc<str>, Slot>, now: u64) {
        let before = slots.len();
        slots.retain(|_, slot| !matches!(slot, Slot::HeldOff(held) if held.until <= now));
        self.slots.fetch_sub(before - slots.len(), Ordering::SeqCst);
    }

    fn take_out(&self, slots: &mut HashMap<Arc<str>, Slot>, key: &str) {
        if slots.remove(key).is_some() {
            self.slots.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
