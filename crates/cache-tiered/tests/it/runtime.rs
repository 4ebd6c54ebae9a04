//! Tiers in a runtime that was built without timers, and after the end of the one that they were made in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{CacheBackend, Condition, ErrorKind};
use cache_tiered::{MemoryBus, TieredBackend, TieredConfig};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use super::{Fleet, Node, local};

/// The bus is heard of four times as often, on the real clock.
const SOON: Duration = Duration::from_millis(20);

fn without_timers() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

/// A node whose bus is heard of soon.
async fn node(fleet: &Fleet) -> Node {
    let config = TieredConfig::with_bus(MemoryBus::new(SOON)).clock(fleet.clock.clone());
    let network = Arc::new(FaultyBackend::new(Arc::clone(&fleet.store)));
    let tiered = TieredBackend::new(local(&fleet.clock), Arc::clone(&network), config);
    let tiered = Arc::new(tiered.expect("the options are right"));
    tiered.ready().await;
    Node { tiered, network }
}

async fn eventually(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never holds");
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_bus_is_listened_to_and_what_has_failed_is_done_again_in_a_runtime_without_timers() {
    without_timers().block_on(async {
        let fleet = Fleet::new();
        let node = node(&fleet).await;
        node.set("key", "value").await;
        assert_eq!(node.get("key").await.as_deref(), Some("value"));
        assert_eq!(node.held("key").as_deref(), Some("value"));
        // The permit is over until the bus is heard of again.
        fleet.hand.advance(SOON * 2);
        assert_eq!(node.held("key"), None);
        eventually(|| node.held("key").is_some()).await;

        node.network.script([Fault::Fail(ErrorKind::Unavailable)]);
        let deleted = node.tiered.delete("key", Condition::Always).await;
        assert!(deleted.is_err());
        let stored = || fleet.store.get("key").now_or_never().expect("in memory");
        eventually(|| stored().is_ok_and(|found| found.is_none())).await;
    });
}

#[test]
fn tiers_answer_from_the_second_one_after_the_end_of_their_runtime() {
    let fleet = Fleet::new();
    let first = without_timers();
    let node = first.block_on(node(&fleet));
    first.block_on(node.set("key", "value"));
    drop(first);
    let later = async {
        fleet.hand.advance(SOON * 2);
        assert_eq!(node.get("key").await.as_deref(), Some("value"));
        node.set("key", "newer").await;
        assert_eq!(node.get("key").await.as_deref(), Some("newer"));
        assert!(node.tiered.delete("key", Condition::Always).await.is_ok());
        assert_eq!(node.get("key").await, None);
    };
    assert_eq!(later.now_or_never(), Some(()));
}
