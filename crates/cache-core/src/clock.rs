//! Where the time comes from: the system, or a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A monotonic clock that a backend reads and a test can steer.
///
/// Times are nanoseconds since an origin that is the same for all system clocks of a process.
///
/// ```
/// use cache_core::Clock;
/// use std::time::Duration;
///
/// let (clock, hand) = Clock::manual();
/// let before = clock.nanos();
/// hand.advance(Duration::from_secs(1));
/// assert_eq!(clock.nanos() - before, 1_000_000_000);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    now: AtomicU64,
    /// How long the machine has been suspended.
    suspended: AtomicU64,
}

/// Moves the time of a [`Clock::manual`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Manual>);

impl ManualClock {
    /// Moves the time forward, to the end of time at the most.
    pub fn advance(&self, by: Duration) {
        add(&self.0.now, by);
    }

    /// Lets the machine be suspended for a while: only
    /// [`nanos_with_suspend`](Clock::nanos_with_suspend) goes on.
    ///
    /// ```
    /// use cache_core::Clock;
    /// use std::time::Duration;
    ///
    /// let (clock, hand) = Clock::manual();
    /// let (before, awake) = (clock.nanos_with_suspend(), clock.nanos());
    /// hand.suspend(Duration::from_secs(1));
    /// assert_eq!(clock.nanos_with_suspend() - before, 1_000_000_000);
    /// assert_eq!(clock.nanos(), awake);
    /// ```
    pub fn suspend(&self, by: Duration) {
        add(&self.0.suspended, by);
    }
}

fn add(time: &AtomicU64, by: Duration) {
    let later = |now: u64| Some(now.saturating_add(saturating_nanos(by)));
    // The closure always returns a time, so this always succeeds.
    let _ = time.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
}

impl Clock {
    /// How far [`coarse_nanos`](Self::coarse_nanos) may lie behind [`nanos`](Self::nanos).
    ///
    /// The kernel's coarse clock moves once a tick, 10 ms at the slowest; the rest is slack.
    pub const COARSE_GRAIN_NANOS: u64 = 50_000_000;

    /// Returns the monotonic clock of the system.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that stands still and the hand that moves it.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        // Not zero, so that a test can notice code that takes zero for "unset".
        let manual = Arc::new(Manual {
            now: AtomicU64::new(1_000_000_000),
            suspended: AtomicU64::new(0),
        });
        let clock = Self(Source::Manual(Arc::clone(&manual)));
        (clock, ManualClock(manual))
    }

    /// Returns the present time in nanoseconds.
    #[must_use]
    pub fn nanos(&self) -> u64 {
        match &self.0 {
            Source::System => system::nanos(),
            Source::Manual(manual) => manual.now.load(Ordering::SeqCst),
        }
    }

    /// Returns the present time of a clock that also runs while the machine is suspended, where the system
    /// has one (Linux).
    ///
    /// It is for promises to others, whose clocks run on. It has an origin of its own.
    #[must_use]
    pub fn nanos_with_suspend(&self) -> u64 {
        match &self.0 {
            Source::System => system::nanos_with_suspend(),
            Source::Manual(manual) => {
                let suspended = manual.suspended.load(Ordering::SeqCst);
                suspended.saturating_add(manual.now.load(Ordering::SeqCst))
            }
        }
    }

    /// Returns a time at most [`COARSE_GRAIN_NANOS`](Self::COARSE_GRAIN_NANOS) in the past, and
    /// never in the future, at a quarter of the cost of [`nanos`](Self::nanos).
    #[must_use]
    pub fn coarse_nanos(&self) -> u64 {
        match &self.0 {
            Source::System => system::coarse_nanos(),
            Source::Manual(manual) => manual.now.load(Ordering::SeqCst),
        }
    }

    /// Returns the time that lies `after` from now, saturating instead of overflowing.
    #[must_use]
    pub fn deadline_nanos(&self, after: Duration) -> u64 {
        self.nanos().saturating_add(saturating_nanos(after))
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    pub(super) fn nanos() -> u64 {
        to_nanos(clock_gettime(ClockId::Monotonic))
    }

    pub(super) fn nanos_with_suspend() -> u64 {
        to_nanos(clock_gettime(ClockId::Boottime))
    }

    pub(super) fn coarse_nanos() -> u64 {
        to_nanos(clock_gettime(ClockId::MonotonicCoarse))
    }

    #[inline]
    fn to_nanos(time: Timespec) -> u64 {
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn nanos() -> u64 {
        super::saturating_nanos(ORIGIN.elapsed())
    }

    pub(super) fn nanos_with_suspend() -> u64 {
        nanos()
    }

    pub(super) fn coarse_nanos() -> u64 {
        nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn the_coarse_clock_is_never_ahead_and_never_more_than_its_grain_behind() {
        let clock = Clock::system();
        for _ in 0..100_000 {
            let coarse = clock.coarse_nanos();
            let precise = clock.nanos();
            assert!(coarse <= precise);
        }
        let precise = clock.nanos();
        let coarse = clock.coarse_nanos();
        assert!(precise <= coarse + Clock::COARSE_GRAIN_NANOS);
    }
}
