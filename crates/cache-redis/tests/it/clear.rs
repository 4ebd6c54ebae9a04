//! `clear` beside the keys of others.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{CacheBackend, ErrorKind, Expiry, Scope};
use cache_redis::RedisStore;
use cache_testbed::{Flavor, Server};

use crate::{config, connect, connect_patiently};

#[tokio::test]
async fn clear_among_a_million_foreign_keys_takes_its_own_and_looks_at_few_at_a_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let fill = "for i = ARGV[1] + 0, ARGV[2] + 0 do redis.call('SET', 'other:' .. i, i) end";
    for start in (0..1_000_000).step_by(10_000) {
        let (first, last) = (start.to_string(), (start + 9_999).to_string());
        let filled = server.command(&["EVAL", fill, "0", &first, &last]);
        assert!(!filled.is_error());
    }
    // Names that a pattern without escapes would take along.
    for key in ["cache*:a", "cach:a", "cachex:a", "[cache:]a", "Cache:a"] {
        server.command(&["SET", key, "foreign"]).assert_ok();
    }
    let store = connect_patiently(&server).await;
    let keys: Vec<String> = (0..5_000).map(|i| format!("own {i}")).collect();

    let pairs = keys
        .iter()
        .map(|key| (key.as_str(), Bytes::from_static(b"v")));
    store
        .set_many(pairs.collect(), Expiry::Never)
        .await
        .unwrap();
    let longest_log = ["CONFIG", "SET", "slowlog-max-len", "100000"];
    server.command(&longest_log).assert_ok();
    server.log_slower_than(Duration::ZERO);
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 5_000);
    assert_eq!(server.command(&["DBSIZE"]).integer(), 1_000_005);
    // How long the server is kept from others depends on how many keys it looks at for one command.
    let mut looks = 0;
    for (_, command) in server.logged_commands() {
        match command[0].as_str() {
            "SCAN" => {
                assert_eq!(command[4..], ["COUNT", "500"]);
                looks += 1;
            }
            // Removes what one look has found.
            "EVALSHA" | "EVAL" => {
                let keys: u64 = command[2].parse().unwrap();
                assert!(keys <= 1_000, "{keys} keys at once");
            }
            // What these scripts run, and signs of life.
            other => assert!(!["KEYS", "FLUSHDB", "FLUSHALL"].contains(&other)),
        }
    }
    assert!(looks >= 2_000, "{looks} looks at a million keys");
}

#[tokio::test]
async fn a_namespace_does_not_reach_another_whatever_its_name_looks_like() {
    let server = Server::builder(Flavor::Redis7).start();
    let names = ["app", "app.", "app-1", "app_", "a", "ap.p", "App"];
    let mut stores = Vec::new();
    for name in names {
        let store = RedisStore::connect(config(&server).namespace(name))
            .await
            .unwrap();
        for key in ["x", "p:x", "*", "[x]"] {
            store
                .set_many(vec![(key, Bytes::from(name))], Expiry::Never)
                .await
                .unwrap();
        }
        stores.push((name, store));
    }
    for (left, (name, store)) in stores.iter().enumerate() {
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 4, "{name}");
        let others = 4 * (names.len() - left - 1);
        assert_eq!(
            server.command(&["DBSIZE"]).integer(),
            others as i64,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_prefix_with_glob_characters_means_itself() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let keys = [
        "a*b", "axb", "a[b]c", "abc", "a?", "ab", "a\\b", "a^", "a-c",
    ];
    let pairs = keys.iter().map(|key| (*key, Bytes::new())).collect();
    store.set_many(pairs, Expiry::Never).await.unwrap();
    for prefix in ["a*", "a[b]", "a?", "a\\", "a^", "a-"] {
        let scope = Scope::of(&[], prefix).unwrap();
        assert_eq!(store.clear(&scope).await.unwrap(), 1, "{prefix}");
    }
    assert_eq!(server.command(&["DBSIZE"]).integer(), 3);
}

#[tokio::test]
async fn bare_keys_are_shared_and_cannot_be_cleared() {
    let server = Server::builder(Flavor::Redis7).start();
    server
        .command(&["SET", "user:1", "of another program"])
        .assert_ok();
    let store = RedisStore::connect(config(&server).bare_keys())
        .await
        .unwrap();
    let found = store.get("user:1").await.unwrap();
    assert_eq!(found, Some(Bytes::from("of another program")));
    let error = store.clear(&Scope::root()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unsupported { .. }),
        "{error}"
    );
    assert_eq!(server.command(&["DBSIZE"]).integer(), 1);
    // A namespace of the facade tells its keys from others.
    let scope = Scope::of(&["own"], "").unwrap();
    store
        .set_many(vec![("@own:a", Bytes::new())], Expiry::Never)
        .await
        .unwrap();
    assert_eq!(store.clear(&scope).await.unwrap(), 1);
}
