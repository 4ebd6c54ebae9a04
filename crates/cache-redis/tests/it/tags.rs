//! Tags: what an invalidation makes absent, and what it leaves.

mod absent;
mod cost;
#[cfg(feature = "replicas")]
mod replicas;
mod tickets;
mod versions;

use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Claim, Condition, EncodedBackend, Expiry, LoadLease,
    MsgPackCodec, SetOptions, TagTicket, Tagging,
};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server};

use crate::config;

const TTL: Duration = Duration::from_secs(30);
const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
/// The keys that name two tags to a backend, and where the versions are.
const TEAM: &str = "@_tag:team:7";
const PRICES: &str = "@_tag:prices";
const TEAM_STORED: &str = "cache:@_tag:team:7";

/// Connects so that no operation fails when the machine alone does not run it for a moment.
async fn connect(server: &Server) -> RedisStore {
    patient(config(server)).await
}

async fn patient(config: RedisConfig) -> RedisStore {
    let store = RedisStore::connect(config.command_timeout(Duration::from_secs(5)));
    store.await.expect("the servers are there")
}

fn tags(store: &RedisStore) -> &dyn cache_core::Tags<Bytes> {
    store.abilities().tags.expect("a namespace has tags")
}

/// Writes a value with tags that never expires.
async fn put(store: &RedisStore, key: &str, value: &'static str, names: &[&str]) {
    assert!(put_with(store, key, value, ALWAYS, Tagging::new(names, None)).await);
}

async fn put_with(
    store: &RedisStore,
    key: &str,
    value: &'static str,
    options: BackendWrite,
    tagging: Tagging<'_>,
) -> bool {
    let set = tags(store).set(key, Bytes::from(value), options, tagging);
    set.await.expect("the server is healthy")
}

async fn ticket(store: &RedisStore) -> TagTicket {
    tags(store).ticket().await.expect("the server is healthy")
}

async fn invalidate(store: &RedisStore, names: &[&str]) {
    let invalidated = tags(store).invalidate(names).await;
    invalidated.expect("the server is healthy");
}

async fn value(store: &RedisStore, key: &str) -> Option<String> {
    let found = store.get(key).await.expect("the server is healthy");
    found.map(|value| String::from_utf8_lossy(&value).into_owned())
}

async fn granted(store: &RedisStore, key: &str) -> LoadLease {
    let leases = store.abilities().leases.expect("a namespace has leases");
    match leases.claim(key, TTL).await {
        Ok(Claim::Granted(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_invalidation_makes_the_entries_of_its_tags_absent_and_no_others() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let stores = [connect(&server).await, connect(&server).await];
        put(&stores[0], "a", "1", &[TEAM]).await;
        put(&stores[1], "b", "2", &[PRICES, TEAM]).await;
        put(&stores[0], "c", "3", &[PRICES]).await;
        put(&stores[0], "d", "4", &[]).await;
        let keys = ["a", "b", "c", "d"];
        let found = async |store: &RedisStore| {
            let found = store.get_many(&keys).await.unwrap();
            found.into_iter().map(|value| value.is_some()).collect()
        };
        let all: Vec<bool> = found(&stores[1]).await;
        assert_eq!(all, [true; 4]);
        invalidate(&stores[0], &[TEAM]).await;
        for store in &stores {
            let left: Vec<bool> = found(store).await;
            assert_eq!(left, [false, false, true, true]);
        }
        // Again, of tags that nothing has, and of two at once.
        invalidate(&stores[1], &[TEAM, "@_tag:unused"]).await;
        put(&stores[1], "a", "1", &[TEAM]).await;
        invalidate(&stores[0], &[TEAM, PRICES]).await;
        let left: Vec<bool> = found(&stores[1]).await;
        assert_eq!(left, [false, false, false, true]);
        invalidate(&stores[0], &[]).await;
    }
}

#[tokio::test]
async fn a_write_replaces_the_tags_and_one_after_the_invalidation_is_present() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    put(&store, "a", "1", &[TEAM]).await;
    invalidate(&store, &[TEAM]).await;
    put(&store, "a", "2", &[TEAM]).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));

    put(&store, "a", "3", &[PRICES]).await;
    put(&store, "b", "1", &[TEAM]).await;
    assert!(store.set("b", Bytes::from("2"), ALWAYS).await.unwrap());
    put(&store, "c", "1", &[TEAM]).await;
    let pairs = vec![("c", Bytes::from("2"))];
    store.set_many(pairs, Expiry::Never).await.unwrap();
    put(&store, "d", "1", &[TEAM]).await;
    let old = store.swap("d", Bytes::from("2"), Expiry::Never).await;
    assert_eq!(old.unwrap(), Some(Bytes::from("1")));
    invalidate(&store, &[TEAM]).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("3"));
    for key in ["b", "c", "d"] {
        assert_eq!(value(&store, key).await.as_deref(), Some("2"), "{key}");
    }
}

