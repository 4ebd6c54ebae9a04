//! Single flight: of those who want one key loaded, one loads it and the others wait.
//!
//! A load is a *flight*; a cache has at most one for each key. Who boards it first leads. A leader
//! that is dropped, whatever the reason, hands over to exactly one of those who wait. A write of
//! the key *detaches* its flight: the flight goes on for those who wait already, but what it
//! brings is not stored and nobody joins it any more.

mod cycles;
mod seat;
mod sync;

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use self::seat::Seat;
pub(crate) use self::seat::{Arrival, Join, Lead, run};
use self::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::{Error, Scope};

/// A power of two. The fewer locks, the more schedules of two calls have something to say.
const STRIPES: usize = if cfg!(shuttle) { 2 } else { 64 };
/// How many keys of a stripe may be held off: what is over is loaded each time it is wanted.
const MAX_HELD_OFF: usize = 1024;

/// What a flight has brought those who wait for it.
#[derive(Clone)]
pub(crate) enum Outcome<V> {
    /// What was loaded; `None` if there is nothing.
    Loaded(Option<V>),
    /// The error of the loader, of the type that the leader knows.
    Failed(Arc<dyn Any + Send + Sync>),
    /// The cache itself failed.
    Broken(Error),
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

/// The loads of one cache that are under way.
pub(crate) struct Flights<V> {
    stripes: Box<[Stripe<V>]>,
    hasher: RandomState,
    /// How many keys have a slot. A writer looks here first.
    slots: AtomicUsize,
}

struct Stripe<V> {
    slots: Mutex<HashMap<Arc<str>, Slot<V>>>,
    /// How many flights have landed: who has read before one did must read again.
    landed: AtomicU64,
}

enum Slot<V> {
    Flight {
        flight: Arc<Flight<V>>,
        /// Those who lead and who wait.
        seats: usize,
        /// The leader is writing to the backend. A writer waits until it has.
        is_storing: bool,
    },
    HeldOff {
        until: u64,
        verdict: Verdict,
    },
}

struct Flight<V> {
    id: u64,
    key: Arc<str>,
    /// One permit, which makes its holder the leader; closed once there is an outcome.
    turn: Semaphore,
    outcome: OnceLock<Outcome<V>>,
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

impl<V: Send + Sync> Flights<V> {
    pub(crate) fn new() -> Self {
        let stripe = || Stripe {
            slots: Mutex::default(),
            landed: AtomicU64::new(0),
        };
        Self {
            stripes: std::iter::repeat_with(stripe).take(STRIPES).collect(),
            hasher: RandomState::new(),
            slots: AtomicUsize::new(0),
        }
    }

    /// Returns how many keys have a flight or are held off.
    pub(crate) fn len(&self) -> usize {
        self.slots.load(Ordering::SeqCst)
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
        match self.stripe(key).slots.lock().get(key)? {
            Slot::HeldOff { until, verdict } if *until > now => Some(*verdict),
            _ => None,
        }
    }

    /// Joins the flight of a key, or starts one.
    pub(crate) fn board(self: &Arc<Self>, key: &str, ticket: Ticket) -> Boarding<V> {
        let stripe = self.stripe(key);
        let mut slots = stripe.slots.lock();
        if let Some(Slot::Flight { flight, seats, .. }) = slots.get_mut(key) {
            *seats += 1;
            let flight = Arc::clone(flight);
            return Boarding::Join(Join(self.seat(flight)));
        }
        let landed = stripe.landed.load(Ordering::SeqCst);
        Boarding::Lead(self.start(&mut slots, key, landed != ticket.0))
    }

    /// Starts a flight if there is none and the key is not held off.
    pub(crate) fn board_alone(self: &Arc<Self>, key: &str, now: u64) -> Option<Lead<V>> {
        let mut slots = self.stripe(key).slots.lock();
        match slots.get(key) {
            Some(Slot::Flight { .. }) => None,
            Some(Slot::HeldOff { until, .. }) if *until > now => None,
            _ => Some(self.start(&mut slots, key, false)),
        }
    }

