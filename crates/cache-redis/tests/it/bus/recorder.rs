//! A listener that notes what it is told, and when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cache_core::bus::{FlushCause, Invalidation, InvalidationListener, Moment};
use tokio::sync::Semaphore;

use crate::bus::LIMIT;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Changed(Invalidation),
    Flush(FlushCause),
    CaughtUp(Duration),
}

/// What is told, with the time since the start.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Instant,
    events: Mutex<Vec<(Duration, Event)>>,
    /// Lets a change pass.
    gate: Semaphore,
    /// How long a change takes, in milliseconds.
    slowness: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            events: Mutex::default(),
            gate: Semaphore::new(1),
            slowness: AtomicU64::new(0),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn events(&self) -> MutexGuard<'_, Vec<(Duration, Event)>> {
        self.events
            .lock()
            .expect("no test panics while it holds it")
    }

    fn note(&self, event: Event) {
        let mut events = self.events();
        events.push((self.start.elapsed(), event));
    }

    /// Blocks the listener when it is told of a change, until the permit is dropped.
    pub(crate) async fn block(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.gate.acquire().await.expect("it is open")
    }

    /// Makes each change take this long.
    pub(crate) fn slow_down(&self, milliseconds: u64) {
        self.slowness.store(milliseconds, Ordering::Relaxed);
    }

    /// Waits until the bus has caught up to the present moment, and returns how long that took.
    pub(crate) async fn caught_up(&self) -> Duration {
        let present = self.elapsed();
        let is_later =
            |(_, event): &(_, Event)| matches!(event, Event::CaughtUp(to) if *to > present);
        loop {
            if self.events().iter().rev().any(is_later) {
                return self.elapsed() - present;
            }
            let waited = self.elapsed() - present;
            assert!(waited < LIMIT, "not caught up within {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns all keys that were told since, sorted, each once.
    pub(crate) fn keys_since(&self, since: Duration) -> Vec<String> {
        let mut keys = Vec::new();
        for (at, event) in self.events().iter() {
            if let Event::Changed(Invalidation::Keys(some)) = event
                && *at >= since
            {
                keys.extend(some.iter().cloned());
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(crate) fn flushes_since(&self, since: Duration) -> Vec<FlushCause> {
        let events = self.events();
        let later = events.iter().filter(|(at, _)| *at >= since);
        let cause = |(_, event): &(_, Event)| match event {
            Event::Flush(cause) => Some(*cause),
            _ => None,
        };
        later.filter_map(cause).collect()
    }
}

#[async_trait]
impl InvalidationListener for Recorder {
    fn now(&self) -> Moment {
        let nanos = self.start.elapsed().as_nanos();
        Moment::from_nanos(nanos.try_into().expect("a test is short"))
    }

    async fn changed(&self, change: &Invalidation) {
        let _permit = self.block().await;
        let slowness = Duration::from_millis(self.slowness.load(Ordering::Relaxed));
        if !slowness.is_zero() {
            tokio::time::sleep(slowness).await;
        }
        self.note(Event::Changed(change.clone()));
    }

    async fn flush(&self, cause: FlushCause) {
        self.note(Event::Flush(cause));
    }

    fn caught_up(&self, moment: Moment) {
        self.note(Event::CaughtUp(Duration::from_nanos(moment.as_nanos())));
    }
}
