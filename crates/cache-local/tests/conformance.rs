//! The contract, clause by clause, on the in-process backend.
#![cfg(not(shuttle))]

use std::time::Duration;

use cache_conformance::{Fixture, conformance_tests};
use cache_core::{Clock, ManualClock};
use cache_local::{LocalBackend, LocalConfig};

struct Local(Clock, ManualClock);

impl Local {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        Self(clock, hand)
    }

    fn build(&self, config: LocalConfig<String>) -> LocalBackend<String> {
        LocalBackend::new(config.clock(self.0.clone())).expect("the options are right")
    }
}

impl Fixture for Local {
    type Value = String;
    type Backend = LocalBackend<String>;

    async fn fresh(&self) -> Self::Backend {
        self.build(LocalConfig::new())
    }

    async fn bounded(&self, entries: u64) -> Option<Self::Backend> {
        Some(self.build(LocalConfig::new().max_entries(entries)))
    }

    async fn oversized(&self) -> Option<(Self::Backend, String)> {
        let weigh = |_: &str, value: &String| value.len() as u32;
        Some((
            self.build(LocalConfig::new().max_weight(1_000, weigh)),
            "x".repeat(1_001),
        ))
    }

    async fn advance(&self, by: Duration) {
        self.1.advance(by);
    }

    fn granularity(&self) -> Duration {
        Duration::ZERO
    }
}

conformance_tests!(local, Local::new());

#[tokio::test]
async fn a_hundred_thousand_random_operations_agree_with_a_map() {
    cache_conformance::model::agrees_with_the_model(&Local::new(), 7, 100_000).await;
}
