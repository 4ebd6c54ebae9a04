//! The races that put an old value back in the first tier, one by one, and why they cannot here.
//!
//! R1 to R23 are the races of the catalogue in `docs/consistency.md`.

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Scope};

use super::{Fleet, always, settle, some};

const LATE: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn r1_a_value_read_before_a_delete_is_not_kept_after_it() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    let reading = node.slow_get("key", LATE);
    settle().await;
    assert!(node.tiered.delete("key", Condition::Always).await.unwrap());
    // It began before, so it may see what was there. Nobody else does.
    assert_eq!(reading.await.unwrap(), some("old"));
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, None);
    assert_eq!(node.stats().dropped_fills, 1);
}

#[tokio::test(start_paused = true)]
async fn r1_a_value_read_before_another_nodes_write_is_not_kept_after_the_message() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "old").await;
    let reading = one.slow_get("key", LATE);
    settle().await;
    other.set("key", "new").await;
    settle().await;
    assert_eq!(reading.await.unwrap(), some("old"));
    assert_eq!(one.held("key"), None);
    assert_eq!(one.get("key").await, some("new"));
    assert_eq!(one.held("key"), some("new"));
}

#[tokio::test(start_paused = true)]
async fn r1_a_bulk_read_before_a_delete_is_not_kept_after_it() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("a", "old").await;
    node.set("b", "stays").await;
    node.network.script([Fault::DelayReply(LATE)]);
    let tiered = Arc::clone(&node.tiered);
    let reading = tokio::spawn(async move { tiered.get_many(&["a", "b"]).await.unwrap() });
    settle().await;
    node.tiered.delete("a", Condition::Always).await.unwrap();
    assert_eq!(reading.await.unwrap(), [some("old"), some("stays")]);
    assert_eq!((node.held("a"), node.held("b")), (None, some("stays")));
}

#[tokio::test(start_paused = true)]
async fn r1_a_value_read_before_a_clear_is_not_kept_after_it() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.set("@other:key", "stays").await;
    node.get("@other:key").await;
    let reading = node.slow_get("key", LATE);
    settle().await;
    assert_eq!(node.tiered.clear(&Scope::root()).await.unwrap(), 1);
    reading.await.unwrap();
    assert_eq!(node.held("key"), None);
    // A clear concerns its own namespace alone, in the first tier as well.
    assert_eq!(node.held("@other:key"), some("stays"));
}

#[tokio::test(start_paused = true)]
async fn r3_a_reader_between_the_removal_and_the_delete_does_not_put_it_back() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.get("key").await;
    // The delete is on its way to the store when somebody reads what is still there.
    node.network.script([Fault::Delay(LATE)]);
    let tiered = Arc::clone(&node.tiered);
    let deleting =
        tokio::spawn(async move { tiered.delete("key", Condition::Always).await.unwrap() });
    settle().await;
    assert_eq!(node.get("key").await, some("old"));
    assert!(deleting.await.unwrap());
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn r4_an_older_read_does_not_replace_what_was_set_meanwhile() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    let reading = node.slow_get("key", LATE);
    settle().await;
    node.set("key", "new").await;
    assert_eq!(node.get("key").await, some("new"));
    // The old flight finds out that there is something newer, and tells that.
    assert_eq!(reading.await.unwrap(), some("new"));
    assert_eq!(node.held("key"), some("new"));
}

#[tokio::test(start_paused = true)]
async fn r5_a_cache_that_has_missed_messages_forgets_everything_once_and_listens_on() {
    let fleet = Fleet::with_capacity(16);
    let (one, other) = (fleet.node().await, fleet.node().await);
    other.set("kept", "1").await;
    settle().await;
    assert_eq!(one.get("kept").await, some("1"));
    let before = one.stats();
    // No task of this thread runs while the burst is sent.
    for number in 0..160 {
        let change = cache_core::Invalidation::Keys(vec![format!("key {number}")]);
        let publish = cache_core::InvalidationBus::publish(&fleet.bus, &change);
        publish.await.unwrap();
    }
    settle().await;
    assert_eq!(one.stats().flushes, before.flushes + 1);
    assert_eq!(one.held("kept"), None);
    assert_eq!(one.get("kept").await, some("1"));
    other.set("kept", "2").await;
    settle().await;
    assert_eq!(one.get("kept").await, some("2"));
}

