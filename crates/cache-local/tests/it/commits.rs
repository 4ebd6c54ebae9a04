//! Transactions: the bound, what a full cache gives up for them, and who is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::{Cache, CacheBackend, ErrorKind, Expiry, TransactionWrite};
use cache_local::{LocalBackend, LocalConfig, RemovalCause};

use crate::{Rig, now};

fn set(value: u32) -> TransactionWrite<u32> {
    TransactionWrite::Set(value, Expiry::Never)
}

#[tokio::test]
async fn a_commit_of_as_much_as_the_cache_can_hold_replaces_all_that_is_there() {
    for shards in [1, 2, 64] {
        let rig = Rig::<u32>::new(LocalConfig::new().max_entries(4).shards(shards));
        for i in 0..4u32 {
            rig.cache.set(format!("old:{i}"), i).await.unwrap();
        }
        let keys = ["old:0", "old:1", "old:2", "old:3"];
        let mut transaction = rig.cache.watch(&keys).await.unwrap();
        for i in 0..4u32 {
            transaction.set(format!("new:{i}"), i).unwrap();
        }
        transaction.commit().await.unwrap();
        assert_eq!(rig.entries(), 4);
        for i in 0..4u32 {
            assert_eq!(rig.cache.get(format!("new:{i}")).await.unwrap(), Some(i));
        }
        assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 4);
    }
}

#[tokio::test]
async fn what_is_watched_stays_while_anything_else_can_be_evicted() {
    let rig = Rig::<u32>::new(LocalConfig::new().max_entries(8));
    for round in 0..200 {
        for i in 0..8u32 {
            rig.cache.set(format!("{round}:{i}"), i).await.unwrap();
        }
        let kept = format!("{round}:7");
        let mut transaction = rig.cache.watch(&[&kept]).await.unwrap();
        for i in 0..7u32 {
            transaction.set(format!("new {round}:{i}"), i).unwrap();
        }
        transaction.commit().await.unwrap();
        assert_eq!(rig.cache.get(&kept).await.unwrap(), Some(7));
        assert_eq!(rig.entries(), 8);
    }
}

#[tokio::test]
async fn the_weights_of_a_commit_count_together_and_deletes_make_room() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(100, weigh));
    for (key, weight) in [("a", 60u32), ("b", 30), ("c", 10)] {
        rig.cache.set(key, weight).await.unwrap();
    }
    let mut transaction = rig.cache.watch(&["a"]).await.unwrap();
    transaction.delete("a").unwrap();
    transaction.set("b", 80u32).unwrap();
    transaction.set("d", 10u32).unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((rig.weight(), rig.entries()), (100, 3));
    assert_eq!(
        rig.cache.get("c").await.unwrap(),
        Some(10),
        "nothing had to leave"
    );

    let mut transaction = rig.cache.watch(&["b"]).await.unwrap();
    for key in ["b", "e"] {
        transaction.set(key, 51u32).unwrap();
    }
    let refused = transaction.commit().await.unwrap_err();
    let too_large = ErrorKind::TooLarge {
        weight: 102,
        limit: 100,
    };
    assert_eq!(*refused.kind(), too_large);
    assert_eq!(rig.cache.stats().backend.refused, 1);
    assert_eq!(rig.cache.get("b").await.unwrap(), Some(80));
    assert_eq!((rig.weight(), rig.entries()), (100, 3));
}

#[tokio::test]
async fn a_commit_takes_the_room_that_is_free_and_evicts_for_the_rest() {
    let weigh = |_: &str, value: &u32| *value;
    let rig = Rig::new(LocalConfig::new().max_weight(10, weigh).shards(1));
    rig.cache.set("a", 7u32).await.unwrap();
    let mut transaction = rig.cache.watch(&["a"]).await.unwrap();
    transaction.set("b", 10u32).unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(rig.cache.get("a").await.unwrap(), None);
    assert_eq!((rig.weight(), rig.entries()), (10, 1));
}

#[tokio::test]
async fn the_listener_hears_of_a_commit_after_it_and_may_call_the_cache() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let cache = Arc::new(std::sync::OnceLock::<Arc<LocalBackend<u32>>>::new());
    let (sink, seen) = (Arc::clone(&log), Arc::clone(&cache));
    let config = LocalConfig::new().on_removal(move |removal| {
        let backend = seen.get().unwrap();
        let cache_core::ReadNow::Answer(now) = backend.read_now(removal.key) else {
            panic!("a local read never waits");
        };
        let event = (removal.key.to_owned(), *removal.value, removal.cause);
        sink.lock().unwrap().push((event, now.unwrap()));
    });
    let backend = Arc::new(LocalBackend::new(config).unwrap());
    assert!(cache.set(Arc::clone(&backend)).is_ok());
    let facade: Cache<u32> = Cache::new(Arc::clone(&backend));
    facade.mset([("a", 1u32), ("b", 2)]).await.unwrap();
    let mut transaction = facade.watch(&["a"]).await.unwrap();
    transaction.delete("b").unwrap();
    transaction.set("a", 3u32).unwrap();
    transaction.commit().await.unwrap();
    let event = |key: &str, value, cause, now| ((key.to_owned(), value, cause), now);
    assert_eq!(
        *log.lock().unwrap(),
        [
            event("b", 2, RemovalCause::Deleted, None),
            event("a", 1, RemovalCause::Replaced, Some(3)),
        ]
    );
}

