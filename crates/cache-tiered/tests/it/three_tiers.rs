//! A tier in front of two tiers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cache_core::bus::Moment;
use cache_core::{
    CacheBackend, ErrorKind, FlushCause, Invalidation, InvalidationBus, InvalidationListener,
    ReadNow,
};
use cache_local::LocalBackend;
use cache_tiered::{MemoryBus, Promoted, TieredBackend, TieredConfig};

use super::{BOUND, Fleet, Node, Tiered, always, local, settle, some};

type Outer = TieredBackend<String, LocalBackend<Promoted<String>>, Arc<Tiered>>;

async fn in_front_of(fleet: &Fleet, inner: &Node) -> Outer {
    let bus = inner.tiered.relay().expect("they have a bus");
    let config = TieredConfig::with_bus(bus).clock(fleet.clock.clone());
    let outer = TieredBackend::new(local(&fleet.clock), Arc::clone(&inner.tiered), config);
    let outer = outer.expect("the options are right");
    outer.ready().await;
    outer
}

fn held(outer: &Outer, key: &str) -> Option<String> {
    match outer.read_now(key) {
        ReadNow::Answer(answer) => answer.expect("memory does not fail"),
        ReadNow::WouldWait => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_process_writes_leaves_all_tiers() {
    let fleet = Fleet::new();
    let (inner, other) = (fleet.node().await, fleet.node().await);
    let outer = in_front_of(&fleet, &inner).await;
    for round in 0..10 {
        let value = format!("{round}");
        other.set("key", &value).await;
        settle().await;
        assert_eq!(outer.get("key").await.unwrap(), Some(value.clone()));
        assert_eq!(held(&outer, "key"), Some(value));
    }
    // Written behind the outer tier, in its own process.
    inner.set("key", "new").await;
    assert_eq!(outer.get("key").await.unwrap(), some("new"));
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_the_third_tier_serves_for_the_bound_and_not_longer() {
    let fleet = Fleet::new();
    let inner = fleet.node().await;
    let outer = in_front_of(&fleet, &inner).await;
    let set = outer.set("key", "value".into(), always());
    assert!(Box::pin(set).await.unwrap());
    outer.get("key").await.unwrap();
    // Time passes, and the tasks of the bus stand still.
    fleet.hand.advance(BOUND - Duration::from_millis(1));
    assert_eq!(held(&outer, "key"), some("value"));
    fleet.hand.advance(Duration::from_millis(1));
    assert_eq!(held(&outer, "key"), None);
    settle().await;
    outer.ready().await;
    assert_eq!(held(&outer, "key"), some("value"));
}

/// Notes what the tiers behind still hold when it is told of a change.
struct Late {
    inner: Arc<Tiered>,
    seen: Mutex<Vec<bool>>,
}

#[async_trait]
impl InvalidationListener for Late {
    fn now(&self) -> Moment {
        Moment::from_nanos(0)
    }

    async fn changed(&self, _: &Invalidation) {
        let is_held = matches!(self.inner.read_now("key"), ReadNow::Answer(_));
        self.seen.lock().expect("no holder panics").push(is_held);
    }

    async fn flush(&self, _: FlushCause) {}

    fn caught_up(&self, _: Moment) {}
}

#[tokio::test(start_paused = true)]
async fn the_tiers_behind_have_forgotten_what_they_tell_of() {
    let fleet = Fleet::new();
    let (inner, other) = (fleet.node().await, fleet.node().await);
    inner.set("key", "old").await;
    inner.get("key").await;
    assert_eq!(inner.held("key"), some("old"));
    let late = Arc::new(Late {
        inner: Arc::clone(&inner.tiered),
        seen: Mutex::default(),
    });
    let bus = inner.tiered.relay().expect("they have a bus");
    let listener = Arc::clone(&late);
    let listening = tokio::spawn(async move { bus.listen(listener).await });
    settle().await;
    other.set("key", "new").await;
    settle().await;
    assert_eq!(*late.seen.lock().expect("no holder panics"), [false]);
    listening.abort();
}

#[tokio::test]
async fn another_bus_than_that_of_the_tiers_behind_is_refused() {
    let fleet = Fleet::new();
    let (inner, other) = (fleet.node().await, fleet.node().await);
    let refused = |config: TieredConfig| {
        let outer = TieredBackend::new(
            LocalBackend::<Promoted<String>>::default(),
            Arc::clone(&inner.tiered),
            config,
        );
        outer.expect_err("it is refused").kind().clone()
    };
    let configs = [
        TieredConfig::without_bus(BOUND),
        TieredConfig::with_bus(MemoryBus::new(BOUND)),
        TieredConfig::with_bus(other.tiered.relay().expect("they have a bus")),
    ];
    for config in configs {
        assert!(matches!(refused(config), ErrorKind::Unsupported { .. }));
    }
    let config = TieredConfig::without_bus(BOUND);
    let alone: TieredBackend<String, _, _> =
        TieredBackend::new(LocalBackend::default(), LocalBackend::default(), config).unwrap();
    let error = alone.relay().expect_err("there is nothing to tell");
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
}
