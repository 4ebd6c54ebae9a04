//! Places on a flight: of the one who leads it, and of those who wait.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::cycles::{LeaseEntry, Place, Wait, loading};
use super::sync::Ordering;
use super::{Flight, FlightTable, HoldOff, Outcome, Slot};
use crate::{ErrorKind, LoadLease, Result};

/// A place on a flight. The flight ends when the last one leaves.
pub(super) struct Seat {
    flights: Arc<FlightTable>,
    flight: Arc<Flight>,
}

impl Seat {
    pub(super) const fn new(flights: Arc<FlightTable>, flight: Arc<Flight>) -> Self {
        Self { flights, flight }
    }

    /// Does something with the slot of the flight, if it is not detached.
    fn with_slot<T>(&self, act: impl FnOnce(&mut HashMap<Arc<str>, Slot>) -> T) -> Option<T> {
        let Self { flights, flight } = self;
        let mut slots = flights.stripe(&flight.key).slots.lock();
        let is_attached = matches!(
            slots.get(&flight.key),
            Some(Slot::Flight { flight: now, .. }) if Arc::ptr_eq(now, flight)
        );
        is_attached.then(|| act(&mut slots))
    }

    fn set_storing(&self, is: bool) -> bool {
        let set = |slots: &mut HashMap<Arc<str>, Slot>| {
            if let Some(Slot::Flight { is_storing, .. }) = slots.get_mut(&self.flight.key) {
                *is_storing = is;
            }
        };
        self.with_slot(set).is_some()
    }

    /// Returns what the flight has brought, unless one of its tags was invalidated after it began and
    /// before somebody boarded.
    fn outcome_since<V: 'static>(&self, boarded: u64) -> Option<&Outcome<V>> {
        let Self { flights, flight } = self;
        let began = flight.began.load(Ordering::SeqCst);
        let tags = flight.tags.get().map(Vec::as_slice);
        if flights.tags.has(began, boarded, tags) {
            return None;
        }
        flight.outcome.get()?.downcast_ref()
    }

    /// Tells those who have read the key before that they must read it again.
    fn outdate_tickets(&self) {
        let stripe = self.flights.stripe(&self.flight.key);
        stripe.landed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.with_slot(|slots| {
            let Some(Slot::Flight { seats, .. }) = slots.get_mut(&self.flight.key) else {
                return;
            };
            *seats -= 1;
            if *seats == 0 {
                self.flights.take_out(slots, &self.flight.key);
            }
        });
    }
}

/// A flight that somebody else leads.
pub(crate) struct Join<V> {
    seat: Seat,
    /// How many tags had been invalidated when this one boarded.
    boarded: u64,
    value: PhantomData<fn() -> V>,
}

/// How a wait for a flight has ended.
pub(crate) enum Arrival<V> {
    /// With its outcome.
    Landed(Outcome<V>),
    /// With the lead: the one who had it was dropped.
    Lead(Lead<V>),
}

