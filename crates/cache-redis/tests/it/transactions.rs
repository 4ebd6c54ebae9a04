//! Transactions of a cache, as users write them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cache_core::{
    Cache, EncodedBackend, Error, ErrorKind, JsonCodec, Loaded, MAX_TRANSACTION_KEYS, Result,
    SetOptions,
};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

use crate::{chain, config};

/// Connects so that no operation fails when the machine alone does not run it for a moment.
async fn cache(config: RedisConfig) -> Cache<i64> {
    let patience = Duration::from_secs(10);
    let store = RedisStore::connect(config.command_timeout(patience)).await;
    let store = store.expect("the servers are there");
    Cache::new(EncodedBackend::new(store, JsonCodec::new()))
}

async fn transfer(accounts: &Cache<i64>, keys: [&str; 2], amount: i64) -> Result<bool> {
    let [from, to] = keys;
    let transfer = accounts.transaction(&keys, |transaction| {
        let balance = |key| Ok::<_, Error>(transaction.get(key)?.copied().unwrap_or(0));
        let [source, target] = [balance(from)?, balance(to)?];
        if source < amount {
            return Ok(false);
        }
        transaction.set(from, source - amount)?;
        transaction.set(to, target + amount)?;
        Ok(true)
    });
    transfer.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_neither_made_nor_lost() {
    let server = Server::builder(Flavor::Redis8).start();
    // Two processes, as it were.
    let caches = [cache(config(&server)).await, cache(config(&server)).await];
    let accounts = ["a", "b", "c"];
    for account in accounts {
        caches[0].set(account, 100).await.unwrap();
    }
    let tellers = (0..4_usize).map(|number| {
        let cache = caches[number % 2].clone();
        tokio::spawn(async move {
            for round in 0..25_usize {
                let [from, to] = [number + round, number + round + 1].map(|i| accounts[i % 3]);
                // Whoever has lost too often asks again.
                while let Err(error) = transfer(&cache, [from, to], 7).await {
                    assert_eq!(*error.kind(), ErrorKind::Conflict, "{}", chain(&error));
                }
                let sum = cache.watch(&accounts).await.unwrap();
                let sum = accounts.map(|key| *sum.get(key).unwrap().unwrap());
                assert_eq!(
                    sum.iter().sum::<i64>(),
                    300,
                    "no watch sees half a transfer"
                );
            }
        })
    });
    for teller in tellers.collect::<Vec<_>>() {
        teller.await.unwrap();
    }
    // All of it went over connections of their own.
    assert_eq!(server.calls("watch"), server.calls("unwatch"));
    assert_eq!(server.calls("multi"), server.calls("exec"));
}

#[tokio::test]
async fn a_transaction_is_tried_until_nobody_is_faster() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let calls = AtomicU32::new(0);
    let count = cache.transaction(&["count"], |transaction| {
        // Somebody else changes the key, twice.
        if calls.fetch_add(1, Ordering::Relaxed) < 2 {
            server.command(&["SET", "cache:count", "41"]).assert_ok();
        }
        let count = transaction.get("count")?.copied().unwrap_or(0) + 1;
        transaction.set("count", count)?;
        Ok::<_, Error>(count)
    });
    assert_eq!(count.await.unwrap(), 42);
    assert_eq!(calls.into_inner(), 3);
    assert_eq!(cache.get("count").await.unwrap(), Some(42));
}

#[tokio::test]
async fn who_loses_each_time_is_told_of_the_conflict() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let calls = AtomicU32::new(0);
    let lost = cache.transaction(&["count"], |transaction| {
        calls.fetch_add(1, Ordering::Relaxed);
        server.command(&["SET", "cache:count", "41"]).assert_ok();
        transaction.set("count", 1)
    });
    let error = lost.await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Conflict);
    assert_eq!(error.operation(), Some("transaction"));
    assert!(error.is_transient());
    assert_eq!(calls.into_inner(), 128);
    assert_eq!(cache.get("count").await.unwrap(), Some(41));
}

