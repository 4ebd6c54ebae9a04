//! The promise of a bus, checked while things go wrong.
//!
//! Writers write keys that are new each time and note when they were answered. Afterwards every
//! `caught_up` is held against them: each key that was acknowledged before its moment must have been told
//! by then, or everything must have been forgotten, not before the write began.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::InvalidationBus;
use cache_core::bus::Invalidation;
use cache_redis::{BusConfig, PubSubBus, RedisStore};
use cache_testbed::Client;

use crate::bus::recorder::{Event, Recorder};
use crate::bus::store;

/// A write with the times when it began and when it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: Option<String>,
    pub(crate) began: Duration,
    pub(crate) acknowledged: Duration,
}

/// Writers that go on until they are stopped.
pub(crate) struct Writers {
    recorder: Arc<Recorder>,
    writes: Arc<Mutex<Vec<Write>>>,
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU64>,
}

impl Writers {
    pub(crate) fn new(recorder: &Arc<Recorder>) -> Self {
        Self {
            recorder: Arc::clone(recorder),
            writes: Arc::default(),
            stop: Arc::default(),
            number: Arc::default(),
        }
    }

    fn next_key(&self) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        format!("k{number}")
    }

    fn handle(&self) -> Self {
        Self {
            recorder: Arc::clone(&self.recorder),
            writes: Arc::clone(&self.writes),
            stop: Arc::clone(&self.stop),
            number: Arc::clone(&self.number),
        }
    }

    pub(crate) fn note(&self, key: Option<String>, began: Duration) {
        let acknowledged = self.recorder.elapsed();
        self.writes.lock().unwrap().push(Write {
            key,
            began,
            acknowledged,
        });
    }

    /// Starts a writer that knows nothing of buses.
    pub(crate) fn strange(&self, address: String) {
        let own = self.handle();
        std::thread::spawn(move || {
            while !own.stop.load(Ordering::Relaxed) {
                let Ok(mut client) = Client::connect(&address) else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                while !own.stop.load(Ordering::Relaxed) {
                    let (key, began) = (own.next_key(), own.recorder.elapsed());
                    let stored = format!("cache:{key}");
                    match client.command(&["SET", &stored, "1", "PX", "5000"]) {
                        Ok(reply) if !reply.is_error() => own.note(Some(key), began),
                        Ok(_) => {}
                        Err(_) => break,
                    }
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
        });
    }

    /// Starts a writer that publishes what it changes.
    pub(crate) async fn publishing(&self, url: &str) {
        let store: RedisStore = store(url).await;
        let bus = PubSubBus::connect(&store, BusConfig::new()).await.unwrap();
        let own = self.handle();
        tokio::spawn(async move {
            while !own.stop.load(Ordering::Relaxed) {
                let (key, began) = (own.next_key(), own.recorder.elapsed());
                let change = Invalidation::Keys(vec![key.clone()]);
                if bus.publish(&change).await.is_ok() {
                    own.note(Some(key), began);
                }
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        });
    }

    /// Stops, and checks all that was told.
    pub(crate) fn check(&self, name: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let writes = self.writes.lock().unwrap().clone();
        let events = self.recorder.events().clone();
        let broken = violations(&writes, &events);
        let caught_up = |(_, event): &&(Duration, Event)| matches!(event, Event::CaughtUp(_));
        let flush = |(_, event): &&(Duration, Event)| matches!(event, Event::Flush(_));
        println!(
            "{name}: {} writes, {} times caught up, {} flushes, longest gap {:?}",
            writes.len(),
            events.iter().filter(caught_up).count(),
            events.iter().filter(flush).count(),
            longest_gap(&events),
        );
        assert!(writes.len() > 100, "{} writes", writes.len());
        assert!(
            broken.is_empty(),
            "{name}: {} broken: {:?}",
            broken.len(),
            &broken[0]
        );
    }
}

/// Returns the writes that were not told in time, each with the `caught_up` that says otherwise.
fn violations(writes: &[Write], events: &[(Duration, Event)]) -> Vec<(Write, Duration, Duration)> {
    let mut told = std::collections::HashMap::<&str, Vec<Duration>>::new();
    let (mut flushes, mut promises) = (Vec::new(), Vec::new());
    for (at, event) in events {
        match event {
            Event::Changed(Invalidation::Keys(keys)) => {
                keys.iter()
                    .for_each(|key| told.entry(key).or_default().push(*at));
            }
            Event::Changed(_) => {}
            Event::Flush(_) => flushes.push(*at),
            Event::CaughtUp(moment) => promises.push((*at, *moment)),
        }
    }
    let mut broken = Vec::new();
    for write in writes {
        // The first promise that covers the write is the one to keep.
        let promise = promises
            .iter()
            .find(|(_, moment)| *moment > write.acknowledged);
        let Some((at, moment)) = promise else {
            continue;
        };
        let in_time = |told: &Duration| *told >= write.began && told <= at;
        let own = write.key.as_deref().and_then(|key| told.get(key));
        let is_told = own.is_some_and(|times| times.iter().any(in_time));
        if !is_told && !flushes.iter().any(in_time) {
            broken.push((write.clone(), *at, *moment));
        }
    }
    broken
}

fn longest_gap(events: &[(Duration, Event)]) -> Duration {
    let promise = |(_, event): &(Duration, Event)| match event {
        Event::CaughtUp(moment) => Some(*moment),
        _ => None,
    };
    let moments: Vec<Duration> = events.iter().filter_map(promise).collect();
    let gaps = moments
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    gaps.max().unwrap_or_default()
}

#[test]
fn the_checker_finds_what_was_not_told_and_nothing_else() {
    let at = Duration::from_millis;
    let write = |key: &str, began, acknowledged| Write {
        key: Some(key.into()),
        began: at(began),
        acknowledged: at(acknowledged),
    };
    let changed = |key: &str| Event::Changed(Invalidation::Keys(vec![key.into()]));
    let events = [
        (at(5), changed("a")),
        (at(20), Event::CaughtUp(at(15))),
        (at(21), changed("b")),
        (at(40), Event::CaughtUp(at(30))),
        (at(41), Event::Flush(cache_core::FlushCause::Lagged)),
        (at(50), Event::CaughtUp(at(45))),
    ];
    let keys = |writes: &[Write]| -> Vec<String> {
        let broken = violations(writes, &events).into_iter();
        broken.filter_map(|(write, ..)| write.key).collect()
    };
    assert_eq!(
        keys(&[write("a", 4, 6), write("b", 12, 22), write("c", 35, 42)]),
        [""; 0]
    );
    assert_eq!(
        keys(&[write("b", 12, 14), write("c", 8, 9), write("d", 42, 44)]),
        ["b", "c", "d"]
    );
    assert_eq!(keys(&[write("e", 46, 46)]), [""; 0]);
}
