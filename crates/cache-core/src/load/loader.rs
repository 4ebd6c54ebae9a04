//! Runs loaders: within the time that there is, under a span, and counted.

use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Span;

use super::flights::{self, Lead};
use crate::timer::timeout_at;
use crate::{Cache, CacheBackend, Error, ErrorKind, LoadOptions, LoadReason, Result, Ttl};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Checks the options, and returns when the time is over that there is.
    pub(super) fn load_deadline(&self, options: &LoadOptions) -> Result<Option<Instant>> {
        options.check(self.shared.keep_stale)?;
        options
            .ttl
            .unwrap_or(Ttl::DEFAULT)
            .resolve(self.default_ttl)?;
        let limit = options.hard_timeout;
        if limit.or(options.soft_timeout).is_some() && Handle::try_current().is_err() {
            let what = "a time limit outside of a Tokio runtime";
            return Err(Error::unsupported(what));
        }
        Ok(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// Returns the time to live that a value has to which its loader gives none.
    pub(super) fn usual_ttl(&self, options: &LoadOptions) -> Option<Duration> {
        let ttl = options.ttl.unwrap_or(Ttl::DEFAULT);
        ttl.resolve(self.default_ttl).ok()?.remaining()
    }

    /// Loads although the cache has failed, and counts that; unless the options forbid it.
    pub(super) fn go_past_outage(&self, options: &LoadOptions, error: Error) -> Result<()> {
        if options.fail_on_outage == Some(true) {
            return Err(error);
        }
        self.shared.loads.past_outage();
        Ok(())
    }

    /// Runs a loader for some flights, within the time that there is, and counts it.
    pub(super) async fn run_loader<T: Send, E: Send>(
        &self,
        leads: &[&Lead<V>],
        options: &LoadOptions,
        deadline: Option<Instant>,
        load: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Result<T, E>> {
        let started = self.shared.clock.nanos();
        let load = flights::run(leads, load);
        let loaded = match deadline {
            // A future is polled once even if its time is over: one loader for each who waits.
            Some(deadline) if deadline <= Instant::now() => return Err(too_long(options)),
            Some(deadline) => {
                let loaded = timeout_at(deadline, pin!(load)).await;
                loaded.unwrap_or_else(|_elapsed| Err(too_long(options)))
            }
            None => load.await,
        };
        if let Err(error) = &loaded
            && *error.kind() == ErrorKind::LoadCycle
        {
            // It has not run.
            return loaded;
        }
        let took = self.shared.clock.nanos().saturating_sub(started);
        let has_failed = !matches!(loaded, Ok(Ok(_)));
        let loads = &self.shared.loads;
        loads.loaded(Duration::from_nanos(took), has_failed);
        loaded
    }
}

/// Returns the span in which a loader runs.
pub(super) fn load_span(reason: LoadReason, keys: usize) -> Span {
    tracing::debug_span!("load", ?reason, keys)
}

pub(super) fn too_long(options: &LoadOptions) -> Error {
    // A soft timeout is only waited for where there is a value to serve in place of the error.
    let limit = options.hard_timeout.or(options.soft_timeout);
    let limit = limit.unwrap_or_default();
    ErrorKind::LoadTimeout { limit }.into()
}
