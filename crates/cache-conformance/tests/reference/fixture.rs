//! Builds references for the suite.

use std::marker::PhantomData;
use std::time::Duration;

use cache_conformance::{Fixture, TestValue};
use cache_core::{Clock, ManualClock};

use super::Bug;
use super::backend::Reference;

/// Builds references, correct or with a bug, on a manual clock.
pub(crate) struct ReferenceFixture<V> {
    clock: Clock,
    hand: ManualClock,
    scans: bool,
    keeps_tags: bool,
    counts: bool,
    bug: Option<Bug>,
    value: PhantomData<fn() -> V>,
}

impl<V> ReferenceFixture<V> {
    pub(crate) fn correct() -> Self {
        let (clock, hand) = Clock::manual();
        Self {
            clock,
            hand,
            scans: true,
            keeps_tags: true,
            counts: true,
            bug: None,
            value: PhantomData,
        }
    }

    pub(crate) fn without_scan(mut self) -> Self {
        self.scans = false;
        self
    }

    pub(crate) fn without_tags(mut self) -> Self {
        self.keeps_tags = false;
        self
    }

    pub(crate) fn without_counters(mut self) -> Self {
        self.counts = false;
        self
    }

    pub(crate) fn with_bug(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }
}

impl<V: TestValue> Fixture for ReferenceFixture<V> {
    type Value = V;
    type Backend = Reference<V>;

    async fn fresh(&self) -> Reference<V> {
        let mut backend = Reference::new(self.clock.clone());
        backend.scans = self.scans;
        backend.keeps_tags = self.keeps_tags;
        backend.counts = self.counts;
        backend.bug = self.bug;
        backend
    }

    async fn bounded(&self, entries: u64) -> Option<Reference<V>> {
        let mut backend = self.fresh().await;
        backend.bound = usize::try_from(entries).expect("a bound fits");
        Some(backend)
    }

    async fn oversized(&self) -> Option<(Reference<V>, V)> {
        let mut backend = self.fresh().await;
        backend.largest = 1_000;
        Some((backend, V::from_text(&"x".repeat(1_001))))
    }

    async fn advance(&self, by: Duration) {
        self.hand.advance(by);
    }

    fn granularity(&self) -> Duration {
        Duration::ZERO
    }
}
