//! The contract over two tiers.

mod leases;
mod listen;
mod read;
mod tags;
mod third_tier;
mod transactions;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{
    Abilities, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities, Clock,
    Condition, Cursor, Error, Expiry, Flights, FlushCause, InvalidationBus, Page, Permit, ReadNow,
    Result, Scope, StoreId, TierStats, Versioned,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

#[expect(unused_imports, reason = "short names for the docs")]
use cache_core::ErrorKind::{InvalidInput, Timeout, Unavailable};

use self::read::nanos;
use self::write::Change;
use crate::TieredConfig;
use crate::config::{OnBusLoss, OnL2Error, WritePolicy};
use crate::fence::Fence;
use crate::promoted::Promoted;
use crate::recovery::Recovery;
use crate::relay::Relay;
use crate::stats::Counters;

/// Two backends as one: the first in front of the second.
///
/// The second tier is the truth. A read is answered by the first tier if it holds the value and the
/// bus has been heard of within its bound; otherwise by the second, and what that brings is kept in
/// the first for no longer than it is valid in the second. A write goes to the second tier and
/// removes the key from the first tier of this process before it returns, and from that of every
/// other within the bound. `docs/consistency.md` says what is promised under which faults.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
/// # let url = server.url();
/// use cache_core::{Cache, EncodedBackend, MsgPackCodec};
/// use cache_local::{LocalBackend, LocalConfig};
/// use cache_redis::{BusConfig, RedisConfig, RedisStore, TrackingBus};
/// use cache_tiered::{TieredBackend, TieredConfig};
///
/// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
/// let bus = TrackingBus::connect(&store, BusConfig::new()).await?;
/// let l1 = LocalBackend::new(LocalConfig::new().max_entries(10_000))?;
/// let l2 = EncodedBackend::new(store, MsgPackCodec::new());
/// let cache: Cache<String> = Cache::new(TieredBackend::new(l1, l2, TieredConfig::with_bus(bus))?);
///
/// cache.set("user:123", "Alice").await?;
/// assert_eq!(cache.get("user:123").await?.as_deref(), Some("Alice"));
/// # Ok(()) }
/// ```
///
/// Kept in an `Arc`, its own methods stay at hand: `Cache::new(Arc::clone(&backend))`.
///
/// # Failures
///
/// A read fails as the second tier does; see [`OnL2Error`] for another choice. A write that fails
/// as [`Timeout`] or [`Unavailable`] has an unknown
/// outcome: it may have happened, and may still happen. A `delete` that fails, whatever its error, is
/// tried again in the background, and until it succeeds what the second tier holds under the key is
/// not served.
pub struct TieredBackend<V, L1, L2> {
    tiers: Arc<Tiers<V, L1, L2>>,
    /// The loads of caches over these tiers, unless the second tier has a table of its own.
    flights: Flights,
    /// The tasks that listen and that try again.
    _tasks: Vec<AbortOnDrop>,
}

/// What the backend and its tasks share.
struct Tiers<V, L1, L2> {
    l1: L1,
    l2: L2,
    fence: Fence<V>,
    bus: Option<Arc<dyn InvalidationBus>>,
    recovery: Recovery,
    counters: Counters,
    clock: Clock,
    /// How long the first tier may serve after the bus was caught up; `Duration::MAX` is for ever.
    grace: Duration,
    /// The longest time that the first tier keeps a value.
    longest: Duration,
    bound: Duration,
    on_l2_error: OnL2Error,
    write_policy: WritePolicy,
    caught_up_at: AtomicU64,
    heard: Notify,
    /// Tiers in front of these, if there may be any.
    relay: OnceLock<Arc<Relay>>,
    /// Tells these tiers from all others of the process.
    number: u64,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<V, L1, L2> TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// Joins two tiers, and begins to listen to the bus.
    ///
    /// Until the bus is heard of for the first time, reads go to the second tier.
    ///
    /// # Errors
    /// [`InvalidInput`] for an option out of its limits, for a bus that tells of
    /// [another store](InvalidationBus::store_id) than the second tier, and outside of a Tokio runtime.
    /// [`Unsupported`](cache_core::ErrorKind::Unsupported) for a second tier that is itself two tiers, unless
    /// the bus is [that of these](Self::relay).
    pub fn new(l1: L1, l2: L2, config: TieredConfig) -> Result<Self> {
        config.check()?;
        third_tier::check_bus(config.bus.as_deref(), &l2)?;
        let runtime = Handle::try_current()
            .map_err(|_| Error::invalid("runtime", "is missing: a tiered backend needs Tokio"))?;
        let grace = match (&config.bus, config.on_bus_loss) {
            (None, _) | (_, OnBusLoss::ServeUntilTtl) => Duration::MAX,
            (Some(_), OnBusLoss::Bypass) => config.bound,
            (Some(_), OnBusLoss::ServeFor(more)) => config.bound.saturating_add(more),
        };
        let tiers = Arc::new(Tiers {
            l1,
            l2,
            fence: Fence::new(),
            recovery: Recovery::new(config.recovery_capacity),
            counters: Counters::default(),
            grace,
            longest: config.longest(),
            bound: config.bound,
            on_l2_error: config.on_l2_error,
            write_policy: config.write_policy,
            caught_up_at: AtomicU64::new(0),
            heard: Notify::new(),
            relay: OnceLock::new(),
            number: third_tier::next_number(),
            clock: config.clock,
            bus: config.bus,
        });
        if grace == Duration::MAX {
            tiers.fence.extend_permit(u64::MAX);
        }
        let mut tasks = vec![runtime.spawn(Arc::clone(&tiers).recover())];
        if let Some(bus) = tiers.bus.clone() {
            tasks.extend(listen::start(bus, Arc::clone(&tiers) as _, &runtime));
        }
        Ok(Self {
            tiers,
            flights: Flights::default(),
            _tasks: tasks.into_iter().map(AbortOnDrop).collect(),
        })
    }

