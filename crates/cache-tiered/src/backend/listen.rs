//! What the backend does about the news of the bus.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use cache_core::bus::Moment;
use cache_core::{CacheBackend, FlushCause, Invalidation, InvalidationListener};

use super::Tiers;
use super::read::nanos;
use crate::promoted::Promoted;

#[async_trait]
impl<V, L1, L2> InvalidationListener for Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    fn now(&self) -> Moment {
        Moment::from_nanos(self.clock.nanos())
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
    }

    async fn flush(&self, cause: FlushCause) {
        self.flush_for(cause);
    }

    fn caught_up(&self, moment: Moment) {
        let moment = moment.as_nanos();
        self.caught_up_at.fetch_max(moment, Ordering::AcqRel);
        let until = moment.saturating_add(nanos(self.grace));
        self.fence.extend_lease(until);
        self.heard.notify_waiters();
    }
}
