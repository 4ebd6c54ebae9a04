//! The bus for caches of one process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::FaultyBackend;
use cache_core::bus::Moment;
use cache_core::{
    CacheBackend, Condition, FlushCause, Invalidation, InvalidationBus, InvalidationListener,
};
use cache_tiered::{MemoryBus, TieredBackend, TieredConfig};

use super::{BOUND, Fleet, always, settle, some};

/// Writes down what it hears.
#[derive(Default)]
struct Ears(Mutex<Vec<String>>);

impl Ears {
    fn heard(&self, what: String) {
        self.0.lock().expect("no holder panics").push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no holder panics"))
    }
}

#[async_trait]
impl InvalidationListener for Ears {
    fn now(&self) -> Moment {
        Moment::from_nanos(7)
    }

    async fn changed(&self, change: &Invalidation) {
        if let Invalidation::Keys(keys) = change {
            self.heard(keys.join(","));
        }
    }

    async fn flush(&self, cause: FlushCause) {
        self.heard(format!("{cause:?}"));
    }

    fn caught_up(&self, moment: Moment) {
        self.heard(format!("up to {}", moment.as_nanos()));
    }
}

fn keys(names: &[&str]) -> Invalidation {
    Invalidation::Keys(names.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn a_listener_begins_with_nothing_and_is_caught_up_every_quarter_of_the_bound() {
    let bus = MemoryBus::new(BOUND);
    let ears: Arc<Ears> = Arc::default();
    let listener = bus.another();
    let task = tokio::spawn({
        let ears = Arc::clone(&ears);
        async move { listener.listen(ears).await }
    });
    settle().await;
    assert_eq!(ears.take(), ["Connected", "up to 7"]);
    bus.publish(&keys(&["a", "b"])).await.unwrap();
    settle().await;
    assert_eq!(ears.take(), ["a,b"]);
    tokio::time::sleep(BOUND / 4).await;
    assert_eq!(ears.take(), ["up to 7"]);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_a_moment_is_told_before_it_counts_as_heard() {
    let bus = MemoryBus::new(BOUND);
    let ears: Arc<Ears> = Arc::default();
    let listener = bus.another();
    tokio::spawn({
        let ears = Arc::clone(&ears);
        async move { listener.listen(ears).await }
    });
    settle().await;
    ears.take();
    // The messages and the fence are due at the same time.
    tokio::time::advance(BOUND / 4).await;
    for name in ["a", "b", "c"] {
        bus.publish(&keys(&[name])).await.unwrap();
    }
    settle().await;
    let heard = ears.take();
    assert_eq!(heard.last().map(String::as_str), Some("up to 7"));
    assert_eq!(heard[..3], ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_comes_later_holds_nothing_old() {
    let fleet = Fleet::new();
    let one = fleet.node().await;
    one.set("key", "1").await;
    let other = fleet.node().await;
    assert_eq!(other.get("key").await, some("1"));
    one.set("key", "2").await;
    settle().await;
    assert_eq!(other.get("key").await, some("2"));
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_with_the_backend() {
    let fleet = Fleet::new();
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let node = fleet.node().await;
    assert!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            > before
    );
    drop(node);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let after = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn caches_that_share_one_handle_of_a_bus_hear_each_other() {
    let fleet = Fleet::new();
    let bus = Arc::new(fleet.bus.another());
    let shared = || TieredConfig::with_shared_bus(bus.clone());
    let one = fleet.node_with(shared()).await;
    one.set("key", "1").await;
    assert_eq!(one.get("key").await, some("1"));
    let network = Arc::new(FaultyBackend::new(Arc::clone(&fleet.store)));
    let config = shared().clock(fleet.clock.clone());
    let other = TieredBackend::new(super::local(&fleet.clock), network, config).unwrap();
    // It has not listened for a moment yet.
    other.set("key", "2".into(), always()).await.unwrap();
    settle().await;
    assert_eq!(one.held("key"), None);
    assert_eq!(one.get("key").await, some("2"));

    other.ready().await;
    assert_eq!(other.get("key").await.unwrap(), some("2"));
    one.set("key", "3").await;
    settle().await;
    assert_eq!(other.get("key").await.unwrap(), some("3"));
    other.delete("key", Condition::Always).await.unwrap();
    settle().await;
    assert_eq!(one.get("key").await, None);
}
