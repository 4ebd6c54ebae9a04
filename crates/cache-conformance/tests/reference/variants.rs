//! The reference as a server would look: calls that wait, time that passes.

use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend, Fixture};
use cache_core::Clock;

use super::ReferenceFixture;
use super::backend::Reference;

/// Every call is pending before and after its effect, and no read is answered at once.
pub(crate) struct Waiting(pub(crate) ReferenceFixture<String>);

fn waiting<B>(backend: B) -> FaultyBackend<B> {
    let backend = FaultyBackend::new(backend);
    backend.every(1, Fault::Yield);
    backend
}

impl Fixture for Waiting {
    type Value = String;
    type Backend = FaultyBackend<Reference<String>>;

    async fn fresh(&self) -> Self::Backend {
        waiting(self.0.fresh().await)
    }

    async fn bounded(&self, entries: u64) -> Option<Self::Backend> {
        self.0.bounded(entries).await.map(waiting)
    }

    async fn oversized(&self) -> Option<(Self::Backend, String)> {
        let (backend, value) = self.0.oversized().await?;
        Some((waiting(backend), value))
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.granularity()
    }
}

/// The clock of the system, and no abilities.
pub(crate) struct RealTime;

impl Fixture for RealTime {
    type Value = String;
    type Backend = Reference<String>;

    async fn fresh(&self) -> Self::Backend {
        Reference::new(Clock::system())
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(20)
    }
}