#[tokio::test]
async fn an_error_of_the_decision_ends_it_and_nothing_is_written() {
    #[derive(Debug)]
    enum Refusal {
        TooPoor,
        Cache,
    }
    impl From<Error> for Refusal {
        fn from(_: Error) -> Self {
            Self::Cache
        }
    }
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let refused = cache.transaction(&["a"], |transaction| {
        transaction.set("a", 1)?;
        Err::<(), _>(Refusal::TooPoor)
    });
    assert!(matches!(refused.await.unwrap_err(), Refusal::TooPoor));
    assert_eq!(cache.get("a").await.unwrap(), None);
    let refused = cache.transaction(&["a"], |transaction| {
        transaction.get("unwatched").map(drop)?;
        Ok(())
    });
    assert!(matches!(refused.await.unwrap_err(), Refusal::Cache));
}

#[tokio::test]
async fn a_transaction_reads_what_it_has_written_and_nothing_that_is_not_watched() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    cache.set("a", 1).await.unwrap();
    let mut transaction = cache.watch(&["a", "b"]).await.unwrap();
    assert_eq!(transaction.get("a").unwrap(), Some(&1));
    assert_eq!(transaction.get("b").unwrap(), None);
    let error = transaction.get("c").unwrap_err();
    assert!(error.to_string().ends_with("key is not watched"), "{error}");
    transaction.delete("a").unwrap();
    transaction
        .set_for("b", 2, Duration::from_secs(60))
        .unwrap();
    transaction.set("c", 3).unwrap();
    assert_eq!(transaction.get("a").unwrap(), None);
    assert_eq!(transaction.get("b").unwrap(), Some(&2));
    assert_eq!(transaction.get("c").unwrap(), Some(&3));
    assert_eq!(
        format!("{transaction:?}"),
        "Transaction { watched: 2, writes: 3, .. }"
    );
    // Nobody else sees any of it before it is committed.
    assert_eq!(
        cache.mget(&["a", "b", "c"]).await.unwrap(),
        [Some(1), None, None]
    );
    transaction.commit().await.unwrap();
    let all = cache.mget(&["a", "b", "c"]).await.unwrap();
    assert_eq!(all, [None, Some(2), Some(3)]);
    assert_eq!(cache.ttl("b").await.unwrap(), Some(60));
    let stats = cache.stats();
    assert_eq!((stats.sets, stats.deletes), (3, 1));
}

#[tokio::test]
async fn a_commit_of_nothing_tells_whether_what_was_read_still_holds() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let transaction = cache.watch(&["a"]).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = cache.watch(&["a"]).await.unwrap();
    cache.set("a", 1).await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "commit: a key of the transaction has changed"
    );
}

#[tokio::test]
async fn bad_keys_are_refused_before_anything_is_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let refused = |error: Error| error.to_string();
    let none: [&str; 0] = [];
    let error = cache.watch(&none).await.map(drop).map_err(refused);
    assert_eq!(error.unwrap_err(), "watch: keys are none, the least is 1");
    let keys: Vec<String> = (0..=MAX_TRANSACTION_KEYS).map(|i| i.to_string()).collect();
    let error = cache.watch(&keys).await.map(drop).map_err(refused);
    assert_eq!(error.unwrap_err(), "watch: keys are 1025, the most is 1024");
    assert!(cache.watch(&[""]).await.is_err());
    assert_eq!(server.calls("watch"), 0);

    let mut transaction = cache.watch(&keys[1..]).await.unwrap();
    transaction.set(&keys[1], 1).unwrap();
    let error = transaction.set("one more", 1).map_err(refused);
    assert_eq!(error.unwrap_err(), "keys are 1025, the most is 1024");
    assert!(transaction.delete("").is_err());
    assert!(transaction.set_for(&keys[1], 1, 0).is_err());
    // The most there can be work.
    for key in &keys[1..] {
        transaction.set(key, 7).unwrap();
    }
    transaction.commit().await.unwrap();
    let values = cache.mget(&keys[1..]).await.unwrap();
    assert_eq!(values, vec![Some(7); MAX_TRANSACTION_KEYS]);
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_and_nothing_is_written() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server).max_value_bytes(100)).await;
    let backend = EncodedBackend::new(store.unwrap(), JsonCodec::new());
    let cache: Cache<String> = Cache::new(backend);
    let mut transaction = cache.watch(&["a"]).await.unwrap();
    transaction.set("a", "small").unwrap();
    transaction.set("b", "x".repeat(1_000)).unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::TooLarge { limit: 100, .. }
    ));
    assert_eq!(cache.get("a").await.unwrap(), None);
    // The connection is as good as before.
    let mut transaction = cache.watch(&["a"]).await.unwrap();
    transaction.set("a", "small").unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(cache.get("a").await.unwrap().as_deref(), Some("small"));
}

