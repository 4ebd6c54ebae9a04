//! What the author of a backend writes: how to build it and how its time passes.

use std::fmt;
use std::future::ready;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{CacheBackend, DynBackend};

use crate::TestValue;

/// Builds the backends that the suite tests and steers their time.
///
/// The macro evaluates its fixture expression once per test, so a fixture with a manual clock
/// has a clock of its own. Methods with a body are abilities: leave one out and the clauses that
/// need it are skipped, visibly. New abilities come with a body in minor releases.
pub trait Fixture: Send + Sync + 'static {
    /// The values that the backend is tested with; `String` unless there is a reason.
    type Value: TestValue;
    /// The backend under test.
    type Backend: CacheBackend<Self::Value>;

    /// Creates an empty backend.
    ///
    /// It shares nothing with any other backend: tests run side by side, so a fixture of
    /// a server takes a new namespace each time. It holds 2,000 small entries and a
    /// value of 1 MiB without evicting any.
    fn fresh(&self) -> impl Future<Output = Self::Backend> + Send;

    /// Creates an empty backend that holds at most so many entries, for C26.
    fn bounded(&self, entries: u64) -> impl Future<Output = Option<Self::Backend>> + Send {
        let _ = entries;
        ready(None)
    }

    /// Creates an empty backend and a value that can never fit into it, for C27.
    ///
    /// Values of a few bytes fit.
    fn oversized(&self) -> impl Future<Output = Option<(Self::Backend, Self::Value)>> + Send {
        ready(None)
    }

    /// Lets time pass for the backends of this fixture: moves a manual clock or sleeps.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Returns how late an entry may end and how far apart two calls may lie.
    ///
    /// Zero stands for a manual clock, which stands still between calls of
    /// [`advance`](Self::advance): tests then look one millisecond before a deadline and at the
    /// deadline itself, and jump 100 years. For a server it is some 20 ms; tests that wait then
    /// wait eleven times as long.
    fn granularity(&self) -> Duration;
}

/// Runs a fixture with the type of its backend erased.
///
/// The type of the fixture is erased with it, so the tests of all fixtures of a kind of value are compiled once.
pub struct Erased<V>(Box<dyn AnyFixture<V>>);

impl<V: TestValue> Erased<V> {
    /// Wraps a fixture.
    #[must_use]
    pub fn new(fixture: impl Fixture<Value = V>) -> Self {
        Self(Box::new(fixture))
    }
}

impl<V> fmt::Debug for Erased<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erased").finish_non_exhaustive()
    }
}

impl<V: TestValue> Fixture for Erased<V> {
    type Value = V;
    type Backend = DynBackend<V>;

    async fn fresh(&self) -> Self::Backend {
        self.0.any_fresh().await
    }

    async fn bounded(&self, entries: u64) -> Option<Self::Backend> {
        self.0.any_bounded(entries).await
    }

    async fn oversized(&self) -> Option<(Self::Backend, Self::Value)> {
        self.0.any_oversized().await
    }

    async fn advance(&self, by: Duration) {
        self.0.any_advance(by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.any_granularity()
    }
}

/// [`Fixture`] as a type that can be erased.
#[async_trait]
trait AnyFixture<V>: Send + Sync {
    async fn any_fresh(&self) -> DynBackend<V>;
    async fn any_bounded(&self, entries: u64) -> Option<DynBackend<V>>;
    async fn any_oversized(&self) -> Option<(DynBackend<V>, V)>;
    async fn any_advance(&self, by: Duration);
    fn any_granularity(&self) -> Duration;
}

#[async_trait]
impl<F: Fixture> AnyFixture<F::Value> for F {
    async fn any_fresh(&self) -> DynBackend<F::Value> {
        DynBackend::new(self.fresh().await)
    }

    async fn any_bounded(&self, entries: u64) -> Option<DynBackend<F::Value>> {
        self.bounded(entries).await.map(DynBackend::new)
    }

    async fn any_oversized(&self) -> Option<(DynBackend<F::Value>, F::Value)> {
        let (backend, value) = self.oversized().await?;
        Some((DynBackend::new(backend), value))
    }

    async fn any_advance(&self, by: Duration) {
        self.advance(by).await;
    }

    fn any_granularity(&self) -> Duration {
        self.granularity()
    }
}

/// Why a test had nothing to check on a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Skipped {
    reason: &'static str,
}

impl Skipped {
    pub(crate) const SCAN: Self = Self::because("the backend cannot scan");
    pub(crate) const BOUND: Self = Self::because("the fixture builds no bounded backend");
    pub(crate) const OVERSIZED: Self = Self::because("the fixture has no value that never fits");
    pub(crate) const EXACT_TIME: Self = Self::because("the time of the fixture is not exact");

    pub(crate) const LEASES: Self = Self::because("the backend has no load leases");
    pub(crate) const TAGS: Self = Self::because("the backend keeps no tags");
    pub(crate) const LOCKS: Self = Self::because("the backend has no locks");
    pub(crate) const TRANSACTIONS: Self = Self::because("the backend has no transactions");
    pub(crate) const COUNTERS: Self = Self::because("the backend has no counters");
    pub(crate) const ONE_KEY: Self = Self::because("hash tags do not choose the slot");

    const fn because(reason: &'static str) -> Self {
        Self { reason }
    }

    /// Returns what the backend or its fixture lacks.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl std::error::Error for Skipped {}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}