#[tokio::test]
async fn an_entry_tells_its_tags_and_the_time_that_it_has_left() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let options = BackendWrite::new(Expiry::After(TTL), Condition::Always);
    let names = [TEAM, PRICES];
    assert!(put_with(&store, "a", "1", options, Tagging::new(&names, None)).await);
    put(&store, "plain", "2", &[]).await;
    let one = store.get_entry("a").await.unwrap();
    let mut many = store.get_entries(&["a", "none", "plain"]).await.unwrap();
    let plain = many.pop().flatten().expect("it is there");
    assert_eq!(plain.tags.len(), 0);
    assert_eq!(many.pop(), Some(None));
    for entry in [one, many.pop().flatten()] {
        let entry = entry.expect("it is there");
        assert_eq!(entry.value, Bytes::from("1"));
        let left = entry.expiry.remaining().expect("it expires");
        assert!((TTL / 2..=TTL).contains(&left), "{left:?}");
        let found: Vec<&str> = entry.tags.iter().map(|tag| &**tag).collect();
        assert_eq!(found, names);
    }
}

#[tokio::test]
async fn a_value_that_is_filled_in_for_a_lease_has_its_tags() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let lease = granted(&store, "a").await;
    let since = ticket(&store).await;
    let names = [TEAM];
    let tagging = Tagging::new(&names, Some(&since));
    let fill = || tags(&store).fill("a", lease, Bytes::from("1"), Expiry::After(TTL), tagging);
    assert!(fill().await.unwrap());
    assert!(!fill().await.unwrap());
    let entry = store.get_entry("a").await.unwrap().expect("it is there");
    assert_eq!(entry.value, Bytes::from("1"));
    assert_eq!(entry.tags, [TEAM.into()]);
    assert!(entry.expiry.remaining() <= Some(TTL));
    invalidate(&store, &names).await;

    // What was filled in is over, so that the next one may load.
    let lease = granted(&store, "a").await;
    let plain = Tagging::new(&[], Some(&since));
    let fill = tags(&store).fill("a", lease, Bytes::from("2"), Expiry::Never, plain);
    assert!(fill.await.unwrap());
    assert_eq!(server.command(&["GET", "cache:a"]).text(), "2");
}

#[tokio::test]
async fn the_facade_writes_tags_and_deletes_by_them() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server).await;
    let cache: Cache<String> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    let shop = cache.namespace("shop").unwrap();
    let team = SetOptions::new().tags(&["team:7"]);
    assert!(cache.set_with("user:1", "Alice", team).await.unwrap());
    assert!(shop.set_with("user:1", "Bob", team).await.unwrap());
    cache.set("user:3", "Carol").await.unwrap();
    cache.delete_by_tag("team:7").await.unwrap();
    assert_eq!(cache.get("user:1").await.unwrap(), None);
    assert_eq!(cache.keys().await.unwrap(), ["user:3"]);
    assert_eq!(shop.get("user:1").await.unwrap().as_deref(), Some("Bob"));
    assert!(cache.set_nx("user:1", "Dave").await.unwrap());
    assert_eq!(cache.get("user:1").await.unwrap().as_deref(), Some("Dave"));
    assert_eq!(shop.clear().await.unwrap(), 1);
}

#[tokio::test]
async fn there_are_no_tags_where_other_programs_would_read_them() {
    let server = Server::builder(Flavor::Redis7).start();
    let bare = RedisStore::connect(config(&server).bare_keys()).await;
    assert!(bare.unwrap().abilities().tags.is_none());
}

#[tokio::test]
async fn too_many_and_too_long_tags_are_refused_and_nothing_is_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let many: Vec<String> = (0..33).map(|number| format!("@_tag:{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let set = tags(&store).set("a", Bytes::new(), ALWAYS, Tagging::new(&many, None));
    assert_eq!(
        set.await.unwrap_err().to_string(),
        "tags are 33, the most is 32"
    );
    assert!(put_with(&store, "a", "", ALWAYS, Tagging::new(&many[..32], None)).await);
    assert_eq!(value(&store, "a").await.as_deref(), Some(""));
    assert_eq!(store.clear(&cache_core::Scope::root()).await.unwrap(), 1);
    server.command(&["FLUSHALL"]).assert_ok();

    let name = format!("@_tag:{}", "x".repeat(65_530));
    let names = [name.as_str()];
    let set = tags(&store).set("a", Bytes::new(), ALWAYS, Tagging::new(&names, None));
    assert_eq!(
        set.await.unwrap_err().to_string(),
        "tag is 65536 bytes long with its namespaces, the most is 65535"
    );
    let large = patient(config(&server).max_value_bytes(3)).await;
    let names = [TEAM];
    let tagging = Tagging::new(&names, None);
    let set = tags(&large).set("a", Bytes::from("long"), ALWAYS, tagging);
    assert_eq!(
        set.await.unwrap_err().to_string(),
        "value of weight 4 exceeds the limit of 3"
    );
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
    // The header does not count.
    assert!(put_with(&large, "a", "abc", ALWAYS, tagging).await);
    assert_eq!(value(&large, "a").await.as_deref(), Some("abc"));
}