#[tokio::test(start_paused = true)]
async fn r6_others_are_told_after_the_store_has_the_new_value() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "old").await;
    settle().await;
    other.get("key").await;
    one.network.script([Fault::Delay(LATE)]);
    let tiered = Arc::clone(&one.tiered);
    let writing = tokio::spawn(async move { tiered.set("key", "new".into(), always()).await });
    settle().await;
    let told = other.stats().messages;
    // Nothing is said of a write that has not happened yet.
    assert_eq!(other.held("key"), some("old"));
    assert!(writing.await.unwrap().unwrap());
    settle().await;
    assert_eq!(other.stats().messages, told + 1);
    assert_eq!(other.get("key").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn r8_a_message_never_changes_the_second_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    node.get("key").await;
    let change = cache_core::Invalidation::Keys(vec!["key".into()]);
    let publish = cache_core::InvalidationBus::publish(&fleet.bus, &change);
    publish.await.unwrap();
    settle().await;
    assert_eq!(node.held("key"), None);
    assert_eq!(fleet.store.get("key").await.unwrap(), some("value"));
}

#[tokio::test(start_paused = true)]
async fn r10_reading_tells_nobody_anything() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    fleet
        .store
        .set("key", "value".into(), always())
        .await
        .unwrap();
    one.get("key").await;
    one.tiered.get_many(&["key", "absent"]).await.unwrap();
    settle().await;
    assert_eq!(other.stats().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn r11_a_message_does_not_make_its_receivers_read() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "1").await;
    settle().await;
    other.get("key").await;
    let calls = other.network.calls();
    one.set("key", "2").await;
    settle().await;
    assert_eq!(other.network.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn r12_a_cache_does_not_forget_by_its_own_message_what_it_has_read_since() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    assert_eq!(node.get("key").await, some("value"));
    settle().await;
    assert_eq!(node.held("key"), some("value"));
}

#[tokio::test(start_paused = true)]
async fn r19_a_delete_that_the_store_does_not_confirm_is_an_error() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    node.network.script([Fault::Fail(ErrorKind::Unavailable)]);
    let error = node
        .tiered
        .delete("key", Condition::Always)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn r20_a_delete_is_told_even_if_the_store_had_nothing() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "value").await;
    settle().await;
    other.get("key").await;
    // Evicted, without a word.
    fleet.store.delete("key", Condition::Always).await.unwrap();
    assert_eq!(other.held("key"), some("value"));
    assert!(!one.tiered.delete("key", Condition::Always).await.unwrap());
    settle().await;
    assert_eq!(other.held("key"), None);
}

#[tokio::test(start_paused = true)]
async fn r22_a_reader_that_comes_after_a_delete_does_not_join_an_older_read() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    let reading = node.slow_get("key", LATE);
    settle().await;
    node.tiered.delete("key", Condition::Always).await.unwrap();
    let calls = node.network.calls();
    assert_eq!(node.get("key").await, None);
    assert_eq!(node.network.calls(), calls + 1);
    reading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r23_caches_do_not_share_reads_with_other_caches() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "value").await;
    let reading = one.slow_get("key", LATE);
    settle().await;
    assert_eq!(other.get("key").await, some("value"));
    assert_eq!((other.stats().joined, other.stats().l2_hits), (0, 1));
    reading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_key_share_one_read_of_the_second_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    let calls = node.network.calls();
    let first = node.slow_get("key", LATE);
    settle().await;
    let rest: Vec<_> = (0..99)
        .map(|_| {
            let tiered = Arc::clone(&node.tiered);
            tokio::spawn(async move { tiered.get("key").await.unwrap() })
        })
        .collect();
    for reading in rest {
        assert_eq!(reading.await.unwrap(), some("value"));
    }
    assert_eq!(first.await.unwrap(), some("value"));
    assert_eq!(node.network.calls(), calls + 1);
    assert_eq!(node.stats().joined, 99);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_dropped_hands_over_to_one_of_those_who_wait() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    let first = node.slow_get("key", LATE);
    settle().await;
    let calls = node.network.calls();
    let rest: Vec<_> = (0..10)
        .map(|_| {
            let tiered = Arc::clone(&node.tiered);
            tokio::spawn(async move { tiered.get("key").await.unwrap() })
        })
        .collect();
    settle().await;
    first.abort();
    for reading in rest {
        assert_eq!(reading.await.unwrap(), some("value"));
    }
    assert_eq!(node.network.calls(), calls + 1);
    assert_eq!(node.held("key"), some("value"));
}

