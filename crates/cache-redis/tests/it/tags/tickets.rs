//! Tickets: tags of values that are known only after the value was read where it comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cache_core::{CacheBackend, TagTicket, Tagging};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

use super::{
    ALWAYS, PRICES, TEAM, connect, invalidate, patient, put, put_with, tags, ticket, value,
};

const GENERATION: &str = "cache:@{cache}tags";

/// Writes a value that was read when the ticket was taken, and tells whether it is present.
async fn lands(store: &RedisStore, ticket: &TagTicket, names: &[&str]) -> bool {
    assert!(put_with(store, "a", "v", ALWAYS, Tagging::new(names, Some(ticket))).await);
    value(store, "a").await.is_some()
}

#[tokio::test]
async fn a_value_is_absent_if_one_of_its_tags_was_invalidated_since() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let store = connect(&server).await;
        let other = connect(&server).await;
        let before = ticket(&store).await;
        assert_eq!(before, ticket(&other).await);
        assert!(lands(&store, &before, &[TEAM]).await);
        invalidate(&other, &[TEAM]).await;
        assert!(!lands(&store, &before, &[TEAM]).await);
        assert!(!lands(&store, &before, &[PRICES, TEAM]).await);
        assert!(lands(&store, &before, &[PRICES]).await);
        // The tag may be in use again.
        put(&store, "b", "v", &[TEAM]).await;
        assert!(!lands(&store, &before, &[TEAM]).await);
        let after = ticket(&store).await;
        assert!(lands(&store, &after, &[PRICES, TEAM]).await);
        assert_eq!(value(&store, "b").await.as_deref(), Some("v"));
    }
}

#[tokio::test]
async fn a_tag_that_was_never_used_before_is_invalidated_as_well() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let before = ticket(&store).await;
    invalidate(&store, &["@_tag:new"]).await;
    assert!(!lands(&store, &before, &["@_tag:new"]).await);
    let after = ticket(&store).await;
    assert!(lands(&store, &after, &["@_tag:new"]).await);
}

#[tokio::test]
async fn a_generation_that_was_lost_is_as_another_one() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let before = ticket(&store).await;
    assert_eq!(before.as_bytes().len(), 1024);
    assert_eq!(server.command(&["DEL", GENERATION]).integer(), 1);
    assert!(!lands(&store, &before, &[TEAM]).await);
    let new = ticket(&store).await;
    assert_ne!(before, new);
    assert!(!lands(&store, &before, &[TEAM]).await);
    assert!(lands(&store, &new, &[TEAM]).await);

    server.command(&["FLUSHALL"]).assert_ok();
    assert!(!lands(&store, &new, &[TEAM]).await);
    // An invalidation creates none, and repairs none.
    invalidate(&store, &[TEAM]).await;
    assert_eq!(server.command(&["EXISTS", GENERATION]).integer(), 0);
    for odd in ["short", &"x".repeat(1023), &"x".repeat(1025)] {
        server.command(&["SET", GENERATION, odd]).assert_ok();
        assert!(!lands(&store, &TagTicket::new(odd.as_bytes().to_vec()), &[TEAM]).await);
        invalidate(&store, &[TEAM]).await;
        let new = ticket(&store).await;
        assert!(lands(&store, &new, &[TEAM]).await, "{odd}");
        invalidate(&store, &[TEAM]).await;
        assert!(!lands(&store, &new, &[TEAM]).await, "{odd}");
    }
    server.command(&["DEL", GENERATION]);
    server.command(&["RPUSH", GENERATION, "x"]);
    invalidate(&store, &[TEAM]).await;
    let new = ticket(&store).await;
    assert!(lands(&store, &new, &[TEAM]).await);
}

