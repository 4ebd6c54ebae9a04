//! What the first tier keeps, and for how long.

use std::time::Duration;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_tiered::TieredConfig;

use super::{BOUND, Fleet, settle, some};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_hit_in_the_second_tier_is_one_call_and_is_kept_in_the_first() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    let calls = node.network.calls();
    assert_eq!(node.get("key").await, some("value"));
    assert_eq!(node.network.calls(), calls + 1);
    assert_eq!(node.held("key"), some("value"));
    assert_eq!(node.get("key").await, some("value"));
    assert_eq!(node.network.calls(), calls + 1);
    assert_eq!((node.stats().promotions, node.stats().l2_hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_not_put_in_the_first_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "1").await;
    assert_eq!(node.held("key"), None);
    node.get("key").await;
    node.set("key", "2").await;
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, some("2"));
}

#[tokio::test(start_paused = true)]
async fn r13_the_first_tier_keeps_a_value_no_longer_than_the_second() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for ttl in [2, 7, 50, 999] {
        let options = BackendWrite::new(Expiry::After(MS * ttl), Condition::Always);
        node.tiered.set("key", "v".into(), options).await.unwrap();
        fleet.pass(MS).await;
        assert_eq!(node.get("key").await, some("v"));
        fleet.pass(MS * (ttl - 2)).await;
        assert_eq!(node.held("key"), some("v"), "{ttl} ms, one before the end");
        fleet.pass(MS).await;
        assert_eq!(node.held("key"), None, "{ttl} ms, at the end");
        assert_eq!(node.get("key").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn r13_a_value_that_is_read_again_has_the_time_that_is_left() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().l1_ttl(MS * 10)).await;
    let options = BackendWrite::new(Expiry::After(MS * 25), Condition::Always);
    node.tiered.set("key", "v".into(), options).await.unwrap();
    for left in [25, 15, 5] {
        let entry = node.tiered.get_entry("key").await.unwrap().unwrap();
        assert_eq!(entry.expiry, Expiry::After(MS * left));
        assert_eq!(node.held("key"), some("v"));
        fleet.pass(MS * 10).await;
        assert_eq!(node.held("key"), None);
    }
    assert_eq!(node.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_first_tier_tells_the_time_left_in_the_second() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().l1_ttl(MS * 100)).await;
    let options = BackendWrite::new(Expiry::After(MS * 500), Condition::Always);
    node.tiered.set("key", "v".into(), options).await.unwrap();
    node.get("key").await;
    fleet.pass(MS * 20).await;
    let calls = node.network.calls();
    let entry = node.tiered.get_entry("key").await.unwrap().unwrap();
    assert_eq!(entry.expiry, Expiry::After(MS * 480));
    assert_eq!(node.network.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_the_first_tier_keeps_a_value_for_the_bound() {
    let fleet = Fleet::new();
    let node = fleet.node_with(TieredConfig::without_bus(BOUND)).await;
    let writer = fleet.node().await;
    node.set("key", "old").await;
    node.get("key").await;
    writer.set("key", "new").await;
    fleet.pass(BOUND - MS).await;
    assert_eq!(node.held("key"), some("old"));
    fleet.pass(MS).await;
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_slow_read_is_part_of_the_bound() {
    let fleet = Fleet::new();
    let node = fleet.node_with(TieredConfig::without_bus(BOUND)).await;
    node.set("key", "old").await;
    let reading = node.slow_get("key", MS * 300);
    settle().await;
    fleet.pass(MS * 300).await;
    assert_eq!(reading.await.unwrap(), some("old"));
    fleet.pass(BOUND - MS * 301).await;
    assert_eq!(node.held("key"), some("old"));
    fleet.pass(MS).await;
    assert_eq!(node.held("key"), None);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_read_asks_the_second_tier_once_and_for_what_is_missing_only() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for key in ["a", "b", "c"] {
        node.set(key, key).await;
    }
    node.get("b").await;
    let calls = node.network.calls();
    let found = node
        .tiered
        .get_many(&["a", "b", "x", "c", "a"])
        .await
        .unwrap();
    assert_eq!(found, [some("a"), some("b"), None, some("c"), some("a")]);
    assert_eq!(node.network.calls(), calls + 1);
    let stats = node.stats();
    assert_eq!(
        (stats.l2_hits, stats.l2_misses, stats.promotions),
        (3, 1, 3)
    );
    let again = node.tiered.get_many(&["a", "b", "c"]).await.unwrap();
    assert_eq!(again, [some("a"), some("b"), some("c")]);
    assert_eq!(node.network.calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn bulk_reads_keep_a_value_no_longer_than_the_second_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let entries = vec![("a", "1".to_owned()), ("b", "2".to_owned())];
    node.tiered
        .set_many(entries, Expiry::After(MS * 10))
        .await
        .unwrap();
    node.tiered.get_many(&["a", "b"]).await.unwrap();
    fleet.pass(MS * 9).await;
    assert_eq!((node.held("a"), node.held("b")), (some("1"), some("2")));
    fleet.pass(MS).await;
    assert_eq!((node.held("a"), node.held("b")), (None, None));
}