#[tokio::test]
async fn an_invalidation_of_a_tag_of_a_watched_key_is_a_conflict() {
    let rig = Rig::<u32>::new(LocalConfig::new());
    let options = cache_core::SetOptions::new().tags(&["tag"]);
    rig.cache.set_with("a", 1u32, options).await.unwrap();
    let mut transaction = rig.cache.watch(&["a"]).await.unwrap();
    transaction.set("b", 2u32).unwrap();
    rig.cache.delete_by_tag("tag").await.unwrap();
    let lost = transaction.commit().await.unwrap_err();
    assert_eq!(*lost.kind(), ErrorKind::Conflict);
    assert_eq!(rig.entries(), 1, "what is invalidated waits for its sweep");
    rig.backend.sweep();
    assert_eq!(rig.entries(), 0);
}

#[tokio::test]
async fn what_a_commit_writes_expires_and_is_swept() {
    let rig = Rig::<u32>::new(LocalConfig::new());
    rig.cache.set_ex("a", 1u32, 5).await.unwrap();
    let mut transaction = rig.cache.watch(&["a"]).await.unwrap();
    transaction.set_for("a", 2u32, 60).unwrap();
    transaction.set_for("b", 2u32, 10).unwrap();
    transaction.commit().await.unwrap();
    rig.hand.advance(Duration::from_secs(9));
    assert_eq!(
        rig.cache.mget(&["a", "b"]).await.unwrap(),
        [Some(2), Some(2)]
    );
    rig.hand.advance(Duration::from_secs(1));
    assert_eq!(rig.cache.mget(&["a", "b"]).await.unwrap(), [Some(2), None]);
    rig.hand.advance(Duration::from_secs(50));
    assert_eq!(rig.backend.sweep(), 2);
}

#[tokio::test]
async fn of_several_writes_of_one_key_the_last_one_counts() {
    let rig = Rig::<u32>::new(LocalConfig::new().max_entries(2));
    rig.cache.mset([("a", 1u32), ("b", 1)]).await.unwrap();
    let transactions = rig.backend.abilities().transactions.unwrap();
    let (found, watch) = transactions.watch(&["a", "b", "a"]).await.unwrap();
    assert_eq!(found, [Some(1), Some(1), Some(1)]);
    let writes = vec![
        ("a", set(2)),
        ("c", set(5)),
        ("a", TransactionWrite::Delete),
        ("a", set(3)),
    ];
    transactions.commit(watch, writes).await.unwrap();
    assert_eq!(
        rig.cache.mget(&["a", "c"]).await.unwrap(),
        [Some(3), Some(5)]
    );
    assert_eq!(rig.entries(), 2);
}

#[tokio::test]
async fn a_watch_of_another_cache_is_refused() {
    let (ours, theirs) = (
        Rig::<u32>::new(LocalConfig::new()),
        Rig::<u32>::new(LocalConfig::new()),
    );
    let foreign = theirs.backend.abilities().transactions.unwrap();
    let (_, watch) = foreign.watch(&["a"]).await.unwrap();
    let transactions = ours.backend.abilities().transactions.unwrap();
    let refused = transactions.commit(watch, vec![("a", set(1))]).await;
    let kind = refused.unwrap_err().kind().clone();
    assert!(matches!(kind, ErrorKind::InvalidInput { .. }), "{kind:?}");
    assert_eq!(ours.entries(), 0);
}

#[test]
fn a_transaction_that_loses_races_needs_no_timers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rig = Rig::<u32>::new(LocalConfig::new());
    let mut lost = 0;
    let added = runtime.block_on(rig.cache.transaction(&["b", "a"], |transaction| {
        if lost < 5 {
            lost += 1;
            let transactions = rig.backend.abilities().transactions.unwrap();
            let (_, watch) = now(transactions.watch(&["a"])).unwrap();
            now(transactions.commit(watch, vec![("a", set(lost))])).unwrap();
        }
        let found = transaction.get("a")?.copied();
        transaction.set("b", found.unwrap_or(0) + 10)?;
        Ok::<_, cache_core::Error>(found)
    }));
    assert_eq!((added.unwrap(), lost), (Some(5), 5));
    let both = runtime.block_on(rig.cache.mget(&["a", "b"])).unwrap();
    assert_eq!(both, [Some(5), Some(15)]);
}