#[tokio::test]
async fn values_with_tags_are_read_and_those_invalidated_are_not() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    for (key, tag) in [("a", "x"), ("b", "y")] {
        let options = SetOptions::new();
        cache.set_with(key, 1, options.tags(&[tag])).await.unwrap();
    }
    cache.delete_by_tag("x").await.unwrap();
    let mut transaction = cache.watch(&["a", "b"]).await.unwrap();
    assert_eq!(transaction.get("a").unwrap(), None);
    assert_eq!(transaction.get("b").unwrap(), Some(&1));
    transaction.set("b", 2).unwrap();
    transaction.commit().await.unwrap();
    // What was stored has no tag.
    cache.delete_by_tag("y").await.unwrap();
    assert_eq!(cache.get("b").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_load_that_a_transaction_overtakes_is_not_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server)).await;
    let load = cache.get_or_try_insert_with("a", async || {
        let mut transaction = cache.watch(&["a"]).await?;
        transaction.set("a", 2)?;
        transaction.commit().await?;
        Ok::<_, Error>(1)
    });
    load.await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), Some(2));
}

#[tokio::test]
async fn namespaces_and_bare_keys_have_transactions_of_their_own_keys() {
    let server = Server::builder(Flavor::Redis7).start();
    let root = cache(config(&server)).await;
    let space = root.namespace("space").unwrap();
    let bare = cache(config(&server).bare_keys()).await;
    for cache in [&root, &space, &bare] {
        let mut transaction = cache.watch(&["a"]).await.unwrap();
        assert_eq!(transaction.get("a").unwrap(), None);
        transaction.set("a", 1).unwrap();
        transaction.commit().await.unwrap();
    }
    let keys = ["EXISTS", "cache:a", "cache:@space:a", "a"];
    assert_eq!(server.command(&keys).integer(), 3);
}

#[tokio::test]
async fn more_transactions_than_there_may_be_wait_for_one_to_end() {
    let server = Server::builder(Flavor::Redis7).start();
    let patience = Duration::from_secs(2);
    let store = RedisStore::connect(config(&server).command_timeout(patience)).await;
    let cache: Cache<i64> = Cache::new(EncodedBackend::new(store.unwrap(), JsonCodec::new()));
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(cache.watch(&["a"]).await.unwrap());
    }
    let error = cache.watch(&["a"]).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    let text = chain(&error);
    assert!(
        text.ends_with("16 transactions are open or wait for a connection"),
        "{text}"
    );
    drop(open.pop());
    cache.watch(&["a"]).await.unwrap().commit().await.unwrap();
    // They are kept for others: none was opened for the last one.
    assert_eq!(server.info("total_connections_received"), {
        drop(open);
        cache.watch(&["a"]).await.unwrap().commit().await.unwrap();
        server.info("total_connections_received")
    });
}