    fn start(
        self: &Arc<Self>,
        slots: &mut HashMap<Arc<str>, Slot<V>>,
        key: &str,
        is_late: bool,
    ) -> Lead<V> {
        let flight = Arc::new(Flight {
            id: cycles::next_id(),
            key: key.into(),
            turn: Semaphore::new(0),
            outcome: OnceLock::new(),
        });
        let slot = Slot::Flight {
            flight: Arc::clone(&flight),
            seats: 1,
            is_storing: false,
        };
        if slots.insert(Arc::clone(&flight.key), slot).is_none() {
            self.slots.fetch_add(1, Ordering::SeqCst);
        }
        Lead::new(self.seat(flight), is_late)
    }

    /// Detaches the flight of a key that is about to be written, and forgets that it is held off.
    ///
    /// Returns when no flight can store the key any more that began before.
    pub(crate) async fn detach(&self, key: &str) {
        while self.len() > 0 {
            let storing = {
                let mut slots = self.stripe(key).slots.lock();
                match slots.get(key) {
                    Some(Slot::Flight {
                        flight,
                        is_storing: true,
                        ..
                    }) => Some(Arc::clone(flight)),
                    Some(_) => {
                        self.take_out(&mut slots, key);
                        None
                    }
                    None => None,
                }
            };
            let Some(flight) = storing else { return };
            // The permit of a leader that was dropped goes back at once, and the loop detaches.
            drop(flight.turn.acquire().await);
        }
    }

    /// Detaches the flights of a scope, as [`detach`](Self::detach) does.
    pub(crate) async fn detach_scope(&self, scope: &Scope) {
        if self.len() == 0 {
            return;
        }
        for stripe in &self.stripes {
            let keys: Vec<_> = {
                let slots = stripe.slots.lock();
                let within = slots.keys().filter(|key| scope.contains(key));
                within.cloned().collect()
            };
            for key in keys {
                self.detach(&key).await;
            }
        }
    }

    /// Does not load a key until then, unless somebody insists.
    pub(crate) fn hold_off(&self, key: &str, now: u64, until: u64, verdict: Verdict) {
        let mut slots = self.stripe(key).slots.lock();
        if slots.len() >= MAX_HELD_OFF {
            let before = slots.len();
            slots.retain(|_, slot| !matches!(slot, Slot::HeldOff { until, .. } if *until <= now));
            self.slots.fetch_sub(before - slots.len(), Ordering::SeqCst);
        }
        if slots.len() >= MAX_HELD_OFF {
            return;
        }
        match slots.entry(key.into()) {
            Place::Vacant(place) => {
                place.insert(Slot::HeldOff { until, verdict });
                self.slots.fetch_add(1, Ordering::SeqCst);
            }
            Place::Occupied(mut place) => {
                if matches!(place.get(), Slot::HeldOff { .. }) {
                    place.insert(Slot::HeldOff { until, verdict });
                }
            }
        }
    }

    fn stripe(&self, key: &str) -> &Stripe<V> {
        &self.stripes[self.hasher.hash_one(key) as usize & (STRIPES - 1)]
    }

    fn seat(self: &Arc<Self>, flight: Arc<Flight<V>>) -> Seat<V> {
        Seat::new(Arc::clone(self), flight)
    }
}

impl<V> Flights<V> {
    /// Frees a slot, and returns how many seats its flight had.
    fn take_out(&self, slots: &mut HashMap<Arc<str>, Slot<V>>, key: &str) -> usize {
        let slot = slots.remove(key);
        self.slots
            .fetch_sub(usize::from(slot.is_some()), Ordering::SeqCst);
        match slot {
            Some(Slot::Flight { seats, .. }) => seats,
            _ => 0,
        }
    }
}