impl<V> Join<V> {
    pub(super) const fn new(seat: Seat, boarded: u64) -> Self {
        Self {
            seat,
            boarded,
            value: PhantomData,
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Join<V> {
    /// Waits for the flight.
    ///
    /// # Errors
    /// [`LoadCycle`](ErrorKind::LoadCycle): the flight waits for a load that the caller is part of.
    pub(crate) async fn arrive(self) -> Result<Arrival<V>> {
        let turn = self.turn().await?;
        let has_turn = turn.map(SemaphorePermit::forget).is_some();
        Ok(self.arrived(has_turn))
    }

    /// Waits until the flight has landed, or returns the turn to lead it. A turn that is dropped is that
    /// of the next one who waits.
    ///
    /// # Errors
    /// [`LoadCycle`](ErrorKind::LoadCycle): the flight waits for a load that the caller is part of.
    pub(crate) async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>> {
        let Some(_wait) = Wait::on(self.seat.flight.id) else {
            return Err(ErrorKind::LoadCycle.into());
        };
        // Closed, it has landed.
        Ok(self.seat.flight.turn.acquire().await.ok())
    }

    /// Ends the wait for a flight, of which the caller has the turn or which has landed. A turn is
    /// [forgotten](SemaphorePermit::forget) right before: nobody else has it then.
    pub(crate) fn arrived(self, has_turn: bool) -> Arrival<V> {
        let Self { seat, boarded, .. } = self;
        if !has_turn {
            let outcome = seat.outcome_since(boarded).cloned();
            return Arrival::Landed(outcome.unwrap_or(Outcome::Nothing));
        }
        // What the last leader has written, if anything, is not known.
        let lead = Lead::new(seat, true);
        if lead.is_attached() {
            return Arrival::Lead(lead);
        }
        lead.land(|| Outcome::Nothing);
        Arrival::Landed(Outcome::Nothing)
    }
}

/// A flight, led.
pub(crate) struct Lead<V> {
    seat: Seat,
    /// Somebody may have stored the key since it was found absent.
    pub(crate) is_late: bool,
    has_landed: bool,
    value: PhantomData<fn() -> V>,
}

impl<V: Send + Sync + 'static> Lead<V> {
    pub(super) const fn new(seat: Seat, is_late: bool) -> Self {
        Self {
            seat,
            is_late,
            has_landed: false,
            value: PhantomData,
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.seat.flight.key
    }

    /// Tells whether the key has not been written since the flight began.
    pub(crate) fn is_attached(&self) -> bool {
        self.seat.with_slot(|_| ()).is_some()
    }

    /// Tells whether somebody waits for what the leader brings.
    pub(crate) fn is_waited_for(&self) -> bool {
        let is = |slots: &mut HashMap<Arc<str>, Slot>| {
            let slot = slots.get(&self.seat.flight.key);
            matches!(slot, Some(Slot::Flight { seats: 2.., .. }))
        };
        self.seat.with_slot(is) == Some(true)
    }

    fn place(&self) -> Place {
        let Seat { flights, flight } = &self.seat;
        Place {
            flight: flight.id,
            table: Arc::as_ptr(flights).addr(),
            key: Arc::clone(&flight.key),
        }
    }

    /// Enters under which lease the flight loads, until the entry is dropped.
    pub(crate) fn entry_of(&self, lease: LoadLease) -> LeaseEntry {
        LeaseEntry::new(lease.nonce(), self.seat.flight.id)
    }

    /// Enters that the flight waits for the end of a lease, until the entry is dropped.
    ///
    /// # Errors
    /// [`LoadCycle`](ErrorKind::LoadCycle): whoever has the lease waits for this flight.
    pub(crate) fn waits_for(&self, lease: Option<LoadLease>) -> Result<Option<Wait>> {
        let Some(lease) = lease else {
            return Ok(None);
        };
        let wait = Wait::for_lease(self.place(), lease.nonce());
        wait.map(Some).ok_or_else(|| ErrorKind::LoadCycle.into())
    }

    /// Notes when no other process had changed the key yet.
    pub(crate) fn was_current_at(&self, moment: Instant) {
        self.seat.with_slot(|slots| {
            if let Some(Slot::Flight { current_at, .. }) = slots.get_mut(&self.seat.flight.key) {
                *current_at = Some(moment);
            }
        });
    }

    /// Detaches the flight, as a write of its key does: the key was changed elsewhere.
    pub(crate) fn detach(&self) {
        let Seat { flights, flight } = &self.seat;
        self.seat
            .with_slot(|slots| flights.take_out(slots, &flight.key));
    }

    /// Notes that what the leader brings is read from here on.
    pub(crate) fn begin(&self) {
        let Seat { flights, flight } = &self.seat;
        flight.began.store(flights.tags.now(), Ordering::SeqCst);
    }

    /// Notes the tags of what was loaded.
    pub(crate) fn has_tags(&self, tags: Vec<String>) {
        // They are set once: a flight lands once.
        let _ = self.seat.flight.tags.set(tags);
    }

    /// Returns the permission to write to the backend, or `None` if the key was written
    /// meanwhile. While it is held, writers of the key wait.
    pub(crate) fn store(&self) -> Option<Storing<'_>> {
        self.seat.set_storing(true).then_some(Storing(&self.seat))
    }

    /// Leaves the flight to one of those who wait; if nobody does, the key is not loaded for a while.
    pub(crate) fn give_up(self, hold_off: HoldOff) {
        let Seat { flights, flight } = &self.seat;
        self.seat.with_slot(|slots| {
            if let Some(Slot::Flight { seats: 1, .. }) = slots.get(&flight.key) {
                flights.end(slots, &flight.key, Some(hold_off));
            }
        });
    }

    /// Ends the flight, and tells everybody who waits.
    pub(crate) fn land(self, outcome: impl FnOnce() -> Outcome<V>) {
        self.land_and_hold_off(None, outcome);
    }

    /// Ends the flight, and does not let the key be loaded for a while unless it was written
    /// meanwhile.
    pub(crate) fn land_and_hold_off(
        mut self,
        hold_off: Option<HoldOff>,
        outcome: impl FnOnce() -> Outcome<V>,
    ) {
        self.has_landed = true;
        let Seat { flights, flight } = &self.seat;
        // Even if it panics to clone a value: nobody may wait for ever.
        let _close = Close(&flight.turn);
        // Before the slot is gone: who boards from here on must know that it has to read again.
        self.seat.outdate_tickets();
        let end = |slots: &mut _| flights.end(slots, &flight.key, hold_off);
        let seats = self.seat.with_slot(end);
        // Nobody boards from here on. Of a detached flight it is not known who waits.
        if seats != Some(1) {
            // It is set once: a flight lands once.
            let _ = flight.outcome.set(Box::new(outcome()));
        }
    }
}

/// Closes a semaphore, come what may.
struct Close<'f>(&'f Semaphore);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<V> Drop for Lead<V> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.seat.flight.turn.add_permits(1);
        }
    }
}

/// Runs a loader for some flights, so that what it waits for is known.
///
/// # Errors
/// [`LoadCycle`](ErrorKind::LoadCycle): it runs in a loader of one of these keys.
pub(crate) async fn run<V: Send + Sync + 'static, T>(
    leads: &[&Lead<V>],
    load: impl Future<Output = T> + Send,
) -> Result<T> {
    let loaded = loading(leads.iter().map(|lead| lead.place()).collect(), load).await;
    loaded.ok_or_else(|| ErrorKind::LoadCycle.into())
}

/// The permission to write to the backend.
pub(crate) struct Storing<'l>(&'l Seat);

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        // Written or not, or in part: what was read before need not be so any more.
        self.0.outdate_tickets();
        self.0.set_storing(false);
        self.0.flight.stored.notify_waiters();
    }
}