#[tokio::test]
async fn in_a_cluster_all_keys_are_of_one_slot() {
    let cluster = Cluster::start(Flavor::Redis7);
    let config = || RedisConfig::from_url(&cluster.url()).unwrap();
    let tagged = cache(config().hash_tags(true)).await;
    assert!(tagged.set("{bank}:a", 10).await.is_ok());
    assert!(
        transfer(&tagged, ["{bank}:a", "{bank}:b"], 7)
            .await
            .unwrap()
    );
    let balances = tagged.mget(&["{bank}:a", "{bank}:b"]).await.unwrap();
    assert_eq!(balances, [Some(3), Some(7)]);

    let several = "keys of a transaction are in several slots of the cluster, allowed is 1; \
                   hash tags bring keys into one";
    let error = transfer(&tagged, ["{a}", "{b}"], 7).await.unwrap_err();
    assert_eq!(error.to_string(), format!("transaction: {several}"));
    let mut transaction = tagged.watch(&["{a}"]).await.unwrap();
    transaction.set("{b}", 1).unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.to_string(), format!("commit: {several}"));
    // Where tags mean nothing, they bring nothing together.
    let neutral = cache(config()).await;
    assert!(neutral.watch(&["{bank}:a", "{bank}:b"]).await.is_err());
    // One key has one slot, on each node.
    let keys = ["a", "b", "c", "d", "e", "f"];
    let each = keys.map(|key| {
        let cache = neutral.clone();
        tokio::spawn(async move {
            let keys = [key];
            let count = cache.transaction(&keys, |transaction| {
                let count = transaction.get(key)?.copied().unwrap_or(0) + 1;
                transaction.set(key, count)
            });
            count.await
        })
    });
    for each in each {
        each.await.unwrap().unwrap();
    }
    assert_eq!(neutral.mget(&keys).await.unwrap(), [Some(1); 6]);
}

#[tokio::test]
async fn a_slot_that_moves_between_watch_and_commit_is_a_conflict() {
    let cluster = Cluster::start(Flavor::Redis7);
    let config = RedisConfig::from_url(&cluster.url())
        .unwrap()
        .hash_tags(true);
    let cache = cache(config).await;
    cache.set("{bank}:a", 1).await.unwrap();
    let mut transaction = cache.watch(&["{bank}:a"]).await.unwrap();
    transaction.set("{bank}:a", 2).unwrap();
    let slot = cache_testbed::slot_of_key("{bank}");
    let from = cluster.master_of_slot(slot);
    let to = cluster
        .nodes()
        .iter()
        .take(3)
        .find(|node| node.port() != from.port());
    cluster.move_slots(from, to.unwrap(), slot..=slot);
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Conflict, "{}", chain(&error));
    assert_eq!(cache.get("{bank}:a").await.unwrap(), Some(1));
    // The next one finds the way.
    let moved = cache.transaction(&["{bank}:a"], |transaction| transaction.set("{bank}:a", 2));
    moved.await.unwrap();
    assert_eq!(cache.get("{bank}:a").await.unwrap(), Some(2));
}

#[tokio::test]
async fn two_caches_of_one_store_share_the_connections() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = Arc::new(RedisStore::connect(config(&server)).await.unwrap());
    let of = |name: &str| {
        let store = store.partition(name).unwrap();
        Cache::<i64>::new(EncodedBackend::new(store, JsonCodec::new()))
    };
    let [users, pages] = [of("users"), of("pages")];
    users.watch(&["a"]).await.unwrap().commit().await.unwrap();
    let before = server.info("total_connections_received");
    pages.watch(&["a"]).await.unwrap().commit().await.unwrap();
    assert_eq!(server.info("total_connections_received"), before);
}

