//! The loads that all caches over one backend share.

use std::fmt;
use std::sync::Arc;

use crate::load::flights::FlightTable;

/// The loads of a backend that are under way, for all caches over it.
///
/// After a write through a cache nothing is stored that was loaded before it, and nobody joins such a load; and
/// one caller loads a key for all who want it. Both hold among the clones of a cache. Among caches that are built one by one
/// over the same backend they hold if that backend has this, and hands it out among its
/// [abilities](crate::CacheBackend::abilities): always the same one, under which keys mean the same. For caches over clones of one
/// [`DynBackend`](crate::DynBackend) that is so whatever backend it erases. Where a store has [load leases](crate::LoadLeases)
/// a write takes the lease away too, from other processes also.
///
/// A write that is made to the backend itself, past every cache, is not known here.
///
/// A clone is the same table. Caches of different types of values may share it: each joins loads of its own type
/// alone. They have the same [clock](crate::CacheBuilder::clock).
///
/// ```
/// use cache_core::{Abilities, Flights};
///
/// #[derive(Default)]
/// struct Shelf {
///     flights: Flights,
/// }
///
/// impl Shelf {
///     /// What `CacheBackend::abilities` of the shelf returns.
///     fn abilities(&self) -> Abilities<'_, String> {
///         Abilities::none().with_flights(&self.flights)
///     }
/// }
/// assert!(Shelf::default().abilities().flights.is_some());
/// ```
#[derive(Clone)]
pub struct Flights(pub(crate) Arc<FlightTable>);

impl Default for Flights {
    /// Creates a table in which nothing is under way.
    fn default() -> Self {
        Self(Arc::new(FlightTable::new()))
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}
