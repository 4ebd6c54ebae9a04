//! A bus for caches of one process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::timer::sleep_until;
use cache_core::{FlushCause, Invalidation, InvalidationBus, InvalidationListener, Result};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};
use tokio::time::Instant;

/// Messages that may wait for a cache, unless another number is asked for.
const CAPACITY: usize = 4096;

/// Carries changes between caches of one process that share a second tier.
///
/// Each cache has its own handle: the bus for the first, [`another`](Self::another) for the rest. What
/// a cache publishes is told to all but itself. Caches that share a handle are told everything, what
/// they have published included.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use cache_core::Cache;
/// use cache_local::LocalBackend;
/// use cache_tiered::{MemoryBus, TieredBackend, TieredConfig};
///
/// let shared: Arc<LocalBackend<String>> = Arc::default();
/// let bus = MemoryBus::new(Duration::from_secs(1));
/// let tiered = |bus: MemoryBus| {
///     TieredBackend::new(LocalBackend::default(), shared.clone(), TieredConfig::with_bus(bus))
/// };
/// let one: Cache<String> = Cache::new(tiered(bus.another())?);
/// let other: Cache<String> = Cache::new(tiered(bus)?);
/// one.set("user:1", "Alice").await?;
/// assert_eq!(other.get("user:1").await?.as_deref(), Some("Alice"));
/// # Ok(()) }
/// ```
pub struct MemoryBus {
    hub: Arc<Hub>,
    id: u64,
    bound: Duration,
    /// How many caches have listened on this handle.
    listeners: AtomicUsize,
}

struct Hub {
    messages: broadcast::Sender<(u64, Invalidation)>,
    handles: AtomicU64,
}

impl MemoryBus {
    /// Creates a bus with that bound of staleness.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        Self::with_capacity(bound, CAPACITY)
    }

    /// Creates a bus that keeps at most so many messages, at least 1, for a cache that is slow to
    /// take them. A cache that misses some forgets everything.
    #[must_use]
    pub fn with_capacity(bound: Duration, capacity: usize) -> Self {
        let hub = Hub {
            messages: broadcast::Sender::new(capacity.max(1)),
            handles: AtomicU64::new(1),
        };
        Self {
            hub: Arc::new(hub),
            id: 0,
            bound,
            listeners: AtomicUsize::new(0),
        }
    }

    /// Returns a handle of the same bus for another cache.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            id: self.hub.handles.fetch_add(1, Ordering::Relaxed),
            bound: self.bound,
            listeners: AtomicUsize::new(0),
        }
    }

    async fn tell(&self, listener: &dyn InvalidationListener, (from, change): (u64, Invalidation)) {
        // Who has changed something knows, if it was the only one who could.
        if from != self.id || self.listeners.load(Ordering::SeqCst) > 1 {
            listener.changed(&change).await;
        }
    }
}

#[async_trait]
impl InvalidationBus for MemoryBus {
    fn bound(&self) -> Duration {
        self.bound
    }

    fn needs_publish(&self) -> bool {
        true
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        self.listeners.fetch_add(1, Ordering::SeqCst);
        let mut messages = self.hub.messages.subscribe();
        // Nothing was heard before.
        listener.flush(FlushCause::Connected).await;
        let mut fence_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(fence_at) => fence_at += self.bound / 4,
                message = messages.recv() => {
                    match message {
                        Ok(message) => self.tell(&*listener, message).await,
                        Err(RecvError::Lagged(_)) => listener.flush(FlushCause::Lagged).await,
                        // The sender is in the hub.
                        Err(RecvError::Closed) => return,
                    }
                    continue;
                }
            }
            // What was published before now is in the channel.
            let moment = listener.now();
            loop {
                match messages.try_recv() {
                    Ok(message) => self.tell(&*listener, message).await,
                    Err(TryRecvError::Lagged(_)) => listener.flush(FlushCause::Lagged).await,
                    Err(_) => break,
                }
            }
            listener.caught_up(moment);
        }
    }

    async fn publish(&self, change: &Invalidation) -> Result<()> {
        // It fails if nobody listens, and then nobody needs to be told.
        self.hub.messages.send((self.id, change.clone())).ok();
        Ok(())
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus")
            .field("id", &self.id)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
