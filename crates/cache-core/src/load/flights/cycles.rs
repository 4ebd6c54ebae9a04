//! Finds loads that would wait for themselves.
//!
//! A loader may load other keys, of this cache or of another. If what it waits for waits for it in
//! turn, nobody would ever go on. So each task knows the flights whose loaders it runs, and a
//! table says which of these wait for which flight. Only loads within loads are entered there.
//!
//! Two caches may have flights of their own and yet share the leases of a store. So a second table
//! says which lease belongs to which flight of this process: a claim that finds such a lease waits for that
//! flight.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(not(shuttle))]
use std::thread_local;

#[cfg(shuttle)]
use shuttle::thread_local;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);
/// Which flight waits for which, over all caches of the process.
static WAITS: Mutex<Vec<Edge>> = Mutex::new(Vec::new());
/// The flights of this process that load under a lease, by the nonces of their leases.
static LEASED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

/// The flights that wait, and the one that they wait for.
type Edge = (Arc<Loader>, u64);

thread_local! {
    /// The loader that is being polled.
    #[expect(clippy::missing_const_for_thread_local, reason = "shuttle's macro has no such form")]
    static LOADING: RefCell<Option<Arc<Loader>>> = RefCell::new(None);
}

/// A flight that is loaded for, and the key and the table that it belongs to.
pub(super) struct Place {
    pub(super) flight: u64,
    pub(super) table: usize,
    pub(super) key: Arc<str>,
}

/// A loader that runs.
struct Loader {
    places: Arc<[Place]>,
    /// The loader that it runs in.
    outer: Option<Arc<Self>>,
}

impl Loader {
    /// Tells whether it or a loader that it runs in loads for one of these.
    fn any(&self, is: &impl Fn(&Place) -> bool) -> bool {
        self.places.iter().any(is) || self.outer.as_ref().is_some_and(|outer| outer.any(is))
    }

    /// Tells whether the loader that it runs in is the one that is being polled.
    fn is_within_outer(&self) -> bool {
        match (&self.outer, current()) {
            (Some(outer), Some(polled)) => Arc::ptr_eq(&outer.places, &polled.places),
            _ => false,
        }
    }

    fn is_for(&self, flight: u64) -> bool {
        self.any(&|place| place.flight == flight)
    }
}

/// Numbers a flight, once for the whole process.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Runs the loader of some flights; `None` if it runs in a loader of one of their keys.
pub(super) async fn loading<T>(
    places: Vec<Place>,
    load: impl Future<Output = T> + Send,
) -> Option<T> {
    let outer = current();
    let mut waits = Vec::new();
    if let Some(outer) = &outer {
        for new in &places {
            // A flight of its own, if the key was written or refreshed since.
            if outer.any(&|old| old.table == new.table && old.key == new.key) {
                return None;
            }
            waits.push(Wait::enter(outer, new.flight));
        }
    }
    let places: Arc<[Place]> = places.into();
    let mut loader = Arc::new(Loader { places, outer });
    let mut load = pin!(load);
    let loaded = poll_fn(|context| {
        if loader.outer.is_some() && !loader.is_within_outer() {
            // It has gone to the background: what began it does not wait for it any more.
            waits.clear();
            loader = Arc::new(Loader {
                places: Arc::clone(&loader.places),
                outer: None,
            });
        }
        let _back = Current::enter(Arc::clone(&loader));
        load.as_mut().poll(context)
    });
    Some(loaded.await)
}

fn current() -> Option<Arc<Loader>> {
    LOADING.with(|loading| loading.borrow().clone())
}

/// Puts back the loader that was polled before.
struct Current(Option<Arc<Loader>>);

impl Current {
    fn enter(loader: Arc<Loader>) -> Self {
        Self(LOADING.with(|loading| loading.replace(Some(loader))))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        LOADING.with(|loading| loading.replace(self.0.take()));
    }
}

fn waits() -> MutexGuard<'static, Vec<Edge>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leased() -> MutexGuard<'static, BTreeMap<u64, u64>> {
    LEASED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a flight loads under a lease, until it is dropped.
pub(crate) struct LeaseEntry(u64);

impl LeaseEntry {
    pub(super) fn new(nonce: u64, flight: u64) -> Self {
        leased().insert(nonce, flight);
        Self(nonce)
    }
}

impl Drop for LeaseEntry {
    fn drop(&mut self) {
        leased().remove(&self.0);
    }
}

/// An entry in the table of those who wait.
pub(crate) struct Wait(Option<Edge>);

impl Wait {
    /// Enters that the loader which this task runs, if any, waits for a flight; `None` if that flight
    /// waits for the loader already.
    pub(super) fn on(flight: u64) -> Option<Self> {
        match current() {
            Some(loader) => Self::of(loader, flight),
            None => Some(Self(None)),
        }
    }

    /// Enters that a flight, whose loader does not run yet, waits for the one that loads under a lease;
    /// `None` if that waits for it already. A lease of another process is not waited for here.
    pub(super) fn for_lease(place: Place, nonce: u64) -> Option<Self> {
        let Some(flight) = leased().get(&nonce).copied() else {
            return Some(Self(None));
        };
        let loader = Loader {
            places: [place].into(),
            outer: current(),
        };
        Self::of(Arc::new(loader), flight)
    }

    fn of(loader: Arc<Loader>, flight: u64) -> Option<Self> {
        let mut waits = waits();
        let (mut to_see, mut seen) = (vec![flight], Vec::new());
        while let Some(next) = to_see.pop() {
            if loader.is_for(next) {
                return None;
            }
            if !seen.contains(&next) {
                seen.push(next);
                let of_next = waits.iter().filter(|edge| edge.0.is_for(next));
                to_see.extend(of_next.map(|edge| edge.1));
            }
        }
        waits.push((Arc::clone(&loader), flight));
        Some(Self(Some((loader, flight))))
    }

    /// Enters that a loader waits for a flight, which it leads itself.
    fn enter(loader: &Arc<Loader>, flight: u64) -> Self {
        waits().push((Arc::clone(loader), flight));
        Self(Some((Arc::clone(loader), flight)))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((loader, flight)) = &self.0 {
            let mut waits = waits();
            let this = |edge: &Edge| Arc::ptr_eq(&edge.0, loader) && edge.1 == *flight;
            if let Some(at) = waits.iter().position(this) {
                waits.swap_remove(at);
            }
        }
    }
}
