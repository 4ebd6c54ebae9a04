//! What is tagged in the second tier is as absent in the first, and no later than a delete would be.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Condition, EncodedBackend, ErrorKind, Expiry, MsgPackCodec,
    SetOptions, Tagging, Tags, tag_keys,
};
use cache_local::LocalBackend;
use cache_tiered::{Invalidator, MemoryBus, TieredBackend, TieredConfig, WritePolicy};

use super::{BOUND, Fleet, Node, always, local, settle, some};

const LATE: Duration = Duration::from_millis(20);
const DOWN: Fault = Fault::Fail(ErrorKind::Unavailable);
const TEAM: &str = "@_tag:team";

impl Node {
    fn tags(&self) -> &dyn Tags<String> {
        CacheBackend::abilities(&*self.tiered)
            .tags
            .expect("the second tier keeps tags")
    }

    async fn set_tagged(&self, key: &str, value: &str, tag: &str) {
        let tags = [tag];
        let tagging = Tagging::new(&tags, None);
        let set = self.tags().set(key, value.to_owned(), always(), tagging);
        assert!(set.await.expect("the store answers"));
    }

    async fn invalidate(&self, tag: &str) {
        let invalidated = self.tags().invalidate(&[tag]).await;
        invalidated.expect("the store answers");
    }
}

