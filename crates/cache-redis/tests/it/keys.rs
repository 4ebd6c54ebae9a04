//! Keys and slots.

use std::collections::BTreeMap;

use bytes::Bytes;
use cache_core::{CacheBackend, Condition, ErrorKind, Expiry, Scope};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

use crate::{config, connect};

#[tokio::test]
async fn hostile_braces_do_not_choose_the_slot_unless_asked() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let keys: Vec<String> = (0..3_000).map(|i| format!("{{same}}{i}")).collect();
    let pairs = || {
        keys.iter()
            .map(|key| (key.as_str(), Bytes::new()))
            .collect()
    };
    let spread = || -> Vec<i64> {
        let sizes = cluster
            .nodes()
            .iter()
            .map(|node| node.command(&["DBSIZE"]).integer());
        sizes.collect()
    };

    let store = RedisStore::connect(config.clone()).await.unwrap();
    store.set_many(pairs(), Expiry::Never).await.unwrap();
    // A third of the keys belongs on each node.
    assert!(spread().iter().all(|size| *size >= 900), "{:?}", spread());
    assert_eq!(store.get("{same}7").await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 3_000);

    let store = RedisStore::connect(config.hash_tags(true)).await.unwrap();
    store.set_many(pairs(), Expiry::Never).await.unwrap();
    let mut sizes = spread();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 0, 3_000]);
}

#[tokio::test]
async fn every_kind_of_key_comes_back_from_a_scan_as_it_was() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let keys = [
        "a",
        "{a}b",
        "{}a",
        "{}{a}",
        "a{",
        "{",
        "}",
        "\r\n",
        "\0",
        "\u{1b}[31m",
        "é",
        "@",
        "cache:",
    ];
    let pairs = keys.iter().map(|key| (*key, Bytes::from(*key))).collect();
    store.set_many(pairs, Expiry::Never).await.unwrap();
    for key in keys {
        assert_eq!(store.get(key).await.unwrap(), Some(Bytes::from(key)));
        let scope = Scope::of(&[], key).unwrap();
        let page = store
            .scan(&scope, cache_core::Cursor::Start, 100)
            .await
            .unwrap();
        // The scope belongs to the root, whose keys of a single "@" are written "@@".
        assert!(key == "@" || page.keys.contains(&key.to_owned()), "{key:?}");
    }
    // Each key is one key, with the text that another client sees.
    assert_eq!(server.command(&["GET", "cache:{}{a}b"]).text(), "{a}b");
    assert_eq!(server.command(&["DBSIZE"]).integer(), keys.len() as i64);
}

#[tokio::test]
async fn a_foreign_key_that_is_no_text_is_passed_over() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let foreign: &[u8] = b"cache:\xff\xfe";
    server.command(&[b"SET", foreign, b"x"]).assert_ok();
    let page = store
        .scan(&Scope::root(), cache_core::Cursor::Start, 100)
        .await
        .unwrap();
    assert!(page.keys.is_empty());
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_over_the_limit_is_refused_and_none_is_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server).max_key_bytes(8))
        .await
        .unwrap();
    let long = "123456789";
    let refusals: BTreeMap<&str, cache_core::Error> = [
        ("get", store.get(long).await.map(drop).unwrap_err()),
        (
            "get_many",
            store.get_many(&["a", long]).await.map(drop).unwrap_err(),
        ),
        (
            "delete",
            store
                .delete(long, Condition::Always)
                .await
                .map(drop)
                .unwrap_err(),
        ),
        (
            "delete_many",
            store.delete_many(&["a", long]).await.map(drop).unwrap_err(),
        ),
        (
            "set_many",
            store
                .set_many(
                    vec![("a", Bytes::new()), (long, Bytes::new())],
                    Expiry::Never,
                )
                .await
                .unwrap_err(),
        ),
    ]
    .into();
    for (verb, error) in refusals {
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{verb}"
        );
        assert_eq!(
            error.to_string(),
            "key is 9 bytes long with its namespaces, the most is 8",
            "{verb}"
        );
    }
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
}
