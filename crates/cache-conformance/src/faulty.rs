//! A backend that fails on demand.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    Abilities, Acquired, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities,
    Claim, Condition, Count, Counters, Cursor, Error, ErrorKind, Expiry, Layer, LoadLease,
    LoadLeases, LockToken, Locks, Page, ReadNow, Result, Scope, SetNow, TagTicket, Tagging, Tags,
    TransactionWrite, Transactions, Versioned, Watch,
};

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the call goes through. It holds a place in a script.
    None,
    /// The call fails and has no effect.
    Fail(ErrorKind),
    /// The call takes effect and yet fails, as one whose reply is lost.
    LoseReply(ErrorKind),
    /// The call starts after this time on tokio's clock.
    Delay(Duration),
    /// The call takes effect at once and returns after this time on tokio's clock.
    DelayReply(Duration),
    /// The call is pending once before it starts and once after it took effect: two more
    /// points at which a caller can drop it.
    Yield,
    /// The call never starts and never returns.
    Hang,
    /// The call takes effect and never returns.
    HangAfter,
}

/// Wraps a backend and injects errors, delays and points of cancellation.
///
/// Each asynchronous call takes the next [`Fault`] of the script; once the script is used up,
/// every n-th call takes the one given to [`every`](Self::every). `read_now` and `set_now` take none: while
/// faults are planned they say that they would have to wait, so the call that follows takes them.
///
/// All methods take `&self`, so a test keeps an `Arc` of the backend and steers it while a cache
/// uses it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
///
/// use cache_conformance::{Fault, FaultyBackend};
/// use cache_core::{Cache, ErrorKind};
/// use cache_local::LocalBackend;
///
/// let faulty = Arc::new(FaultyBackend::new(LocalBackend::default()));
/// let cache: Cache<String> = Cache::new(Arc::clone(&faulty));
///
/// // The reply to one write is lost: the caller sees an error, the store has the value.
/// faulty.script([Fault::LoseReply(ErrorKind::Timeout)]);
/// let error = cache.set("user:1", "Alice").await.unwrap_err();
/// assert!(error.is_transient());
/// assert_eq!(cache.get("user:1").await.unwrap().as_deref(), Some("Alice"));
///
/// // An outage, and its end.
/// faulty.every(1, Fault::Fail(ErrorKind::Unavailable));
/// assert!(cache.get("user:1").await.is_err());
/// faulty.heal();
/// assert!(cache.get("user:1").await.is_ok());
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyBackend<B> {
    backend: B,
    plan: Mutex<Plan>,
    calls: AtomicU64,
    untyped: OnceLock<fn(&B) -> Untyped<'_>>,
}

/// The abilities of a backend that have nothing to do with its values. Where they are is known once it is known
/// which values it has.
struct Untyped<'b> {
    counters: Option<&'b dyn Counters>,
    locks: Option<&'b dyn Locks>,
}

fn untyped_of<V, B>(backend: &B) -> Untyped<'_>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    let Abilities {
        counters, locks, ..
    } = backend.abilities();
    Untyped { counters, locks }
}

#[derive(Debug, Default)]
struct Plan {
    script: VecDeque<Fault>,
    rule: Option<Rule>,
}

#[derive(Debug)]
struct Rule {
    period: u64,
    fault: Fault,
    /// Calls since the rule was made.
    calls: u64,
}

impl Plan {
    fn next(&mut self) -> Fault {
        if let Some(fault) = self.script.pop_front() {
            return fault;
        }
        let Some(rule) = &mut self.rule else {
            return Fault::None;
        };
        rule.calls += 1;
        if rule.calls.is_multiple_of(rule.period) {
            rule.fault.clone()
        } else {
            Fault::None
        }
    }
}

