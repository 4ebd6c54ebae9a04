//! Deletes and messages that fail are kept, bounded, and done before the second tier is believed.

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Scope};

use tokio::time::{Instant, sleep, timeout};

use super::{BOUND, Fleet, always, settle, some};

const DOWN: Fault = Fault::Fail(ErrorKind::Unavailable);

#[tokio::test(start_paused = true)]
async fn what_a_failed_delete_has_left_is_not_served() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.get("key").await;
    node.network.script([DOWN]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    assert_eq!(fleet.store.get("key").await.unwrap(), some("old"));
    // The second tier answers again, and is not believed about this key.
    assert_eq!(node.get("key").await, None);
    assert_eq!(fleet.store.get("key").await.unwrap(), None);
    assert_eq!(node.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn every_verb_waits_for_a_failed_delete() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
    for verb in 0..4 {
        node.set("key", "old").await;
        node.network.script([DOWN]);
        assert!(node.tiered.delete("key", Condition::Always).await.is_err());
        match verb {
            0 => assert_eq!(node.tiered.get_many(&["key"]).await.unwrap(), [None]),
            1 => assert_eq!(node.tiered.expiry("key").await.unwrap(), None),
            2 => assert!(!node.tiered.set_expiry("key", Expiry::Never).await.unwrap()),
            _ => assert!(
                node.tiered
                    .set("key", "new".into(), if_absent.clone())
                    .await
                    .unwrap()
            ),
        }
    }
    node.network.script([DOWN]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    let swapped = node.tiered.swap("key", "newer".into(), Expiry::Never).await;
    assert_eq!(swapped.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_an_error_for_a_key_whose_delete_has_failed() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.network.every(1, DOWN);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    assert!(node.tiered.get("key").await.is_err());
    node.network.heal();
    assert_eq!(node.get("key").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_delete_is_done_in_the_background_and_told_to_others() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "old").await;
    settle().await;
    other.get("key").await;
    one.network.every(1, DOWN);
    assert!(one.tiered.delete("key", Condition::Always).await.is_err());
    settle().await;
    // That is what the second tier holds.
    assert_eq!(other.get("key").await, some("old"));
    fleet.pass(BOUND * 3).await;
    assert_eq!(one.stats().recovery_pending, 1);
    one.network.heal();
    fleet.pass(Duration::from_secs(10)).await;
    assert_eq!(fleet.store.get("key").await.unwrap(), None);
    assert_eq!(other.get("key").await, None);
    let stats = one.stats();
    assert_eq!((stats.recovery_pending, stats.recovered), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_later_write_takes_the_place_of_a_failed_delete() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.network.script([DOWN]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    node.set("key", "new").await;
    assert_eq!(node.stats().recovery_pending, 0);
    fleet.pass(Duration::from_secs(10)).await;
    assert_eq!(node.get("key").await, some("new"));
}

/// How long a repeated delete is on its way.
const SLOW: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_repeated_takes_nothing_that_was_written_since() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    // It is repeated in the background at once.
    node.network.script([DOWN, Fault::Delay(SLOW)]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    settle().await;
    node.set("key", "new").await;
    fleet.pass(SLOW * 2).await;
    assert_eq!(node.get("key").await, some("new"));
    assert_eq!(node.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_repeated_waits_for_a_write_that_is_under_way() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.network
        .script([DOWN, DOWN, Fault::DelayReply(BOUND * 2)]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    settle().await;
    // It is tried again while the answer to this is on its way.
    node.set("key", "new").await;
    fleet.pass(BOUND * 3).await;
    assert_eq!(node.get("key").await, some("new"));
    assert_eq!(node.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_repeats_a_delete_takes_nothing_that_was_written_since() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.network.script([DOWN, DOWN, Fault::Delay(SLOW)]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    settle().await;
    let tiered = Arc::clone(&node.tiered);
    let read = tokio::spawn(async move { tiered.get("key").await });
    settle().await;
    node.set("key", "new").await;
    assert_eq!(node.get("key").await, some("new"));
    assert!(read.await.unwrap().is_ok());
    assert_eq!(node.get("key").await, some("new"));
}

/// How long writes that never end are waited for.
const GIVEN_UP: Duration = Duration::from_millis(200);

#[tokio::test(start_paused = true)]
async fn a_read_of_a_key_whose_delete_has_failed_waits_for_no_more_than_one_write() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("key", "old").await;
    node.network.every(1, DOWN);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    settle().await;
    node.network.every(1, Fault::Hang);
    // There is always one under way, and each is given up.
    let start = Instant::now();
    for number in 0..20 {
        let tiered = Arc::clone(&node.tiered);
        tokio::spawn(async move {
            sleep(GIVEN_UP / 2 * number).await;
            timeout(GIVEN_UP, tiered.set("key", "new".into(), always())).await
        });
    }
    settle().await;
    let error = node.tiered.get("key").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert_eq!(start.elapsed(), GIVEN_UP);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_many_keys_repeats_their_deletes_at_once() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let names: Vec<String> = (0..8).map(|number| format!("key:{number}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    for key in &keys {
        node.set(key, "old").await;
    }
    node.network.every(1, DOWN);
    assert!(node.tiered.delete_many(&keys).await.is_err());
    settle().await;
    node.network.every(1, Fault::Delay(SLOW));
    let start = Instant::now();
    assert_eq!(node.tiered.get_many(&keys).await.unwrap(), vec![None; 8]);
    assert_eq!(
        start.elapsed(),
        SLOW * 2,
        "one round trip, and that of the read"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_clear_is_done_later_and_its_keys_are_not_believed_before() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("a", "1").await;
    node.set("@other:a", "stays").await;
    node.network.every(1, DOWN);
    assert!(node.tiered.clear(&Scope::root()).await.is_err());
    settle().await;
    node.network.heal();
    assert_eq!(node.get("a").await, None);
    assert_eq!(node.get("@other:a").await, some("stays"));
    node.set("b", "2").await;
    fleet.pass(Duration::from_secs(10)).await;
    assert_eq!(node.get("b").await, None, "the clear has come after it");
    assert_eq!(node.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_told_again_later() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "old").await;
    one.network.script([Fault::Fail(ErrorKind::Timeout)]);
    let write = one.tiered.set("key", "new".into(), always()).await;
    assert!(write.is_err());
    settle().await;
    assert_eq!(other.get("key").await, some("old"));
    // It was on its way all the time.
    fleet
        .store
        .set("key", "new".into(), always())
        .await
        .unwrap();
    assert_eq!(other.held("key"), some("old"));
    fleet.pass(BOUND * 2).await;
    assert_eq!(other.get("key").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_on_its_way_is_told_at_once_and_again_later() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("key", "old").await;
    settle().await;
    other.get("key").await;
    one.network.script([Fault::HangAfter]);
    let tiered = Arc::clone(&one.tiered);
    let writing = tokio::spawn(async move { tiered.set("key", "new".into(), always()).await });
    settle().await;
    assert_eq!(other.held("key"), some("old"));
    writing.abort();
    settle().await;
    assert_eq!(other.get("key").await, some("new"));
    // Once more, in case that it has happened later.
    let told = other.stats().messages;
    fleet.pass(BOUND * 2).await;
    assert_eq!(other.stats().messages, told + 1);
    assert_eq!(one.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_holds_its_limit_and_counts_what_it_gives_up() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().recovery_capacity(100)).await;
    node.network.every(1, DOWN);
    for number in 0..1_000 {
        assert!(
            node.tiered
                .delete(&format!("key {number}"), Condition::Always)
                .await
                .is_err()
        );
        assert!(node.stats().recovery_pending <= 100);
    }
    let stats = node.stats();
    assert_eq!((stats.recovery_pending, stats.recovery_dropped), (100, 900));
    // The same key again takes no more room.
    assert!(
        node.tiered
            .delete("key 999", Condition::Always)
            .await
            .is_err()
    );
    assert_eq!(node.stats().recovery_dropped, 900);
    node.network.heal();
    fleet.pass(Duration::from_secs(20)).await;
    assert_eq!(node.stats().recovery_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_succeed_is_given_up() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let never = || {
        let what = "deletes".into();
        Fault::Fail(ErrorKind::Unsupported { what })
    };
    // Together with others, then alone.
    node.network.script([DOWN, never(), never()]);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    fleet.pass(Duration::from_secs(5)).await;
    let stats = node.stats();
    assert_eq!((stats.recovery_pending, stats.recovery_dropped), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_was_refused_is_repeated_as_any_other() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    for refused in [ErrorKind::Unauthorized, ErrorKind::Backend] {
        let refused = Fault::Fail(refused);
        node.set("key", "old").await;
        node.set("@other:key", "old").await;
        node.network.every(1, refused.clone());
        assert!(node.tiered.delete("key", Condition::Always).await.is_err());
        let other = Scope::of(&["other"], "").unwrap();
        assert!(node.tiered.clear(&other).await.is_err());
        assert!(node.tiered.get("key").await.is_err());
        fleet.pass(Duration::from_secs(60)).await;
        let stats = node.stats();
        assert_eq!((stats.recovery_pending, stats.recovery_dropped), (2, 0));
        // The password is right again.
        node.network.heal();
        fleet.pass(Duration::from_secs(10)).await;
        assert_eq!(fleet.store.get("key").await.unwrap(), None);
        assert_eq!(fleet.store.get("@other:key").await.unwrap(), None);
        assert_eq!(node.stats().recovery_pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn deletes_that_are_refused_again_and_again_hold_up_no_others() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let keys: Vec<String> = (0..600).map(|number| format!("key {number:03}")).collect();
    for key in &keys {
        node.set(key, "old").await;
    }
    node.network.every(1, DOWN);
    for key in &keys {
        assert!(node.tiered.delete(key, Condition::Always).await.is_err());
    }
    // Each batch is refused as a whole, and half of the keys alone as well.
    node.network.every(2, Fault::Fail(ErrorKind::Unauthorized));
    fleet.pass(Duration::from_secs(120)).await;
    node.network.heal();
    fleet.pass(Duration::from_secs(120)).await;
    for key in &keys {
        assert_eq!(fleet.store.get(key).await.unwrap(), None, "{key}");
    }
    let stats = node.stats();
    assert_eq!((stats.recovery_pending, stats.recovery_dropped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn messages_push_no_delete_out_of_the_queue() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().recovery_capacity(4)).await;
    node.set("deleted", "old").await;
    node.network.every(1, DOWN);
    assert!(
        node.tiered
            .delete("deleted", Condition::Always)
            .await
            .is_err()
    );
    for number in 0..10 {
        let key = format!("written {number}");
        let write = node.tiered.set(&key, "new".into(), always());
        assert!(write.await.is_err());
    }
    let stats = node.stats();
    assert_eq!((stats.recovery_pending, stats.recovery_dropped), (4, 7));
    node.network.heal();
    fleet.pass(Duration::from_secs(10)).await;
    assert_eq!(fleet.store.get("deleted").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_queue_full_of_deletes_takes_no_message() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().recovery_capacity(2)).await;
    node.network.every(1, DOWN);
    for key in ["a", "b"] {
        fleet.store.set(key, "old".into(), always()).await.unwrap();
        assert!(node.tiered.delete(key, Condition::Always).await.is_err());
    }
    assert!(node.tiered.set("c", "new".into(), always()).await.is_err());
    node.network.heal();
    fleet.pass(Duration::from_secs(10)).await;
    for key in ["a", "b"] {
        assert_eq!(fleet.store.get(key).await.unwrap(), None);
    }
    assert_eq!(node.stats().recovery_dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_delete_has_left_that_the_queue_could_not_hold_is_not_served() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().recovery_capacity(10)).await;
    let tag = cache_core::tag_keys(&[], "tag").unwrap()[0].clone();
    let tags = fleet.store.abilities().tags.unwrap();
    let names = [tag.as_str()];
    let tagging = cache_core::Tagging::new(&names, None);
    tags.set("tagged", "old".into(), always(), tagging)
        .await
        .unwrap();
    let keys: Vec<String> = (0..100).map(|number| format!("key {number}")).collect();
    for key in &keys {
        node.set(key, "old").await;
    }
    node.set("other", "stays").await;
    node.network.every(1, DOWN);
    assert!(
        node.tiered
            .abilities()
            .tags
            .unwrap()
            .invalidate(&[&tag])
            .await
            .is_err()
    );
    for key in &keys {
        assert!(node.tiered.delete(key, Condition::Always).await.is_err());
    }
    assert_eq!(node.stats().recovery_pending, 10);
    node.network.heal();
    fleet.pass(Duration::from_secs(60)).await;
    let stats = node.stats();
    assert_eq!((stats.recovery_pending, stats.recovery_dropped), (0, 91));
    for key in &keys {
        assert_eq!(node.get(key).await, None, "{key}");
        assert_eq!(fleet.store.get(key).await.unwrap(), None, "{key}");
    }
    assert_eq!(node.get("tagged").await, None);
    assert_eq!(node.get("other").await, some("stays"));
    // What is written later is believed, whoever writes it.
    node.set("key 0", "new").await;
    assert_eq!(node.get("key 0").await, some("new"));
    fleet
        .store
        .set("key 1", "new".into(), always())
        .await
        .unwrap();
    assert_eq!(node.get("key 1").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_full_of_clears_makes_everything_doubtful_once() {
    let fleet = Fleet::new();
    let node = fleet.node_with(fleet.config().recovery_capacity(1)).await;
    for key in ["@a:key", "@b:key"] {
        fleet.store.set(key, "old".into(), always()).await.unwrap();
    }
    node.network.every(1, DOWN);
    for name in ["a", "b"] {
        let scope = Scope::of(&[name], "").unwrap();
        assert!(node.tiered.clear(&scope).await.is_err());
    }
    node.network.heal();
    fleet.pass(Duration::from_secs(10)).await;
    assert_eq!(fleet.store.get("@a:key").await.unwrap(), some("old"));
    assert_eq!(node.get("@a:key").await, None);
    fleet
        .store
        .set("@a:key", "new".into(), always())
        .await
        .unwrap();
    assert_eq!(node.get("@a:key").await, some("new"));
    assert_eq!(node.get("@b:key").await, None);
}

#[tokio::test(start_paused = true)]
async fn the_late_answer_to_an_older_write_undoes_no_failed_delete() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    // The write is done before the delete, and its answer comes after the delete has failed.
    let late = Duration::from_millis(20);
    node.network.script([Fault::DelayReply(late), DOWN]);
    let tiered = Arc::clone(&node.tiered);
    let writing = tokio::spawn(async move { tiered.set("key", "old".into(), always()).await });
    settle().await;
    assert_eq!(fleet.store.get("key").await.unwrap(), some("old"));
    // Nothing is repeated meanwhile.
    node.network.every(1, DOWN);
    assert!(node.tiered.delete("key", Condition::Always).await.is_err());
    assert!(writing.await.unwrap().unwrap());
    assert_eq!(node.stats().recovery_pending, 1);
    node.network.heal();
    assert_eq!(node.get("key").await, None);
}
