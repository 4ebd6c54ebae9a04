//! Waits for the load of somebody else.

use std::pin::pin;

use tokio::time::Instant;

use super::flights::{Arrival, Join, Outcome};
use super::lead::is_of_caller;
use super::loader::too_long;
use crate::timer::timeout_at;
use crate::{Cache, CacheBackend, LoadError, LoadOptions, Result};

/// What is known of a key: its value, that there is none, or why it cannot be had.
pub(super) type Answer<V, E> = Result<Option<V>, LoadError<E>>;

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Waits for the load of somebody else, within the time that there is.
    pub(super) async fn join(
        &self,
        join: Join<V>,
        options: &LoadOptions,
        until: Option<Instant>,
    ) -> Result<Arrival<V>> {
        self.shared.loads.joined();
        match until {
            Some(until) => match timeout_at(until, pin!(join.arrive())).await {
                // The lead comes too late, as it does for all who have begun to wait together.
                Ok(Ok(Arrival::Lead(_))) if until <= Instant::now() => Err(too_long(options)),
                Ok(arrival) => arrival,
                Err(_elapsed) => Err(too_long(options)),
            },
            None => join.arrive().await,
        }
    }
}

/// Returns what a flight means for a caller that waited for it; `None` if it is of no use for that caller.
pub(super) fn answer<V, E: Send + Sync + 'static>(outcome: Outcome<V>) -> Option<Answer<V, E>> {
    match outcome {
        Outcome::Loaded(found) => Some(Ok(found)),
        Outcome::Failed(error) => error
            .downcast()
            .map(|error| Err(LoadError::Loader(error)))
            .ok(),
        // A caller is bound by its own limits alone.
        Outcome::Broken(error) if is_of_caller(&error) => None,
        Outcome::Broken(error) => Some(Err(LoadError::Cache(error))),
        Outcome::Unclaimed(_) | Outcome::Nothing => None,
    }
}