#[tokio::test(start_paused = true)]
async fn two_bulk_reads_that_overlap_do_not_wait_for_each_other_for_ever() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("a", "1").await;
    node.set("b", "2").await;
    node.network
        .script([Fault::DelayReply(LATE), Fault::DelayReply(LATE)]);
    let bulk = |keys: &'static [&'static str]| {
        let tiered = Arc::clone(&node.tiered);
        tokio::spawn(async move { tiered.get_many(keys).await.unwrap() })
    };
    let (one, other) = (bulk(&["a", "b", "a"]), bulk(&["b", "a"]));
    assert_eq!(one.await.unwrap(), [some("1"), some("2"), some("1")]);
    assert_eq!(other.await.unwrap(), [some("2"), some("1")]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_expiry_reaches_the_first_tiers() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "value").await;
    settle().await;
    other.get("key").await;
    let soon = Expiry::After(Duration::from_millis(5));
    assert!(one.tiered.set_expiry("key", soon).await.unwrap());
    settle().await;
    assert_eq!(other.get("key").await, some("value"));
    fleet.pass(Duration::from_millis(5)).await;
    assert_eq!(other.held("key"), None);
    assert_eq!(other.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_flush_makes_everything_invalid_at_once() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "value").await;
    node.get("key").await;
    let reading = node.slow_get("absent", LATE);
    settle().await;
    node.tiered.flush();
    assert_eq!(node.held("key"), None);
    assert_eq!(reading.await.unwrap(), None);
    assert_eq!(node.get("key").await, some("value"));
    assert_eq!(node.held("key"), some("value"));
}

#[tokio::test(start_paused = true)]
async fn what_exists_has_seen_is_not_taken_back_by_a_read() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.get("key").await;
    // Another process deletes it, and its message is late.
    assert!(fleet.store.delete("key", Condition::Always).await.unwrap());
    assert_eq!(node.held("key"), some("old"));
    assert_eq!(node.tiered.expiry("key").await.unwrap(), None);
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_began_before_exists_saw_nothing_is_not_kept() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    let reading = node.slow_get("key", LATE);
    settle().await;
    assert!(fleet.store.delete("key", Condition::Always).await.unwrap());
    assert_eq!(node.tiered.expiry("key").await.unwrap(), None);
    assert_eq!(reading.await.unwrap(), some("old"));
    assert_eq!(node.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_that_memory_does_not_know_ends_what_it_holds() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let times = [Expiry::Never, Expiry::After(Duration::from_secs(10))];
    for (before, after) in [(0, 1), (1, 0)] {
        let put = async |value: &str, expiry| {
            let options = BackendWrite::new(expiry, Condition::Always);
            let set = fleet.store.set("key", value.into(), options);
            assert!(set.await.unwrap());
        };
        put("old", times[before]).await;
        node.tiered.flush();
        node.get("key").await;
        put("new", times[after]).await;
        assert_eq!(node.held("key"), some("old"));
        let seen = node.tiered.expiry("key").await.unwrap();
        assert_eq!(seen, Some(times[after]));
        assert_eq!(node.get("key").await, some("new"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_that_memory_knows_leaves_what_it_holds() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for expiry in [Expiry::Never, Expiry::After(Duration::from_secs(10))] {
        let options = BackendWrite::new(expiry, Condition::Always);
        node.tiered
            .set("key", "value".into(), options)
            .await
            .unwrap();
        node.get("key").await;
        fleet.pass(Duration::from_secs(1)).await;
        // The answer is late, and so the time in it is too.
        node.network.script([Fault::DelayReply(LATE)]);
        let asking = node.tiered.expiry("key");
        assert!(asking.await.unwrap().is_some());
        assert_eq!(node.held("key"), some("value"));
    }
}
