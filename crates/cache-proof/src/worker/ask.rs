//! A call, from its start to its outcome.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use cache_core::{Error, Result};
use fastrand::Rng;
use tokio::time::timeout;

use crate::history::{Kind, Operation, Outcome, now};
use crate::plan::Order;

/// How long to wait for a call before it is said to hang.
const HUNG: Duration = Duration::from_secs(15);
/// How many calls there are for one that is dropped on its way.
const DROPPED: u32 = 25;
/// After how much time a call is dropped at the latest, and after how often it was polled.
const LATEST_DROP: Duration = Duration::from_millis(40);
const MOST_POLLS: u32 = 4;

/// When the caller loses its patience.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    Endless,
    /// So often the call is polled.
    Polls(u32),
    Time(Duration),
}

/// What has become of a call.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Done(T),
    Failed(Error),
    Hung,
    /// Nobody waited for it any more.
    Dropped,
}

impl Patience {
    /// Chooses: few calls are dropped, many of these soon.
    pub(super) fn any(random: &mut Rng) -> Self {
        if random.u32(..DROPPED) > 0 {
            return Self::Endless;
        }
        if random.bool() {
            return Self::Polls(random.u32(1..=MOST_POLLS));
        }
        Self::Time(LATEST_DROP.mul_f64(random.f64().powi(3)))
    }
}

/// Waits for a call for as long as the patience lasts.
pub(super) async fn ask<T>(patience: Patience, call: impl Future<Output = Result<T>>) -> Answer<T> {
    let mut call = pin!(call);
    let mut left = match patience {
        Patience::Polls(polls) => polls,
        _ => u32::MAX,
    };
    let answer = poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(Ok(answer)) => Poll::Ready(Answer::Done(answer)),
        Poll::Ready(Err(error)) => Poll::Ready(Answer::Failed(error)),
        Poll::Pending => {
            left -= 1;
            match left {
                0 => Poll::Ready(Answer::Dropped),
                _ => Poll::Pending,
            }
        }
    });
    let (limit, at_limit) = match patience {
        Patience::Time(limit) => (limit, true),
        _ => (HUNG, false),
    };
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) if at_limit => Answer::Dropped,
        Err(_elapsed) => Answer::Hung,
    }
}

impl<T> Answer<T> {
    /// Returns the call with its end and its outcome, and with what `note` adds of the answer.
    pub(super) fn of(
        &self,
        mut call: Operation,
        note: impl FnOnce(&mut Operation, &T),
    ) -> Operation {
        call.end = now();
        match self {
            Self::Done(answer) => note(&mut call, answer),
            Self::Failed(error) => call.outcome = Outcome::Unknown(format!("{:?}", error.kind())),
            Self::Hung => call.outcome = Outcome::Hung,
            Self::Dropped => call.outcome = Outcome::Dropped,
        }
        call
    }
}

/// Returns a call that begins now.
pub(super) fn call(order: &Order, key: u32, kind: Kind) -> Operation {
    let start = now();
    Operation {
        process: order.process,
        key,
        kind,
        start,
        end: start,
        wrote: None,
        ttl: None,
        tagged: false,
        found: None,
        outcome: Outcome::Done,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::task::yield_now;

    use super::{Answer, Patience, ask};

    #[tokio::test]
    async fn a_call_is_dropped_when_the_patience_is_over() {
        let twice = || async {
            yield_now().await;
            yield_now().await;
            Ok(7)
        };
        let dropped = ask(Patience::Polls(2), twice()).await;
        assert!(matches!(dropped, Answer::Dropped), "{dropped:?}");
        for polls in [3, 4] {
            let answered = ask(Patience::Polls(polls), twice()).await;
            assert!(matches!(answered, Answer::Done(7)), "{answered:?}");
        }
        let at_once = ask(Patience::Polls(1), ready(Ok(7))).await;
        assert!(matches!(at_once, Answer::Done(7)), "{at_once:?}");
        let never = pending::<cache_core::Result<()>>();
        let dropped = ask(Patience::Time(Duration::ZERO), never).await;
        assert!(matches!(dropped, Answer::Dropped), "{dropped:?}");
    }
}
