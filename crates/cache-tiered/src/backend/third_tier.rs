//! Tiers in front of two tiers: which bus fits, and the one that does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::{CacheBackend, Error, InvalidationBus, Result, StoreId};

use super::{TieredBackend, Tiers};
use crate::promoted::Promoted;
use crate::relay::RelayBus;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Returns what tells two tiers from all others of the process.
pub(super) fn next_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Refuses a bus that tells of something else than the second tier.
pub(super) fn check_bus<V>(
    bus: Option<&dyn InvalidationBus>,
    l2: &impl CacheBackend<V>,
) -> Result<()>
where
    V: Clone + Send + Sync + 'static,
{
    let (of_bus, of_l2) = (bus.and_then(InvalidationBus::store_id), l2.store_id());
    if l2.stats().tiers.is_some() && of_bus != of_l2 {
        let what = "a second tier of two tiers with another bus than their relay()";
        return Err(Error::unsupported(what));
    }
    match (of_bus, of_l2) {
        (Some(bus), Some(l2)) if bus != l2 => {
            let problem = format!("tells of another store ({bus}) than the second tier ({l2})");
            Err(Error::invalid("bus", problem))
        }
        _ => Ok(()),
    }
}

impl<V, L1, L2> Tiers<V, L1, L2> {
    /// Names these tiers, for the bus of tiers in front of them.
    pub(super) fn id(&self) -> StoreId {
        StoreId::new(format!("tiers {}", self.number))
    }
}

impl<V, L1, L2> TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// Returns a bus for tiers whose second tier are these: three tiers in all.
    ///
    /// It tells what these hear, after they have forgotten it themselves, so the bound is the same.
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
    /// let (disk, shared) = (LocalBackend::default(), LocalBackend::default());
    /// let bus = MemoryBus::new(Duration::from_secs(1));
    /// let inner = Arc::new(TieredBackend::new(disk, shared, TieredConfig::with_bus(bus))?);
    /// let config = TieredConfig::with_bus(inner.relay()?);
    /// let cache: Cache<String> =
    ///     Cache::new(TieredBackend::new(LocalBackend::default(), inner, config)?);
    /// cache.set("user:1", "Alice").await?;
    /// assert_eq!(cache.get("user:1").await?.as_deref(), Some("Alice"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](cache_core::ErrorKind::Unsupported) if these tiers have no bus, and so nothing to hear.
    pub fn relay(&self) -> Result<RelayBus> {
        if self.tiers.bus.is_none() {
            let what = "tiers in front of two tiers without a bus";
            return Err(Error::unsupported(what));
        }
        let relay = Arc::clone(self.tiers.relay.get_or_init(Arc::default));
        Ok(RelayBus::new(relay, self.tiers.id(), self.tiers.bound))
    }
}
