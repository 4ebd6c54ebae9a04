//! Servers that refuse, that are not there, and that are no Redis.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Scope};
use cache_redis::{ConnectionState, RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{chain, config};

async fn refusal(config: RedisConfig) -> cache_core::Error {
    RedisStore::connect(config)
        .await
        .expect_err("it is refused")
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_unauthorized() {
    let server = Server::builder(Flavor::Redis7).password("secret").start();
    let at = RedisConfig::standalone("127.0.0.1", server.port());
    let protocols = [cache_redis::Protocol::Resp2, cache_redis::Protocol::Resp3];
    for at in protocols.map(|protocol| at.clone().protocol(protocol)) {
        let cases = [
            at.clone(),
            at.clone().password("wrong"),
            at.clone().username("no").password("secret"),
        ];
        for config in cases {
            let error = refusal(config.clone()).await;
            assert_eq!(
                *error.kind(),
                ErrorKind::Unauthorized,
                "{config:?}: {}",
                chain(&error)
            );
            assert!(!error.is_transient());
        }
        assert!(RedisStore::connect(at.password("secret")).await.is_ok());
    }
}

#[tokio::test]
async fn a_password_of_any_characters_logs_in_and_none_becomes_a_command() {
    const PASSWORDS: [&str; 9] = [
        "a b",
        "\"quoted\"",
        "it's",
        "back\\slash\\x41",
        "x\r\nSET injected yes\r\nPING",
        "tab\tand\0nothing",
        "pa&ss#word",
        "pässwörd",
        "plain",
    ];
    let server = Server::builder(Flavor::Redis7).start();
    let at = RedisConfig::standalone("127.0.0.1", server.port());
    let protocols = [cache_redis::Protocol::Resp2, cache_redis::Protocol::Resp3];
    for protocol in protocols {
        let at = at.clone().protocol(protocol).username("odd");
        for password in PASSWORDS {
            let of_user = format!(">{password}");
            let user = [
                "ACL", "SETUSER", "odd", "reset", "on", &of_user, "~*", "+@all",
            ];
            server.command(&user).assert_ok();
            let store = RedisStore::connect(at.clone().password(password)).await;
            let store = store.unwrap_or_else(|error| panic!("{password:?}: {}", chain(&error)));
            store.ping().await.unwrap();
            let mut others = PASSWORDS.iter().filter(|other| **other != password);
            let error = refusal(at.clone().password(*others.next_back().unwrap())).await;
            assert_eq!(*error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        }
    }
    let url = format!(
        "redis://:x%0D%0ASET%20injected%20yes%0D%0APING@{}",
        server.address()
    );
    // The default user has no password, so any will do.
    let store = RedisStore::connect(RedisConfig::from_url(&url).unwrap()).await;
    store.unwrap().ping().await.unwrap();
    assert_eq!(server.command(&["GET", "injected"]).bytes(), None);
}

#[tokio::test]
async fn what_a_user_may_not_do_is_unauthorized_and_the_rest_works() {
    let server =
        Server::builder(Flavor::Redis7).acl_user("reader on >pw ~cache:* -@all +get +ping +hello");
    let server = server.start();
    let config = config(&server).username("reader").password("pw");
    let store = RedisStore::connect(config).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    let error = store.delete("a", Condition::Always).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    assert!(chain(&error).contains("NOPERM"), "{}", chain(&error));
    let pairs = vec![("a", Bytes::new())];
    let error = store
        .set_many(pairs, Expiry::After(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    assert_eq!(store.wire_stats().unauthorized, 2);
    assert_eq!(store.state(), ConnectionState::Connected);
}

/// Scripts may run, and what they do may not: as a role that lost `+@write` has it.
#[tokio::test]
async fn what_a_user_may_not_do_within_a_script_is_unauthorized() {
    const MAY: &str = "reader on >pw ~cache:* -@all +@read +@scripting +ping +hello +info";
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).acl_user(MAY).start();
        server.command(&["SET", "cache:a", "value"]).assert_ok();
        let config = config(&server).username("reader").password("pw");
        let store = RedisStore::connect(config).await.unwrap();
        let never = BackendWrite::new(Expiry::Never, Condition::IfPresent);
        let refused = [
            store.delete("a", Condition::Always).await.map(drop),
            store.delete_many(&["a", "b"]).await.map(drop),
            store.set("a", Bytes::new(), never).await.map(drop),
            store.set_expiry("a", Expiry::Never).await.map(drop),
            store
                .abilities()
                .tags
                .unwrap()
                .invalidate(&["@_tag:a"])
                .await,
            store
                .abilities()
                .leases
                .unwrap()
                .claim("b", Duration::from_secs(1))
                .await
                .map(drop),
        ];
        for (place, refused) in refused.into_iter().enumerate() {
            let error = refused.unwrap_err();
            let text = chain(&error);
            assert_eq!(
                *error.kind(),
                ErrorKind::Unauthorized,
                "{flavor:?} {place}: {text}"
            );
            assert!(!error.is_transient());
        }
        assert_eq!(store.wire_stats().unauthorized, 6);
    }
}

/// Reads until the error is the one of a wrong password, and then for a while more.
async fn assert_unauthorized_for(store: &RedisStore, time: Duration) {
    let is_it = |error: &cache_core::Error| *error.kind() == ErrorKind::Unauthorized;
    let start = Instant::now();
    while !store.get("a").await.is_err_and(|error| is_it(&error)) {
        assert!(start.elapsed() < Duration::from_secs(5), "no such error");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    while start.elapsed() < time {
        let error = store.get("a").await.expect_err("the password is wrong");
        assert!(is_it(&error) && !error.is_transient(), "{}", chain(&error));
        assert!(chain(&error).contains("WRONGPASS"), "{}", chain(&error));
        let error = store
            .delete("a", Condition::Always)
            .await
            .expect_err("the password is wrong");
        assert!(is_it(&error), "{}", chain(&error));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_password_that_changes_is_an_error_until_it_is_right_again() {
    let server = Server::builder(Flavor::Redis7).password("old").start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    server
        .command(&["CONFIG", "SET", "requirepass", "new"])
        .assert_ok();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // Not more often than the delays allow.
    assert_unauthorized_for(&store, Duration::from_secs(2)).await;
    let refused = server.command(&["INFO", "errorstats"]).text();
    let count: u64 = refused
        .split("errorstat_WRONGPASS:count=")
        .nth(1)
        .and_then(|rest| rest.split(['\r', '\n']).next()?.parse().ok())
        .unwrap_or_default();
    assert!((1..40).contains(&count), "{count} attempts: {refused}");
    server
        .command(&["CONFIG", "SET", "requirepass", "old"])
        .assert_ok();
    let start = Instant::now();
    while store.get("a").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.wire_stats().unauthorized > 0);
}

#[tokio::test]
async fn a_write_that_may_have_been_sent_is_a_timeout_that_says_why_there_is_no_connection() {
    let server = Server::builder(Flavor::Redis7).password("old").start();
    let delay = Duration::from_secs(1);
    let config = config(&server).command_timeout(delay * 3);
    let store = RedisStore::connect(config.reconnect_delays(delay, delay)).await;
    let store = store.unwrap();
    server
        .command(&["CONFIG", "SET", "requirepass", "new"])
        .assert_ok();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    // The client has noticed, and has not yet begun to dial again: it takes commands.
    tokio::time::sleep(delay / 20).await;
    let error = store.delete("a", Condition::Always).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{}", chain(&error));
    assert!(chain(&error).contains("WRONGPASS"), "{}", chain(&error));
}

#[tokio::test]
async fn a_store_says_why_it_has_no_connection_until_it_is_back() {
    let server = Server::builder(Flavor::Redis7).password("old").start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    assert!(store.connect_error().is_none());
    let password = |text| server.command(&["CONFIG", "SET", "requirepass", text]);
    password("new").assert_ok();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let end = Instant::now() + Duration::from_secs(10);
    let error = loop {
        assert!(Instant::now() < end);
        if let Some(error) = store.connect_error()
            && chain(&error).contains("WRONGPASS")
        {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(*error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    password("old").assert_ok();
    while store.connect_error().is_some() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.get("none").await.unwrap(), None);
}

#[tokio::test]
async fn a_lazy_start_with_a_wrong_password_is_unauthorized() {
    let server = Server::builder(Flavor::Redis7).password("old").start();
    let config = RedisConfig::standalone("127.0.0.1", server.port()).connect_lazily(true);
    for protocol in [cache_redis::Protocol::Resp2, cache_redis::Protocol::Resp3] {
        let config = config.clone().protocol(protocol).password("new");
        let store = RedisStore::connect(config).await.unwrap();
        assert_unauthorized_for(&store, Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_at_once() {
    let start = Instant::now();
    let error = refusal(RedisConfig::standalone("127.0.0.1", 1)).await;
    assert_eq!(*error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert_eq!(error.operation(), Some("connect"));
    let error = refusal(RedisConfig::standalone("no-such-host.invalid", 6379)).await;
    assert!(error.is_transient(), "{}", chain(&error));
    let error = refusal(RedisConfig::unix("/no/such/socket")).await;
    assert_eq!(*error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = RedisConfig::standalone("127.0.0.1", silent.local_addr().unwrap().port());
    let start = Instant::now();
    let error = refusal(config.connect_timeout(Duration::from_millis(200))).await;
    assert_eq!(*error.kind(), ErrorKind::Timeout, "{}", chain(&error));
    assert!(
        start.elapsed() < Duration::from_millis(1_000),
        "{:?}",
        start.elapsed()
    );
}

/// Answers every request with the same bytes.
async fn server_that_says(answer: &'static [u8]) -> RedisConfig {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let port = listener.local_addr().expect("the port is known").port();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("it listens");
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if socket.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    RedisConfig::standalone("127.0.0.1", port)
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_an_error_in_time() {
    let start = Instant::now();
    for banner in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"220 mail.example.com ESMTP\r\n",
        b"\0\0\0\0",
    ] {
        let error = refusal(server_that_says(banner).await).await;
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Backend | ErrorKind::Timeout | ErrorKind::Unavailable
            ),
            "{}",
            chain(&error)
        );
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_without_resp3_says_what_to_do() {
    let old =
        server_that_says(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n")
            .await;
    let error = refusal(old).await;
    assert_eq!(
        error.to_string(),
        "connect: not supported: RESP3 by this server; choose protocol resp2"
    );
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_an_error() {
    let server = Server::builder(Flavor::Redis7).start();
    let error = refusal(config(&server).database(200)).await;
    assert!(
        chain(&error).contains("DB index is out of range"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_database_and_a_unix_socket_are_used() {
    let server = Server::builder(Flavor::Redis7).start();
    let config = RedisConfig::unix(server.unix_socket()).database(3);
    let store = RedisStore::connect(config).await.unwrap();
    store
        .set_many(vec![("a", Bytes::new())], Expiry::Never)
        .await
        .unwrap();
    let keyspace = server.command(&["INFO", "keyspace"]).text();
    assert!(keyspace.contains("db3:keys=1,"), "{keyspace}");
}

#[tokio::test]
async fn the_least_privileged_user_of_the_guide_is_enough_for_a_cluster() {
    let guide = include_str!("../../../../docs/redis.md");
    let acl = guide
        .split("ACL SETUSER ")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the guide has the user");
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    for node in cluster.nodes() {
        let of_a_cluster = ["+cluster|slots", "+asking"];
        let words: Vec<&str> = ["ACL", "SETUSER"]
            .into_iter()
            .chain(acl.split_whitespace())
            .chain(of_a_cluster)
            .collect();
        node.command(&words).assert_ok();
    }
    let config = RedisConfig::from_url(&cluster.url())
        .unwrap()
        .namespace("shop");
    let store = RedisStore::connect(config.username("app").password("secret"))
        .await
        .unwrap();
    let keys: Vec<String> = (0..50).map(|i| format!("key {i}")).collect();
    let pairs = keys
        .iter()
        .map(|key| (key.as_str(), Bytes::new()))
        .collect();
    store
        .set_many(pairs, Expiry::After(Duration::from_secs(60)))
        .await
        .unwrap();
    store.get_entry("key 1").await.unwrap();
    // A slot that moves sends commands elsewhere.
    let slot = cache_testbed::slot_of_key("shop:key 1");
    let (from, to) = (cluster.master_of_slot(slot), cluster.nodes());
    let to = to
        .iter()
        .find(|node| node.port() != from.port())
        .expect("there are three");
    cluster.move_slots(from, to, slot..=slot);
    let found = store.get("key 1").await.unwrap();
    assert_eq!(found, Some(Bytes::new()));
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 50);
}