impl<B> FaultyBackend<B> {
    /// Wraps a backend; no faults are planned yet.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            plan: Mutex::default(),
            calls: AtomicU64::new(0),
            untyped: OnceLock::new(),
        }
    }

    /// Appends faults for the next calls, one for each.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan().script.extend(faults);
    }

    /// Gives a fault to every n-th call from now on, and so ends an earlier rule.
    ///
    /// With `period` 1 it is every call: an outage. Zero counts as 1.
    pub fn every(&self, period: u64, fault: Fault) {
        self.plan().rule = Some(Rule {
            period: period.max(1),
            fault,
            calls: 0,
        });
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
    }

    /// Returns how many asynchronous calls have been polled so far, faulty or not.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns the backend, to be called without faults.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.backend
    }

    fn is_healthy(&self) -> bool {
        let plan = self.plan();
        plan.script.is_empty() && plan.rule.is_none()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Sync> FaultyBackend<B> {
    async fn call<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = self.plan().next();
        match fault {
            Fault::None => call.await,
            Fault::Fail(kind) => Err(kind.into()),
            Fault::LoseReply(kind) => {
                call.await?;
                Err(kind.into())
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::DelayReply(time) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                answer
            }
            Fault::Yield => {
                tokio::task::yield_now().await;
                let answer = call.await;
                tokio::task::yield_now().await;
                answer
            }
            Fault::Hang => pending().await,
            Fault::HangAfter => {
                call.await?;
                pending().await
            }
        }
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> CacheBackend<V> for FaultyBackend<B> {
    fn read_now(&self, key: &str) -> ReadNow<V> {
        if self.is_healthy() {
            self.backend.read_now(key)
        } else {
            ReadNow::WouldWait
        }
    }

    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        if self.is_healthy() {
            self.backend.read_now_lasting(key, least)
        } else {
            ReadNow::WouldWait
        }
    }

    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
        if self.is_healthy() {
            self.backend.set_now(key, value, expiry)
        } else {
            SetNow::WouldWait(value)
        }
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        self.call(self.backend.get(key)).await
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        let is_healthy = self.is_healthy();
        let entry = self.call(self.backend.get_entry(key)).await?;
        Ok(match entry {
            // As `read_now` would have said.
            Some(entry) if !is_healthy => Some(entry.found_in(Layer::Store)),
            entry => entry,
        })
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        self.call(self.backend.set(key, value, options)).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        self.call(self.backend.swap(key, value, expiry)).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.call(self.backend.delete(key, condition)).await
    }

    async fn get_versioned(&self, key: &str) -> Result<Versioned<V>> {
        self.call(self.backend.get_versioned(key)).await
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        self.call(self.backend.take(key)).await
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        self.call(self.backend.get_ex(key, expiry)).await
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.call(self.backend.expiry(key)).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.call(self.backend.set_expiry(key, expiry)).await
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        self.call(self.backend.get_many(keys)).await
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        self.call(self.backend.get_entries(keys)).await
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        self.call(self.backend.set_many(entries, expiry)).await
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        self.call(self.backend.delete_many(keys)).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.call(self.backend.scan(scope, cursor, limit)).await
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        self.call(self.backend.clear(scope)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn stats(&self) -> BackendStats {
        self.backend.stats()
    }

    fn abilities(&self) -> Abilities<'_, V> {
        let (inner, mut abilities) = (self.backend.abilities(), Abilities::none());
        abilities.leases = inner.leases.map(|_| self as _);
        abilities.tags = inner.tags.map(|_| self as _);
        abilities.transactions = inner.transactions.map(|_| self as _);
        self.untyped.get_or_init(|| untyped_of::<V, B>);
        abilities.counters = inner.counters.map(|_| self as _);
        abilities.locks = inner.locks.map(|_| self as _);
        abilities
    }
}

impl<B> FaultyBackend<B> {
    fn untyped(&self) -> Option<Untyped<'_>> {
        let untyped_of = self.untyped.get()?;
        Some(untyped_of(&self.backend))
    }

    fn inner_counters(&self) -> Result<&dyn Counters> {
        let counters = self.untyped().and_then(|untyped| untyped.counters);
        counters.ok_or_else(|| Error::unsupported("counters by this backend"))
    }

    fn inner_locks(&self) -> Result<&dyn Locks> {
        let locks = self.untyped().and_then(|untyped| untyped.locks);
        locks.ok_or_else(|| Error::unsupported("locks by this backend"))
    }

    fn inner_leases<V>(&self) -> Result<&dyn LoadLeases<V>>
    where
        V: Clone + Send + Sync + 'static,
        B: CacheBackend<V>,
    {
        self.backend.abilities().leases.ok_or_else(|| {
            let what = "load leases by this backend";
            Error::unsupported(what)
        })
    }

    fn inner_transactions<V>(&self) -> Result<&dyn Transactions<V>>
    where
        V: Clone + Send + Sync + 'static,
        B: CacheBackend<V>,
    {
        let inner = self.backend.abilities().transactions;
        inner.ok_or_else(|| Error::unsupported("transactions by this backend"))
    }

    fn inner_tags<V>(&self) -> Result<&dyn Tags<V>>
    where
        V: Clone + Send + Sync + 'static,
        B: CacheBackend<V>,
    {
        self.backend.abilities().tags.ok_or_else(|| {
            let what = "tags by this backend";
            Error::unsupported(what)
        })
    }
}