#[tokio::test]
async fn a_ticket_of_somebody_else_is_none() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    ticket(&store).await;
    for bytes in [Vec::new(), vec![1; 8], vec![0; 1024], vec![0; 1025]] {
        assert!(!lands(&store, &TagTicket::new(bytes), &[TEAM]).await);
    }
    let other = store.partition("other").unwrap();
    let of_the_other = ticket(&other).await;
    assert!(!lands(&store, &of_the_other, &[TEAM]).await);
    assert!(lands(&other, &of_the_other, &[TEAM]).await);
}

#[tokio::test]
async fn an_invalidation_changes_the_numbers_of_its_tags_alone() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let before = ticket(&store).await;
    invalidate(&store, &[TEAM]).await;
    let after = ticket(&store).await;
    let numbers = before.as_bytes().chunks(8).zip(after.as_bytes().chunks(8));
    assert_eq!(numbers.filter(|(a, b)| a != b).count(), 1);
}

#[tokio::test]
async fn a_server_without_memory_left_invalidates_all_the_same() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let store = connect(&server).await;
        put(&store, "a", "v", &[TEAM]).await;
        put(&store, "b", "v", &[PRICES]).await;
        let before = ticket(&store).await;
        let set = |limit| {
            let set = server.command(&["CONFIG", "SET", "maxmemory", limit]);
            set.assert_ok();
        };
        set("1");
        let refused = store.set("c", Bytes::new(), ALWAYS).await.unwrap_err();
        assert!(crate::chain(&refused).contains("OOM"), "{refused}");
        invalidate(&store, &[TEAM]).await;
        assert_eq!(value(&store, "a").await, None);
        assert_eq!(value(&store, "b").await.as_deref(), Some("v"));
        set("0");
        assert!(!lands(&store, &before, &[TEAM]).await);
        let after = ticket(&store).await;
        assert!(lands(&store, &after, &[TEAM]).await);
    }
}

#[tokio::test]
async fn a_user_who_may_not_write_parts_of_a_value_invalidates_all_the_same() {
    let may = "app on >pw ~cache:* -@all +get +set +mget +unlink +pttl +persist +evalsha +eval \
               +getrange +ping +hello +client|id";
    let server = Server::builder(Flavor::Redis7).acl_user(may).start();
    let config = crate::config(&server).username("app").password("pw");
    let store = patient(config).await;
    put(&store, "a", "v", &[TEAM]).await;
    let before = ticket(&store).await;
    invalidate(&store, &[TEAM]).await;
    assert_eq!(value(&store, "a").await, None);
    assert!(!lands(&store, &before, &[TEAM]).await);
}

/// Loads a counter again and again while it is changed and its tag invalidated: after an
/// invalidation nobody finds a number from before the change.
async fn race(stores: Vec<RedisStore>) {
    let source = Arc::new(AtomicU64::new(0));
    let load = |store: RedisStore| {
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            for _ in 0..300 {
                let since = ticket(&store).await;
                let number = source.load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                let value = Bytes::from(number.to_string());
                let names = [TEAM, PRICES];
                let tagging = Tagging::new(&names, Some(&since));
                let set = tags(&store).set("counter", value, ALWAYS, tagging);
                assert!(set.await.expect("the servers are healthy"));
            }
        })
    };
    let loads: Vec<_> = stores.iter().cloned().map(load).collect();
    let mut found = 0;
    while !loads.iter().all(tokio::task::JoinHandle::is_finished) {
        let number = source.fetch_add(1, Ordering::SeqCst) + 1;
        invalidate(&stores[0], &[TEAM]).await;
        for store in &stores {
            if let Some(value) = value(store, "counter").await {
                let value: u64 = value.parse().expect("it is a number");
                assert!(value >= number, "{value} after {number}");
                found += 1;
            }
        }
    }
    for load in loads {
        load.await.expect("it ends well");
    }
    assert!(found > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_load_that_races_with_an_invalidation_brings_back_what_it_read_before() {
    let server = Server::builder(Flavor::Redis7).start();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(connect(&server).await);
    }
    race(stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_in_a_cluster() {
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let stores = [patient(config.clone()).await, patient(config).await];
    race(stores.to_vec()).await;
}
