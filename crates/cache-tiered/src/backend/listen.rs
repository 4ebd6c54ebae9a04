//! What the backend does about the news of the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use async_trait::async_trait;
use cache_core::bus::Moment;
use cache_core::{CacheBackend, FlushCause, Invalidation, InvalidationBus, InvalidationListener};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Tiers;
use super::read::nanos;
use crate::promoted::Promoted;

/// Begins to listen to a bus, and leaves the rest to a task; `None` if the bus has ended already.
///
/// The first step is done before this returns: a bus that caches share has to know of this one before
/// it publishes anything, or the others would take that for their own.
pub(super) fn start(
    bus: Arc<dyn InvalidationBus>,
    listener: Arc<dyn InvalidationListener>,
    runtime: &Handle,
) -> Option<JoinHandle<()>> {
    let mut listening = Box::pin(async move { bus.listen(listener).await });
    let mut nobody_waits = Context::from_waker(Waker::noop());
    let ended = listening.as_mut().poll(&mut nobody_waits).is_ready();
    (!ended).then(|| runtime.spawn(listening))
}

#[async_trait]
impl<V, L1, L2> InvalidationListener for Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    fn now(&self) -> Moment {
        Moment::from_nanos(self.now())
    }

    async fn changed(&self, change: &Invalidation) {
        match change {
            Invalidation::Keys(keys) => {
                self.counters.messages.add(keys.len() as u64);
                for key in keys {
                    self.forget_key(key).await;
                }
            }
            Invalidation::Scope(scope) => {
                self.counters.messages.add(1);
                self.forget_scope(scope).await;
            }
            // News of a kind that is not known here concerns everything.
            _ => self.flush_for(FlushCause::Unreadable),
        }
        if let Some(relay) = self.relay.get() {
            relay.changed(change).await;
        }
    }

    async fn flush(&self, cause: FlushCause) {
        self.flush_for(cause);
        if let Some(relay) = self.relay.get() {
            relay.flush(cause).await;
        }
    }

    fn caught_up(&self, moment: Moment) {
        let nanos_then = moment.as_nanos();
        self.caught_up_at.fetch_max(nanos_then, Ordering::AcqRel);
        let until = nanos_then.saturating_add(nanos(self.grace));
        self.fence.extend_permit(until);
        self.heard.notify_waiters();
        if let Some(relay) = self.relay.get() {
            relay.caught_up(moment, || self.now());
        }
    }
}