/// Each call takes a fault, but for `ended`, which cannot fail.
#[async_trait]
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> LoadLeases<V> for FaultyBackend<B> {
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<V>> {
        self.call(self.inner_leases()?.claim(key, ttl)).await
    }

    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool> {
        self.call(self.inner_leases::<V>()?.extend(key, lease, ttl))
            .await
    }

    async fn fill(&self, key: &str, lease: LoadLease, value: V, expiry: Expiry) -> Result<bool> {
        self.call(self.inner_leases()?.fill(key, lease, value, expiry))
            .await
    }

    async fn release(&self, key: &str, lease: LoadLease) -> Result<()> {
        self.call(self.inner_leases::<V>()?.release(key, lease))
            .await
    }

    async fn discard(&self, key: &str, value: V) -> Result<()> {
        self.call(self.inner_leases()?.discard(key, value)).await
    }

    async fn ended(&self, key: &str, at_most: Duration) {
        if let Ok(leases) = self.inner_leases::<V>() {
            leases.ended(key, at_most).await;
        }
    }
}

#[async_trait]
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Tags<V> for FaultyBackend<B> {
    async fn ticket(&self) -> Result<TagTicket> {
        self.call(self.inner_tags::<V>()?.ticket()).await
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        self.call(self.inner_tags()?.set(key, value, options, tagging))
            .await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: V,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        self.call(self.inner_tags()?.fill(key, lease, value, expiry, tagging))
            .await
    }

    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        self.call(self.inner_tags::<V>()?.invalidate(tags)).await
    }
}

#[async_trait]
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Transactions<V> for FaultyBackend<B> {
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)> {
        self.call(self.inner_transactions()?.watch(keys)).await
    }

    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        self.call(self.inner_transactions()?.commit(watch, writes))
            .await
    }
}

#[async_trait]
impl<B: Send + Sync> Counters for FaultyBackend<B> {
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        self.call(self.inner_counters()?.add(name, by, window))
            .await
    }

    async fn get(&self, name: &str) -> Result<Option<Count>> {
        self.call(self.inner_counters()?.get(name)).await
    }

    async fn reset(&self, name: &str) -> Result<bool> {
        self.call(self.inner_counters()?.reset(name)).await
    }
}

/// Each call takes a fault, but for `released`, which cannot fail.
#[async_trait]
impl<B: Send + Sync> Locks for FaultyBackend<B> {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired> {
        self.call(self.inner_locks()?.acquire(name, ttl)).await
    }

    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool> {
        self.call(self.inner_locks()?.extend(name, token, ttl))
            .await
    }

    async fn release(&self, name: &str, token: LockToken) -> Result<bool> {
        self.call(self.inner_locks()?.release(name, token)).await
    }

    async fn released(&self, name: &str, at_most: Duration) {
        if let Ok(locks) = self.inner_locks() {
            locks.released(name, at_most).await;
        }
    }
}
