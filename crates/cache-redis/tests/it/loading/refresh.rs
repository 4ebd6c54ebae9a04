//! Refreshes, beside what other processes do meanwhile.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, EncodedBackend, LoadContext, LoadOptions, MsgPackCodec};
use cache_testbed::{Flavor, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Answer, LEASE, MS, Source, cache, value};
use crate::connect;

/// The loader of a refresh, which says that it has begun and waits until it is let.
struct Loading {
    task: JoinHandle<Answer>,
    /// What the loader was told.
    context: LoadContext<u32>,
    go: oneshot::Sender<()>,
}

impl Loading {
    /// Begins a refresh that brings a value.
    async fn begin(cache: &Cache<u32>, key: &str, brings: Option<u32>) -> Self {
        Self::begin_with(cache, key, LoadOptions::new(), brings).await
    }

    async fn begin_with(
        cache: &Cache<u32>,
        key: &str,
        options: LoadOptions,
        brings: Option<u32>,
    ) -> Self {
        let (begins, begun) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let (cache, key) = (cache.clone(), key.to_owned());
        let task = tokio::spawn(async move {
            let load = async move |context| {
                begins.send(context).expect("the test waits");
                gone.await.expect("the test says when");
                Ok::<_, io::Error>(brings)
            };
            cache.entry(key).options(options).refresh(load).await
        });
        let begun = timeout(Duration::from_secs(5), begun).await;
        let context = begun.expect("it waits for nobody").expect("it begins");
        Self { task, context, go }
    }

    /// Lets the loader end, and returns what the refresh has brought.
    async fn end(self) -> Option<u32> {
        self.go.send(()).expect("the loader waits");
        value(self.task).await
    }
}

#[tokio::test]
async fn a_refresh_of_an_absent_key_stores_nothing_that_another_process_has_deleted_meanwhile() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let refresh = Loading::begin(&one, "key", Some(1)).await;
    assert!(!other.delete("key").await.unwrap());
    assert_eq!(refresh.end().await, Some(1), "who waits for it gets it");
    assert_eq!(one.get("key").await.unwrap(), None);
    assert_eq!(other.get("key").await.unwrap(), None);
    // What nobody has deleted is stored.
    let refresh = Loading::begin(&one, "key", Some(2)).await;
    assert_eq!(refresh.end().await, Some(2));
    assert_eq!(other.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_value_of_another_process_that_came_and_went_during_a_refresh_leaves_nothing_behind() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let refresh = Loading::begin(&one, "key", Some(1)).await;
    other.set("key", 9u32).await.unwrap();
    assert!(other.delete("key").await.unwrap());
    assert_eq!(refresh.end().await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn a_set_of_another_process_during_a_refresh_of_an_absent_key_wins() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let refresh = Loading::begin(&one, "key", Some(1)).await;
    assert!(other.set_nx("key", 9u32).await.unwrap());
    assert_eq!(refresh.end().await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), Some(9));
}