    /// Waits until the first tier may serve: until the bus has been heard of.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use std::time::Duration;
    ///
    /// use cache_local::LocalBackend;
    /// use cache_tiered::{MemoryBus, TieredBackend, TieredConfig};
    ///
    /// let config = TieredConfig::with_bus(MemoryBus::new(Duration::from_secs(1)));
    /// let backend: TieredBackend<String, _, _> =
    ///     TieredBackend::new(LocalBackend::default(), LocalBackend::default(), config)?;
    /// backend.ready().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    pub async fn ready(&self) {
        loop {
            let heard = self.tiers.heard.notified();
            if self.tiers.has_heard() && self.tiers.may_serve() {
                return;
            }
            heard.await;
        }
    }

    /// Declares everything in the first tier of this process invalid, at once.
    ///
    /// The second tier and other processes are not concerned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use std::time::Duration;
    ///
    /// use cache_core::CacheBackend;
    /// use cache_local::LocalBackend;
    /// use cache_tiered::{TieredBackend, TieredConfig};
    ///
    /// let config = TieredConfig::without_bus(Duration::from_secs(1));
    /// let backend: TieredBackend<String, _, _> =
    ///     TieredBackend::new(LocalBackend::default(), LocalBackend::default(), config)?;
    /// backend.flush();
    /// assert_eq!(backend.stats().tiers.unwrap().flushes, 1);
    /// # Ok(()) }
    /// ```
    pub fn flush(&self) {
        self.tiers.flush_for(FlushCause::Requested);
    }

    /// Returns the first tier.
    #[must_use]
    pub fn l1(&self) -> &L1 {
        &self.tiers.l1
    }

    /// Returns the second tier.
    ///
    /// What is written to it directly reaches the first tiers as a change by another program does.
    #[must_use]
    pub fn l2(&self) -> &L2 {
        &self.tiers.l2
    }
}

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// Tells whether the first tier may serve.
    #[inline]
    fn may_serve(&self) -> bool {
        self.fence.permit() > self.now()
    }

    /// Returns the present time of a clock that does not stop during suspend: what memory holds ages then,
    /// too.
    #[inline]
    fn now(&self) -> u64 {
        self.clock.nanos_with_suspend()
    }

    /// Tells whether there is a bus that has told everything at least once, or none.
    fn has_heard(&self) -> bool {
        self.bus.is_none() || self.caught_up_at.load(Ordering::Acquire) > 0
    }

    fn flush_for(&self, cause: FlushCause) {
        self.fence.flush();
        self.counters.flushes.add(1);
        tracing::debug!(?cause, "everything in the first tier is invalid");
    }

    fn tier_stats(&self) -> TierStats {
        let mut stats = self.counters.snapshot();
        (stats.recovery_pending, stats.recovery_dropped) = self.recovery.counts();
        stats.permit = match self.bus {
            None => Permit::Unneeded,
            Some(_) if self.may_serve() => Permit::Held,
            Some(_) => Permit::Lapsed,
        };
        let caught_up_at = self.caught_up_at.load(Ordering::Relaxed);
        let behind = self.now().saturating_sub(caught_up_at);
        stats.behind = (caught_up_at > 0).then(|| Duration::from_nanos(behind));
        let l1 = self.l1.stats();
        (stats.l1_entries, stats.l1_weight) = (l1.entries, l1.weight);
        stats.l1_evicted = l1.evicted_for_capacity + l1.evicted_by_resize;
        stats
    }
}

