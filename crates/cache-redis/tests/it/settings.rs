//! Configurations that come from a file.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::{BusConfig, Protocol, RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server};

fn read(json: &str) -> Result<RedisConfig, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn options_that_are_not_said_are_the_defaults() {
    let read = read("{}").expect("nothing has to be said");
    assert_eq!(format!("{read:?}"), format!("{:?}", RedisConfig::default()));
    let bus: BusConfig = serde_json::from_str("{}").expect("nothing has to be said");
    assert_eq!(bus, BusConfig::new());
}

#[test]
fn a_file_says_what_the_methods_say() {
    let json = r#"{"url": "redis://app:hunter2@h/3", "protocol": "resp2", "namespace": "shop",
        "command_timeout": "250ms", "pool_size": 2}"#;
    let read = read(json).expect("it is right");
    let built = RedisConfig::from_url("redis://app:hunter2@h/3")
        .expect("it is right")
        .protocol(Protocol::Resp2)
        .namespace("shop")
        .command_timeout(Duration::from_millis(250))
        .pool_size(2);
    assert_eq!(format!("{read:?}"), format!("{built:?}"));
    assert_eq!(read.get_namespace(), Some("shop"));

    let bus = r#"{"bound": "500ms", "capacity": 1024}"#;
    let bus: BusConfig = serde_json::from_str(bus).expect("it is right");
    let built = BusConfig::new()
        .bound(Duration::from_millis(500))
        .capacity(1_024);
    assert_eq!(bus, built);
}

#[tokio::test]
async fn a_store_is_connected_to_as_a_file_says() {
    let server = Server::builder(Flavor::Redis7).password("hunter2").start();
    // The credentials apart from the URL, as they come from a vault.
    let url = server.url().replace(":hunter2@", "");
    let json = serde_json::json!({
        "url": url, "username": "default", "password": "hunter2", "client_name": "reader",
        "database": 2, "bare_keys": true, "hash_tags": true, "max_key_bytes": "1KiB",
        "max_value_bytes": "10kB", "connect_timeout": "2s", "probe_interval": "2s",
        "reconnect_delays": ["10ms", "1s"], "queue_limit": 100, "connect_lazily": false,
    });
    let config = read(&json.to_string()).expect("it is right");
    let store = RedisStore::connect(config)
        .await
        .expect("the server is there");
    let options = BackendWrite::new(Expiry::Never, Condition::Always);
    let set = store
        .set("key", Bytes::from("value"), options.clone())
        .await;
    assert!(set.expect("the server is there"));
    let select = |database: &str| {
        let found = server.command(&["INFO", "keyspace"]).text();
        found.contains(&format!("db{database}:keys=1"))
    };
    assert!(select("2"));
    assert!(
        server
            .command(&["CLIENT", "LIST"])
            .text()
            .contains("name=reader")
    );
    let large = store
        .set("key", Bytes::from(vec![0; 10_001]), options)
        .await;
    let refused = large.expect_err("it is too large").to_string();
    assert!(refused.contains("exceeds the limit of 10000"), "{refused}");
}

#[test]
fn what_cannot_work_is_refused_as_it_is_read() {
    let cases = [
        (
            r#"{"pool_size": 0}"#,
            "pool_size is 0, allowed are 1 to 256",
        ),
        (
            r#"{"namespace": "a b"}"#,
            "namespace holds ' ', allowed are ASCII letters, digits, '-', '_' and '.'",
        ),
        (
            r#"{"namespace": "shop", "bare_keys": true}"#,
            "bare_keys contradict a namespace",
        ),
        (
            r#"{"command_timeout": 250}"#,
            "command_timeout: is 250, write \"250s\"",
        ),
        (
            r#"{"reconnect_delays": ["2s", "1s"]}"#,
            "reconnect_delays end below where they start",
        ),
        (
            r#"{"max_value_bytes": "1 potato"}"#,
            "max_value_bytes: is \"1 potato\", expected a number of bytes",
        ),
        (
            r#"{"protocol": "resp4"}"#,
            "protocol: unknown variant `resp4`, expected `resp2` or `resp3`",
        ),
        (
            r#"{"comand_timeout": "1s"}"#,
            "unknown field `comand_timeout`, did you mean `command_timeout`? known are url, username",
        ),
    ];
    for (json, expected) in cases {
        let refused = read(json).expect_err(json).to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    let refused = serde_json::from_str::<BusConfig>(r#"{"bound": "2m"}"#).expect_err("too long");
    assert_eq!(
        refused.to_string(),
        "bound is 120s, allowed are 100 ms to 60 s"
    );
}

#[test]
fn neither_a_configuration_nor_its_refusal_shows_a_password() {
    let good = r#"{"url": "redis://:hunter2@h", "password": "hunter2"}"#;
    let shown = format!("{:?}", read(good).expect("it is right"));
    assert!(!shown.contains("hunter"), "{shown}");

    let no_text = "is no text, write it in quotes";
    let cases = [
        (r#"{"password": 7700012}"#, no_text),
        (r#"{"password": -7700012}"#, no_text),
        (r#"{"password": 7700012.5}"#, no_text),
        (r#"{"password": 77000129999999999999999}"#, no_text),
        (r#"{"password": true}"#, no_text),
        (r#"{"password": ["hunter2"]}"#, no_text),
        (r#"{"password": {"hunter2": "hunter2"}}"#, no_text),
        (r#"{"url": 7700012}"#, no_text),
        (r#"{"url": ["redis://:hunter2@h"]}"#, no_text),
        (
            r#"{"url": "http://:hunter2@h"}"#,
            "url has an unknown scheme",
        ),
        (
            r#"{"url": "redis://:hunter@2@h"}"#,
            "url holds a '@' in front of",
        ),
        (
            r#"{"protocol": "redis://:hunter2@h"}"#,
            "unknown variant, expected one of resp2, resp3",
        ),
        (
            r#"{"redis://:hunter2@h": 1}"#,
            "unknown field, known are url",
        ),
        (r#"{"passwrd": "hunter2"}"#, "did you mean `password`?"),
        (r#""redis://:hunter2@h""#, "is a text, expected a table"),
        (r#"["redis://:hunter2@h"]"#, "invalid type: sequence"),
        (
            r#"{"password": "hunter2", "pool_size": "x"}"#,
            "pool_size: invalid type",
        ),
    ];
    for (json, expected) in cases {
        let error = read(json).expect_err(json);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(expected), "{shown}");
        assert!(
            !shown.contains("hunter") && !shown.contains("77000"),
            "{shown}"
        );
    }
}
