//! A bus from two tiers to tiers in front of them.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::bus::Moment;
use cache_core::{
    FlushCause, Invalidation, InvalidationBus, InvalidationListener, Result, StoreId,
};

/// Tells tiers in front of two tiers what these have heard, after they have forgotten it themselves.
///
/// [`TieredBackend::relay`](crate::TieredBackend::relay) makes it. With any other bus the tiers in front could
/// be told first, and fill themselves from memory behind them that was not told yet.
pub struct RelayBus {
    relay: Arc<Relay>,
    store: StoreId,
    bound: Duration,
}

/// The listeners in front of two tiers.
#[derive(Default)]
pub(crate) struct Relay {
    listeners: Mutex<Vec<Arc<dyn InvalidationListener>>>,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn InvalidationListener>>> {
        // What panics while it is held is the allocator at most; the list is whole.
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> Vec<Arc<dyn InvalidationListener>> {
        self.lock().clone()
    }

    pub(crate) async fn changed(&self, change: &Invalidation) {
        for listener in self.listeners() {
            listener.changed(change).await;
        }
    }

    pub(crate) async fn flush(&self, cause: FlushCause) {
        for listener in self.listeners() {
            listener.flush(cause).await;
        }
    }

    /// Hands on what is known of a moment of the clock of the tiers behind, which has the time `now`.
    pub(crate) fn caught_up(&self, moment: Moment, now: impl Fn() -> u64) {
        for listener in self.listeners() {
            // Asked first, so that a clock of its own makes the moment earlier and never later.
            let there = listener.now().as_nanos();
            let age = now().saturating_sub(moment.as_nanos());
            listener.caught_up(Moment::from_nanos(there.saturating_sub(age)));
        }
    }
}

impl RelayBus {
    pub(crate) const fn new(relay: Arc<Relay>, store: StoreId, bound: Duration) -> Self {
        Self {
            relay,
            store,
            bound,
        }
    }
}

/// Takes a listener out when it does not listen any more.
struct Listening<'r>(&'r Relay, Arc<dyn InvalidationListener>);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, &self.1));
    }
}

#[async_trait]
impl InvalidationBus for RelayBus {
    fn bound(&self) -> Duration {
        self.bound
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.store.clone())
    }

    fn needs_publish(&self) -> bool {
        false
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        self.relay.lock().push(Arc::clone(&listener));
        let _listening = Listening(&self.relay, Arc::clone(&listener));
        listener.flush(FlushCause::Connected).await;
        pending::<()>().await;
    }

    /// Does nothing: the tiers behind hear of each change and tell it.
    async fn publish(&self, _: &Invalidation) -> Result<()> {
        Ok(())
    }
}

impl fmt::Debug for RelayBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBus")
            .field("store", &self.store)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