#[tokio::test]
async fn a_refresh_takes_the_lease_of_an_older_load_and_those_who_wait_get_its_value() {
    let server = Server::builder(Flavor::Redis7).start();
    let caches = [
        cache(&server).await,
        cache(&server).await,
        cache(&server).await,
    ];
    let source = Source::default();
    let older = source.get(&caches[0], "key", 1_000 * MS);
    source.has_begun(1).await;
    let waits = source.get(&caches[1], "key", MS);
    sleep(50 * MS).await;
    // It begins at once, though the older load goes on.
    let refresh = Loading::begin(&caches[2], "key", Some(7)).await;
    assert!(!older.is_finished());
    assert!(refresh.context.fencing_token.is_some());
    assert_eq!(refresh.end().await, Some(7));
    assert_eq!(value(waits).await, Some(7));
    assert_eq!(value(older).await, Some(1));
    for cache in &caches {
        assert_eq!(cache.get("key").await.unwrap(), Some(7), "no way back");
        assert_eq!(cache.stats().loads.pending, 0);
    }
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn of_two_refreshes_of_an_absent_key_the_later_one_is_stored_and_has_the_higher_token() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let first = Loading::begin(&one, "key", Some(1)).await;
    let second = Loading::begin(&other, "key", Some(2)).await;
    assert!(second.context.fencing_token > first.context.fencing_token);
    assert_eq!(first.end().await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), None);
    assert_eq!(second.end().await, Some(2));
    assert_eq!(one.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_refresh_replaces_what_another_process_has_stored_since_the_key_was_found_absent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let backend = Arc::new(FaultyBackend::new(store));
    let one: Cache<u32> = Cache::new(Arc::clone(&backend));
    let other = cache(&server).await;
    // The refresh hears late that there is nothing.
    backend.script([Fault::DelayReply(300 * MS)]);
    let refresh = tokio::spawn(async move {
        let load = async |_| Ok::<_, io::Error>(2);
        let loaded = one.entry("key").refresh(load).await;
        (loaded.unwrap(), one.get("key").await.unwrap())
    });
    sleep(100 * MS).await;
    other.set("key", 9u32).await.unwrap();
    assert_eq!(refresh.await.unwrap(), (Some(2), Some(2)));
    assert_eq!(other.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_refresh_whose_value_expires_meanwhile_stores_nothing_that_was_deleted_elsewhere() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for is_deleted_before in [true, false] {
        one.set_ex("key", 1u32, 100 * MS).await.unwrap();
        let refresh = Loading::begin(&one, "key", Some(2)).await;
        if is_deleted_before {
            assert!(other.delete("key").await.unwrap());
        }
        sleep(150 * MS).await;
        if !is_deleted_before {
            assert!(!other.delete("key").await.unwrap());
        }
        assert_eq!(refresh.end().await, Some(2));
        assert_eq!(one.get("key").await.unwrap(), None, "{is_deleted_before}");
    }
}

#[tokio::test]
async fn with_a_lease_of_zero_a_refresh_whose_value_expires_meanwhile_is_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    let one = cache(&server).await;
    one.set_ex("key", 1u32, 100 * MS).await.unwrap();
    let options = LoadOptions::new().lease_ttl(Duration::ZERO);
    let refresh = Loading::begin_with(&one, "key", options, Some(2)).await;
    sleep(150 * MS).await;
    assert_eq!(refresh.end().await, Some(2));
    assert_eq!(one.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn who_asks_after_a_delete_of_another_process_does_not_join_the_older_refresh() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for was_there in [true, false] {
        if was_there {
            one.set("key", 9u32).await.unwrap();
        }
        let refresh = Loading::begin(&one, "key", Some(5)).await;
        assert_eq!(other.delete("key").await.unwrap(), was_there);
        // The bound of staleness.
        sleep(1_000 * MS).await;
        let source = Source::default();
        assert_eq!(value(source.get(&one, "key", MS)).await, Some(1));
        assert_eq!(source.calls(), 1, "a load of its own");
        assert!(!refresh.task.is_finished());
        assert_eq!(refresh.end().await, Some(5));
        assert_eq!(one.get("key").await.unwrap(), Some(1));
        assert!(one.delete("key").await.unwrap());
    }
}

#[tokio::test]
async fn a_refresh_that_is_dropped_or_finds_nothing_lets_another_process_load_at_once() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for is_dropped in [true, false] {
        let refresh = Loading::begin(&one, "key", None).await;
        let source = Source::default();
        let waits = source.get(&other, "key", MS);
        sleep(50 * MS).await;
        assert_eq!(source.calls(), 0);
        let start = Instant::now();
        if is_dropped {
            refresh.task.abort();
        } else {
            assert_eq!(refresh.end().await, None);
        }
        assert_eq!(value(waits).await, Some(1));
        let took = start.elapsed();
        assert!(took < LEASE / 10, "{took:?}");
        assert!(other.delete("key").await.unwrap());
    }
}

#[tokio::test]
async fn a_load_ahead_stores_nothing_that_another_process_has_deleted_after_its_end() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    one.set_ex("key", 9u32, 200 * MS).await.unwrap();
    sleep(20 * MS).await;
    let ahead = LoadOptions::new()
        .ttl(Duration::from_millis(200))
        .refresh_ahead(0.0);
    let source = Source::default();
    let hit = source.get_with(&one, "key", ahead, 400 * MS);
    assert_eq!(value(hit).await, Some(9));
    source.has_begun(1).await;
    sleep(300 * MS).await;
    assert!(!other.delete("key").await.unwrap());
    sleep(200 * MS).await;
    assert_eq!(one.stats().loads.pending, 0);
    assert_eq!(one.get("key").await.unwrap(), None);
}
