//! The news that keys of a shared store have changed.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Result, Scope, StoreId};

/// Tells the caches over one shared store which keys have changed, so that what they hold in
/// memory is never stale beyond a bound.
///
/// This is the API of people who **write** a bus; people who use one hand it to the backend of two
/// tiers and never call it.
///
/// A bus makes one promise, and the tier in front of a store relies on it alone:
///
/// > When [`caught_up`](InvalidationListener::caught_up) is called with a moment, every change that
/// > the store acknowledged before this moment has been told to the listener.
///
/// Whatever the bus cannot be sure of it leaves out: it does not call `caught_up`, and when messages
/// may have been lost it calls [`flush`](InvalidationListener::flush) first. A silent bus is safe,
/// because the permission to serve from memory runs out by itself.
#[async_trait]
pub trait InvalidationBus: Debug + Send + Sync + 'static {
    /// Returns how long after a moment that it was [caught up](InvalidationListener::caught_up) to a
    /// cache may serve from memory: the bound of staleness.
    fn bound(&self) -> Duration;

    /// Names the store whose changes the bus tells of, if it is about one alone.
    ///
    /// Two tiers refuse a bus that is about another store than their second tier.
    fn store_id(&self) -> Option<StoreId> {
        None
    }

    /// Tells whether changes have to be [published](Self::publish).
    ///
    /// If not, the store itself tells of them, whoever made them.
    fn needs_publish(&self) -> bool;

    /// Listens, and tells `listener` what it hears, until the future is dropped.
    ///
    /// It does not end by itself: what fails is tried again, with growing delays.
    ///
    /// Several caches may listen to one bus. Then each is told what the others publish; a bus that
    /// spares a cache its own messages knows the caches apart, or counts who listens as the first
    /// thing it does: no cache publishes before it listens.
    async fn listen(&self, listener: Arc<dyn InvalidationListener>);

    /// Tells all other caches that something has changed in the store.
    ///
    /// Called after the change, and also when the outcome of the change is unknown.
    ///
    /// # Errors
    /// If it is not certain that the message was accepted; the caller will call again.
    async fn publish(&self, change: &Invalidation) -> Result<()>;
}

/// The side of a bus that hears: what a cache does about the news.
///
/// When a method returns, its effect is complete: no read that starts later is served what was
/// told to be gone.
#[async_trait]
pub trait InvalidationListener: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Moment;

    /// Forgets what was told to have changed.
    async fn changed(&self, change: &Invalidation);

    /// Forgets everything: messages may have been lost, or nobody knows what has changed.
    async fn flush(&self, cause: FlushCause);

    /// Notes that every change that the store acknowledged before `moment` has been told.
    fn caught_up(&self, moment: Moment);
}

/// What has changed in a shared store. Keys are those of the backend, namespaces included.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// These keys.
    Keys(Vec<String>),
    /// All keys of a scope.
    Scope(Scope),
}

// Written by hand: the derived form would print keys.
impl Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => write!(f, "Keys({})", keys.len()),
            Self::Scope(_) => f.write_str("Scope(..)"),
        }
    }
}

/// Why everything in memory is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlushCause {
    /// The bus listens on a new connection: what was said in between is lost.
    Connected,
    /// Messages came faster than they were taken.
    Lagged,
    /// Somebody has emptied the store.
    Emptied,
    /// A message could not be understood.
    Unreadable,
    /// The owner of the cache has asked for it.
    Requested,
}

/// A moment of the [`Clock`](crate::Clock) of a listener that runs
/// [during suspend](crate::Clock::nanos_with_suspend), in nanoseconds.
///
/// A bus takes it from [`InvalidationListener::now`], before it asks the store whether there is
/// news, and hands it back when all news is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Wraps a time of [`Clock::nanos_with_suspend`](crate::Clock::nanos_with_suspend).
    ///
    /// ```
    /// use cache_core::{Clock, bus::Moment};
    ///
    /// let (clock, _) = Clock::manual();
    /// let now = clock.nanos_with_suspend();
    /// assert_eq!(Moment::from_nanos(now).as_nanos(), now);
    /// ```
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin of the clock.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}