impl<V, L1, L2> TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// Answers from memory, if it may serve and the value has at least so many nanoseconds left.
    #[inline]
    fn held_now(&self, key: &str, least: u64) -> ReadNow<V> {
        let (now, fence) = (self.tiers.now(), &self.tiers.fence);
        if fence.permit() <= now {
            return ReadNow::WouldWait;
        }
        match self.tiers.l1.read_now(key) {
            ReadNow::Answer(Ok(Some(held)))
                if held.epoch() == fence.epoch() && held.is_left_after(now, least) =>
            {
                ReadNow::Answer(Ok(Some(held.into_value())))
            }
            _ => ReadNow::WouldWait,
        }
    }
}

impl<V, L1, L2> CacheBackend<V> for TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    #[inline]
    fn read_now(&self, key: &str) -> ReadNow<V> {
        self.held_now(key, 0)
    }

    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        self.held_now(key, nanos(least))
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        let found = self.tiers.read(key).await?;
        Ok(found.map(|entry| entry.value))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        self.tiers.read(key).await
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        self.tiers.set(key, value, options, None).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        self.tiers.settle(key).await?;
        let swap = self.tiers.l2.swap(key, value, expiry);
        self.tiers.write(Change::Key(key), |_| true, swap).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        let is_sure = condition == Condition::Always;
        if !is_sure {
            self.tiers.settle(key).await?;
        }
        let delete = self.tiers.l2.delete(key, condition);
        if is_sure {
            return self.tiers.delete(Change::Key(key), delete).await;
        }
        // Tried again later, it would hit what the caller has not seen.
        let change = Change::Key(key);
        self.tiers.write(change, |deleted| *deleted, delete).await
    }

    async fn get_versioned(&self, key: &str) -> Result<Versioned<V>> {
        self.tiers.settle(key).await?;
        let found = self.tiers.l2.get_versioned(key).await?;
        // Whatever it says is newer than what the first tier may hold.
        self.tiers.forget_key(key).await;
        Ok(found)
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        self.tiers.settle(key).await?;
        let take = self.tiers.l2.take(key);
        // Not tried again later: nobody would get the value then.
        self.tiers.write(Change::Key(key), |_| true, take).await
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        self.tiers.settle(key).await?;
        let get = self.tiers.l2.get_ex(key, expiry);
        let change = Change::Key(key);
        self.tiers.write(change, Option::is_some, get).await
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.tiers.expiry(key).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.tiers.settle(key).await?;
        let change = self.tiers.l2.set_expiry(key, expiry);
        self.tiers
            .write(Change::Key(key), |changed| *changed, change)
            .await
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        let found = self.tiers.read_many(keys).await?;
        Ok(found
            .into_iter()
            .map(|entry| entry.map(|entry| entry.value))
            .collect())
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        self.tiers.read_many(keys).await
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        let keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let set = self.tiers.l2.set_many(entries, expiry);
        self.tiers.write(Change::Keys(&keys), |()| true, set).await
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        let delete = self.tiers.l2.delete_many(keys);
        self.tiers.delete(Change::Keys(keys), delete).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.tiers.l2.scan(scope, cursor, limit).await
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        let clear = self.tiers.l2.clear(scope);
        self.tiers.delete(Change::Scope(scope), clear).await
    }

    fn capabilities(&self) -> Capabilities {
        // What a bounded second tier evicts may stay in the first for its time.
        self.tiers.l2.capabilities().with_bounded(false)
    }

    fn stats(&self) -> BackendStats {
        let mut stats = self.tiers.l2.stats();
        stats.tiers = Some(self.tiers.tier_stats());
        stats
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.tiers.id())
    }

    fn abilities(&self) -> Abilities<'_, V> {
        let (of_l2, mut abilities) = (self.tiers.l2.abilities(), Abilities::none());
        abilities.leases = of_l2.leases.map(|_| self as _);
        abilities.tags = of_l2.tags.map(|_| self as _);
        abilities.transactions = of_l2.transactions.map(|_| self as _);
        // No tier in front has anything of them.
        abilities.locks = of_l2.locks;
        // The second tier counts for all processes; the first has no part in it.
        abilities.counters = of_l2.counters;
        // The second tier may have caches of its own.
        abilities.flights = of_l2.flights.or(Some(&self.flights));
        abilities
    }
}

impl<V, L1: fmt::Debug, L2: fmt::Debug> fmt::Debug for TieredBackend<V, L1, L2> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredBackend")
            .field("l1", &self.tiers.l1)
            .field("l2", &self.tiers.l2)
            .field("bus", &self.tiers.bus)
            .finish_non_exhaustive()
    }
}