#[tokio::test]
async fn nothing_is_written_where_a_transaction_is_not_permitted() {
    for missing in ["watch", "multi", "exec"] {
        let user = format!("app on >pw ~* +@all -{missing}");
        let server = Server::builder(Flavor::Redis7).acl_user(&user).start();
        let cache = cache(config(&server).username("app").password("pw")).await;
        let written = cache.transaction(&["a"], |transaction| transaction.set("a", 1));
        let error = written.await.unwrap_err();
        // Of the last one the server says in other words why.
        let text = chain(&error);
        assert!(text.contains("NOPERM"), "{missing}: {text}");
        assert!(!error.is_transient(), "{missing}: {text}");
        assert_eq!(cache.get("a").await.unwrap(), None, "{missing}");
    }
}

#[tokio::test]
async fn a_watched_key_that_is_not_written_counts_also_after_its_slot_has_moved() {
    let cluster = Cluster::start(Flavor::Redis7);
    let config = RedisConfig::from_url(&cluster.url())
        .unwrap()
        .hash_tags(true);
    let cache = cache(config).await;
    let transaction = cache.watch(&["{bank}:x"]).await.unwrap();
    let slot = cache_testbed::slot_of_key("{bank}");
    let from = cluster.master_of_slot(slot);
    let mut masters = cluster.nodes().iter().take(3);
    let to = masters.find(|node| node.port() != from.port());
    cluster.move_slots(from, to.unwrap(), slot..=slot);
    cache.set("{bank}:x", 1).await.unwrap();
    // The old server knows nothing of that.
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Conflict, "{}", chain(&error));
}

#[tokio::test]
async fn as_many_keys_as_there_may_be_fit_whatever_the_queue_of_the_store() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(config(&server).queue_limit(2)).await;
    let keys: Vec<String> = (0..MAX_TRANSACTION_KEYS).map(|i| i.to_string()).collect();
    let mut transaction = cache.watch(&keys).await.unwrap();
    for key in &keys {
        transaction.set(key, 7).unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(server.command(&["DBSIZE"]).integer(), 1024);
}

#[tokio::test]
async fn a_conflict_leaves_the_copy_of_an_old_value() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    let cache: Cache<i64> = Cache::builder(EncodedBackend::new(store, JsonCodec::new()))
        .keep_stale(Duration::from_secs(3600))
        .build()
        .unwrap();
    let loaded = cache
        .entry("a")
        .or_load(async |_| Ok::<_, Error>(Loaded::value(1).ttl(Duration::from_millis(20))));
    loaded.await.unwrap();
    tokio::time::sleep(Duration::from_millis(40)).await;
    let is_kept = async || {
        let found = cache.get_entry("a").await.unwrap();
        found.is_some_and(|hit| hit.is_stale())
    };
    assert!(is_kept().await);
    let mut transaction = cache.watch(&["a"]).await.unwrap();
    transaction.set("a", 2).unwrap();
    server.command(&["SET", "cache:a", "x"]).assert_ok();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Conflict);
    server.command(&["DEL", "cache:a"]);
    assert!(is_kept().await);
    let mut transaction = cache.watch(&["a"]).await.unwrap();
    transaction.set("a", 2).unwrap();
    transaction.commit().await.unwrap();
    server.command(&["DEL", "cache:a"]);
    assert!(!is_kept().await, "what is written replaces it");
}

#[tokio::test]
async fn a_claim_of_a_watched_key_is_a_conflict_and_a_commit_ends_the_load() {
    let server = Server::builder(Flavor::Redis7).start();
    let caches = [cache(config(&server)).await, cache(config(&server)).await];
    let mut transaction = caches[0].watch(&["a"]).await.unwrap();
    transaction.set("a", 2).unwrap();
    // Another process loads the key.
    let load = caches[1].get_or_insert_with("a", async || {
        let error = transaction.commit().await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Conflict);
        let mut transaction = caches[0].watch(&["a"]).await.unwrap();
        assert_eq!(transaction.get("a").unwrap(), None, "a lease is no value");
        transaction.set("a", 3).unwrap();
        transaction.commit().await.unwrap();
        1
    });
    load.await.unwrap();
    for cache in caches {
        assert_eq!(cache.get("a").await.unwrap(), Some(3));
    }
}
