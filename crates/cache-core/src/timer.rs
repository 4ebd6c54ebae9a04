//! Waits that end by themselves, in every runtime and without one.
//!
//! The timers of Tokio panic in a runtime that was built without them, and nothing tells beforehand whether it was.
//! So what waits here is woken by a thread of the process (`alarms`). Only where the clock of Tokio is not the
//! real one, as in a test that has paused it, that clock decides, and its timers wake: without timers it cannot be
//! paused.

#[cfg(not(shuttle))]
mod alarms;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

#[cfg(not(shuttle))]
use self::alarms::Alarm;

/// The time was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it says no more")]
pub struct Elapsed;

/// Returns when this much time has passed.
pub fn sleep(time: Duration) -> Sleep {
    Sleep::new(Instant::now().checked_add(time))
}

/// Returns at this moment, or at once if it is over.
pub const fn sleep_until(end: Instant) -> Sleep {
    Sleep::new(Some(end))
}

/// Returns what a future returns, unless this much time passes first.
pub fn timeout<F: Future + Unpin>(time: Duration, future: F) -> Timeout<F> {
    Timeout {
        future,
        sleep: sleep(time),
    }
}

/// Returns what a future returns, unless this moment comes first. The future is polled once even if it is over.
pub const fn timeout_at<F: Future + Unpin>(end: Instant, future: F) -> Timeout<F> {
    Timeout {
        future,
        sleep: sleep_until(end),
    }
}

/// Made by [`sleep`].
#[derive(Debug)]
#[must_use = "it waits when it is awaited"]
pub struct Sleep {
    /// `None` is later than a clock can say.
    end: Option<Instant>,
    #[cfg(not(shuttle))]
    wait: Wait,
}

#[cfg(not(shuttle))]
#[derive(Debug)]
enum Wait {
    NotBegun,
    Real(Alarm),
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

impl Sleep {
    const fn new(end: Option<Instant>) -> Self {
        Self {
            end,
            #[cfg(not(shuttle))]
            wait: Wait::NotBegun,
        }
    }
}

#[cfg(not(shuttle))]
impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(end) = self.end else {
            return Poll::Pending;
        };
        if let Wait::Tokio(sleep) = &mut self.wait {
            return sleep.as_mut().poll(context);
        }
        let Some(now) = real_now() else {
            let mut sleep = Box::pin(tokio::time::sleep_until(end));
            let answer = sleep.as_mut().poll(context);
            self.wait = Wait::Tokio(sleep);
            return answer;
        };
        if now >= end {
            self.wait = Wait::NotBegun;
            return Poll::Ready(());
        }
        if let Wait::Real(alarm) = &mut self.wait {
            alarm.set_waker(context.waker());
        } else {
            self.wait = Wait::Real(Alarm::new(end.into_std(), context.waker()));
        }
        Poll::Pending
    }
}

/// In a schedule that is explored no time passes.
#[cfg(shuttle)]
impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.end {
            Some(end) if Instant::now() >= end => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

/// Returns what time it is, unless the clock of Tokio was paused here.
#[cfg(not(shuttle))]
fn real_now() -> Option<Instant> {
    let before = std::time::Instant::now();
    let now = Instant::now();
    let real = before..=std::time::Instant::now();
    real.contains(&now.into_std()).then_some(now)
}

/// Made by [`timeout`].
#[derive(Debug)]
#[must_use = "it waits when it is awaited"]
pub struct Timeout<F> {
    future: F,
    sleep: Sleep,
}

impl<F: Future + Unpin> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep)
            .poll(context)
            .map(|()| Err(Elapsed))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};
    use std::thread::{self, Thread};
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::{Elapsed, sleep, sleep_until, timeout, timeout_at};

    const SHORT: Duration = Duration::from_millis(20);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_sleep_ends_without_a_runtime_and_not_too_early() {
        struct Unpark(Thread);

        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let start = Instant::now();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut wait = sleep(SHORT);
        while wait.poll_unpin(&mut context).is_pending() {
            thread::park();
        }
        assert!(start.elapsed() >= SHORT);
        assert_eq!(sleep_until(start).now_or_never(), Some(()));
    }

    #[test]
    fn a_sleep_ends_in_a_runtime_without_timers() {
        for mut builder in [
            tokio::runtime::Builder::new_current_thread(),
            tokio::runtime::Builder::new_multi_thread(),
        ] {
            let runtime = builder.build().unwrap();
            let start = Instant::now();
            runtime.block_on(async { tokio::spawn(sleep(SHORT)).await.unwrap() });
            assert!(start.elapsed() >= SHORT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_paused_decides_and_goes_on_by_itself() {
        let start = Instant::now();
        sleep(HOUR).await;
        assert_eq!(start.elapsed(), HOUR);
        let late = timeout(HOUR, pending::<()>()).await;
        assert_eq!((late, start.elapsed()), (Err(Elapsed), HOUR * 2));
    }

    #[tokio::test]
    async fn a_sleep_that_began_before_the_clock_was_paused_ends_by_that_clock() {
        let mut wait = sleep(HOUR);
        assert_eq!((&mut wait).now_or_never(), None);
        tokio::time::pause();
        tokio::time::advance(HOUR).await;
        wait.await;
    }

    #[tokio::test]
    async fn a_future_is_polled_once_although_its_time_is_over() {
        let over = Instant::now();
        assert_eq!(timeout_at(over, ready(7)).await, Ok(7));
        let late = timeout_at(over, pending::<()>()).await;
        assert_eq!(late, Err(Elapsed));
        // What no clock can say is without end.
        assert_eq!(timeout(Duration::MAX, ready(7)).await, Ok(7));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_of_many_sleeps_ends_whatever_their_order() {
        let start = Instant::now();
        let sleeps = (0..200u64).map(|i| {
            let time = Duration::from_millis((i * 37) % 50 + 1);
            tokio::spawn(async move {
                sleep(time).await;
                time
            })
        });
        for ended in sleeps.collect::<Vec<_>>() {
            let time = ended.await.unwrap();
            assert!(start.elapsed() >= time);
        }
    }
}
