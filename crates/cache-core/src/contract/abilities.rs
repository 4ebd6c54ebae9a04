//! What a backend can do besides the verbs that every backend has.

use std::fmt;

use crate::{Counters, Flights, LoadLeases, Locks, Tags, Transactions};

/// What a backend can do besides the verbs that every backend has; [`CacheBackend::abilities`] returns it.
///
/// What is `None` a backend cannot do: the facade then refuses the verbs that need it as
/// [`Unsupported`](crate::ErrorKind::Unsupported), or does without it where a promise does not depend on it.
///
/// ```
/// use cache_core::{Abilities, CacheBackend};
///
/// let backend = cache_local::LocalBackend::<String>::default();
/// let abilities: Abilities<'_, String> = backend.abilities();
/// assert!(abilities.tags.is_some() && abilities.transactions.is_some());
/// assert!(abilities.leases.is_none(), "nobody else can load into this memory");
/// ```
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[non_exhaustive]
pub struct Abilities<'b, V> {
    /// The load leases of a shared store; without them each process loads for itself.
    pub leases: Option<&'b dyn LoadLeases<V>>,
    /// Tags, which make many entries absent at once.
    pub tags: Option<&'b dyn Tags<V>>,
    /// Transactions over several keys. They cannot be made of the five methods that every backend has: no
    /// condition of a write of one key speaks of another, and a value has no place for a mark by which
    /// readers and writers would know of a commit that is under way.
    pub transactions: Option<&'b dyn Transactions<V>>,
    /// Locks, which one holder has at a time.
    pub locks: Option<&'b dyn Locks>,
    /// Counters, which are none of the entries.
    pub counters: Option<&'b dyn Counters>,
    /// The loads that are under way, if all caches over this backend are to share them.
    pub flights: Option<&'b Flights>,
}

impl<'b, V> Abilities<'b, V> {
    /// Returns none, to which a backend adds its own.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            leases: None,
            tags: None,
            transactions: None,
            locks: None,
            counters: None,
            flights: None,
        }
    }

    /// Adds load leases.
    #[must_use]
    pub const fn with_leases(mut self, leases: &'b dyn LoadLeases<V>) -> Self {
        self.leases = Some(leases);
        self
    }

    /// Adds tags.
    #[must_use]
    pub const fn with_tags(mut self, tags: &'b dyn Tags<V>) -> Self {
        self.tags = Some(tags);
        self
    }

    /// Adds transactions.
    #[must_use]
    pub const fn with_transactions(mut self, transactions: &'b dyn Transactions<V>) -> Self {
        self.transactions = Some(transactions);
        self
    }

    /// Adds locks.
    #[must_use]
    pub const fn with_locks(mut self, locks: &'b dyn Locks) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Adds counters.
    #[must_use]
    pub const fn with_counters(mut self, counters: &'b dyn Counters) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Adds the loads that all caches over this backend share.
    #[must_use]
    pub const fn with_flights(mut self, flights: &'b Flights) -> Self {
        self.flights = Some(flights);
        self
    }
}

// Written by hand: the derived forms would ask the same of `V`.
impl<V> Clone for Abilities<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Abilities<'_, V> {}

impl<V> fmt::Debug for Abilities<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abilities")
            .field("leases", &self.leases.is_some())
            .field("tags", &self.tags.is_some())
            .field("transactions", &self.transactions.is_some())
            .field("locks", &self.locks.is_some())
            .field("counters", &self.counters.is_some())
            .field("flights", &self.flights.is_some())
            .finish()
    }
}
