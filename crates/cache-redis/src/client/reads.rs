//! Reads, which are sent again if the connection breaks before or while they run.

use std::sync::Arc;
use std::time::Duration;

use cache_core::Result;
use tokio::time::Instant;

use super::connection::Connection;
use super::failure::{Failure, Repeats};
use super::{Lane, Link};

/// How long a read waits for a connection that has just been lost.
const GRACE: Duration = Duration::from_millis(100);
/// How often a read is sent at the most.
const SENDS: usize = 8;

impl Link {
    /// Runs a command that changes nothing: again if the connection broke before or while it ran, within the
    /// same time.
    pub(crate) async fn read<T, F>(&self, run: impl Fn(Arc<Connection>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let lane = self.lane()?;
        let start = Instant::now();
        let failure = match run(lane.connection.load_full()).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // Boxed, as what hardly ever happens must not make the future of every read larger.
        let answer = Box::pin(self.read_again(lane, start, failure, run)).await;
        // That it may have been sent makes no difference for what changes nothing.
        answer.map_err(|failure| self.note_of(lane, &failure, true))
    }

    /// Runs a read again that failed, as long as that may help.
    async fn read_again<T, F>(
        &self,
        lane: &Lane,
        start: Instant,
        mut failure: Failure,
        run: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let end = start + self.command_timeout;
        let (mut is_counted, mut may_be_its_fault) = (false, false);
        for _ in 1..SENDS {
            if failure.is_redirected() {
                return self.reroute(lane, start, run).await;
            }
            match failure.repeats() {
                Repeats::Never => break,
                Repeats::Once if may_be_its_fault => break,
                Repeats::Once => may_be_its_fault = true,
                Repeats::Freely => {}
            }
            let back_by = end.min(Instant::now() + GRACE);
            if !lane.connection.load_full().is_back_by(back_by).await {
                break;
            }
            if !is_counted {
                self.counters.retried();
                is_counted = true;
            }
            match self.in_time(start, run(lane.connection.load_full())).await {
                Err(next) => failure = next,
                answer => return answer,
            }
        }
        Err(failure)
    }
}