#[test]
fn the_key_of_a_tag_is_that_of_the_facade() {
    let [of_entries, of_copies] = tag_keys(&[], "team").unwrap();
    assert_eq!(
        (of_entries.as_str(), of_copies.as_str()),
        (TEAM, "@_stale:@_tag:team")
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_the_first_tier_of_every_node() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set_tagged("a", "1", TEAM).await;
    one.set_tagged("b", "2", "@_tag:other").await;
    one.set("c", "3").await;
    settle().await;
    for node in [&one, &other] {
        for key in ["a", "b", "c"] {
            node.get(key).await;
            assert!(node.held(key).is_some());
        }
    }
    one.invalidate(TEAM).await;
    assert_eq!(one.held("a"), None);
    settle().await;
    for node in [&one, &other] {
        assert_eq!((node.held("a"), node.get("a").await), (None, None));
        // What has not the tag stays where it is.
        assert_eq!((node.held("b"), node.held("c")), (some("2"), some("3")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_read_before_an_invalidation_is_not_kept_and_its_read_not_joined() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    // By this node and by another, with one key and with many.
    for (invalidator, is_bulk) in [(&one, false), (&other, false), (&one, true)] {
        one.set_tagged("key", "old", TEAM).await;
        settle().await;
        let reading = if is_bulk {
            one.network.script([Fault::None, Fault::DelayReply(LATE)]);
            let tiered = Arc::clone(&one.tiered);
            tokio::spawn(async move { tiered.get_many(&["key"]).await.unwrap().remove(0) })
        } else {
            one.slow_get("key", LATE)
        };
        settle().await;
        invalidator.invalidate(TEAM).await;
        settle().await;
        assert_eq!(one.get("key").await, None);
        // It began before, so it may see what was there.
        let found = reading.await.unwrap();
        assert!(found.is_none() || found == some("old"));
        assert_eq!((one.held("key"), one.get("key").await), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_invalidation_has_left_is_not_served() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
    for verb in 0..6 {
        node.set_tagged("key", "old", TEAM).await;
        node.set("plain", "stays").await;
        node.network.script([DOWN]);
        assert!(node.tags().invalidate(&[TEAM]).await.is_err());
        assert_eq!(fleet.store.get("key").await.unwrap(), some("old"));
        // The second tier answers again, and is not believed about what has the tag.
        let tiered = &node.tiered;
        match verb {
            0 => assert_eq!(node.get("key").await, None),
            1 => {
                let found = tiered.get_many(&["key", "plain"]).await.unwrap();
                assert_eq!(found, [None, some("stays")]);
            }
            2 => assert_eq!(tiered.expiry("key").await.unwrap(), None),
            3 => assert!(!tiered.set_expiry("key", Expiry::Never).await.unwrap()),
            4 => assert!(
                tiered
                    .set("key", "new".into(), if_absent.clone())
                    .await
                    .unwrap()
            ),
            _ => {
                let swapped = tiered.swap("key", "new".into(), Expiry::Never).await;
                assert_eq!(swapped.unwrap(), None);
            }
        }
        assert_eq!(node.get("plain").await, some("stays"));
        assert_eq!(node.stats().recovery_pending, 0);
        node.tiered.delete("key", Condition::Always).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_while_a_failed_invalidation_was_repeated_is_not_served() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for is_bulk in [false, true] {
        node.set_tagged("key", "old", TEAM).await;
        node.network.script([DOWN]);
        assert!(node.tags().invalidate(&[TEAM]).await.is_err());
        // The value is read, and its tag invalidated, before the reply is there.
        node.network.script([Fault::DelayReply(BOUND * 10)]);
        let mut reading = pin!(async {
            if is_bulk {
                let found = node.tiered.get_many(&["key"]).await.unwrap();
                return found.into_iter().next().unwrap();
            }
            node.get("key").await
        });
        let poll = reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        fleet.pass(BOUND * 8).await;
        assert_eq!(node.stats().recovery_pending, 0);
        assert_eq!(reading.await, None, "bulk: {is_bulk}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_invalidation_is_done_in_the_background_and_told_to_others() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set_tagged("key", "old", TEAM).await;
    settle().await;
    other.get("key").await;
    one.network.every(1, DOWN);
    assert!(one.tags().invalidate(&[TEAM]).await.is_err());
    fleet.pass(BOUND * 3).await;
    assert_eq!(one.stats().recovery_pending, 1);
    one.network.heal();
    fleet.pass(BOUND * 10).await;
    assert_eq!(
        (one.stats().recovery_pending, one.stats().recovered),
        (0, 1)
    );
    assert_eq!(fleet.store.get("key").await.unwrap(), None);
    assert_eq!((other.held("key"), other.get("key").await), (None, None));
}

#[tokio::test(start_paused = true)]
async fn tags_are_known_behind_two_tiers_too() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set_tagged("key", "value", TEAM).await;
    // From the second tier, and then from the first.
    for _ in 0..2 {
        let entry = node.tiered.get_entry("key").await.unwrap().unwrap();
        assert_eq!(entry.tags, [TEAM.into()]);
        let entries = node.tiered.get_entries(&["key"]).await.unwrap();
        assert_eq!(entries[0].as_ref().unwrap().tags, [TEAM.into()]);
    }
    let front = local(&fleet.clock);
    let bus = node.tiered.relay().expect("they have a bus");
    let config = TieredConfig::with_bus(bus).clock(fleet.clock.clone());
    let three = TieredBackend::new(front, Arc::clone(&node.tiered), config).unwrap();
    three.ready().await;
    for _ in 0..2 {
        assert_eq!(three.get("key").await.unwrap(), some("value"));
    }
    node.invalidate(TEAM).await;
    settle().await;
    assert_eq!(three.get("key").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_kept_alone_has_its_tags() {
    let fleet = Fleet::new();
    let config = fleet.config().write_policy(WritePolicy::LocalOnOutage);
    let node = fleet.node_with(config).await;
    node.network.every(1, DOWN);
    node.set_tagged("key", "alone", TEAM).await;
    assert_eq!(node.held("key"), None);
    assert_eq!(node.get("key").await, some("alone"));
    // It fails in the second tier, and takes effect here.
    assert!(node.tags().invalidate(&[TEAM]).await.is_err());
    assert!(node.tiered.get("key").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_an_invalidation_is_not_kept_alone() {
    let fleet = Fleet::new();
    let config = fleet.config().write_policy(WritePolicy::LocalOnOutage);
    let node = fleet.node_with(config).await;
    let ticket = node.tags().ticket().await.unwrap();
    node.invalidate(TEAM).await;
    node.network.every(1, DOWN);
    let tagging = Tagging::new(&[TEAM], Some(&ticket));
    let set = node.tags().set("key", "old".into(), always(), tagging);
    assert_eq!(set.await.unwrap_err().kind(), &ErrorKind::Unavailable);
    node.network.heal();
    assert_eq!((node.held("key"), node.get("key").await), (None, None));
    assert_eq!(node.stats().local_only_writes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_cache_invalidates_tags() {
    let store: Arc<LocalBackend<bytes::Bytes>> = Arc::default();
    let bus = MemoryBus::new(BOUND);
    let l2 = EncodedBackend::new(Arc::clone(&store), MsgPackCodec::new());
    let config = TieredConfig::with_bus(bus.another());
    let tiered = TieredBackend::new(LocalBackend::default(), l2, config).unwrap();
    let users = Cache::<String>::new(tiered).namespace("users").unwrap();
    let invalidator = Invalidator::new(store, bus).namespace("users").unwrap();
    settle().await;
    let team = SetOptions::new().tags(&["team"]);
    users.set_with("1", "Alice", team).await.unwrap();
    users.set("2", "Bob").await.unwrap();
    assert_eq!(users.get("1").await.unwrap(), some("Alice"));
    invalidator.invalidate_tag("team").await.unwrap();
    settle().await;
    assert_eq!(users.get("1").await.unwrap(), None);
    assert_eq!(users.keys().await.unwrap(), ["2"]);
    let refused = invalidator.namespace("_tag").unwrap_err();
    assert!(refused.to_string().contains("namespace"), "{refused}");
    let refused = invalidator.invalidate_tag("").await.unwrap_err();
    assert!(refused.to_string().contains("tag is empty"), "{refused}");
}
