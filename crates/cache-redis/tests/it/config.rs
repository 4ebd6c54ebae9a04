//! What a configuration refuses, naming the field and the limit and never quoting a password.

use std::time::Duration;

use cache_core::ErrorKind;
use cache_redis::{RedisConfig, RedisStore};

/// The text of the refusal of a URL, which is at its field `url`.
fn refused(url: &str) -> String {
    let error = RedisConfig::from_url(url).expect_err(url);
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { field, .. } if field == "url"));
    assert!(
        !format!("{error} {error:?}").contains("hunter"),
        "{error:?}"
    );
    error.to_string()
}

#[test]
fn all_forms_of_urls_are_read() {
    let shown = |url: &str| format!("{:?}", RedisConfig::from_url(url).expect(url));
    let forms = [
        (
            "redis://cache.internal",
            "Standalone(Address { host: \"cache.internal\", port: 6379 })",
        ),
        ("valkey://h:7000/3", "database: 3"),
        ("redis://[::1]:7000", "host: \"::1\", port: 7000"),
        (
            "redis://app:hunter2@h",
            "username: Some(\"***\"), password: Some(\"***\")",
        ),
        (
            "redis://hunter2@h",
            "username: Some(\"***\"), password: None",
        ),
        (
            "redis://:hunter%402%2F%23%25@h",
            "username: None, password: Some(\"***\")",
        ),
        ("rediss://h", "tls: Some(Tls"),
        ("valkeys://h", "tls: Some(Tls"),
        ("redis://h?protocol=resp2", "protocol: Resp2"),
        ("redis+unix:///run/redis.sock", "Unix(\"/run/redis.sock\")"),
        ("redis+unix:///run/redis.sock?db=2", "database: 2"),
        (
            "redis-cluster://a:1?node=b:2&node=[::1]:3",
            "Cluster([Address { host: \"a\", port: 1 }, Address { host: \"b\", port: 2 }, \
             Address { host: \"::1\", port: 3 }])",
        ),
        ("rediss-cluster://a", "tls: Some(Tls"),
        (
            "redis-sentinel://a/4?sentinelServiceName=main&sentinelPassword=hunter2",
            "Sentinel { nodes: [Address { host: \"a\", port: 26379 }], service: \"main\", \
             username: None, password: Some(***) }",
        ),
    ];
    for (url, part) in forms {
        assert!(shown(url).contains(part), "{url}: {}", shown(url));
        assert!(!shown(url).contains("hunter"), "{url}: {}", shown(url));
    }
}

#[test]
fn urls_that_are_none_are_refused() {
    let scheme = "url has an unknown scheme; known are redis, rediss, redis-cluster, redis-sentinel, \
                  redis+unix and the same with valkey";
    let cases = [
        ("http://:hunter2@h", scheme),
        ("redis-fleet://h", scheme),
        ("rediss+unix:///path", scheme),
        ("", "url is no URL: relative URL without a base"),
        (
            "127.0.0.1:6379",
            "url is no URL: relative URL without a base",
        ),
        ("redis://", "url lacks a host"),
        ("redis://:hunter2@", "url is no URL: empty host"),
        ("redis://h:0", "url has port 0, the least is 1"),
        ("redis://h:70000", "url is no URL: invalid port number"),
        (
            "redis://h/99999",
            "url has a database that is no number from 0 to 255",
        ),
        (
            "redis://h/hunter2",
            "url has a database that is no number from 0 to 255",
        ),
        (
            "redis://h?protocol=resp9",
            "url has a protocol that is neither resp2 nor resp3",
        ),
        (
            "redis://h?hunter=2",
            "url has an unknown parameter; known are protocol",
        ),
        ("redis+unix://", "url lacks the path of the socket"),
        (
            "redis-cluster://h?node=hunter2",
            "url has a node that is not host:port",
        ),
        (
            "redis-sentinel://h",
            "url lacks the parameter sentinelServiceName",
        ),
    ];
    for (url, expected) in cases {
        assert_eq!(refused(url), expected, "{url}");
    }
}

#[test]
fn reserved_characters_in_a_password_are_refused_with_the_way_to_write_them() {
    let cases = [
        (
            "redis://:hunter@2@h",
            "holds a '@' in front of an '@'; in a password write %40",
        ),
        (
            "redis://:hunter/2@h",
            "holds a '/' in front of an '@'; in a password write %2F",
        ),
        (
            "redis://:hunter?2@h",
            "holds a '?' in front of an '@'; in a password write %3F",
        ),
        (
            "redis://:hunter#2@h",
            "holds a '#'; in a password write %23",
        ),
        (
            "redis://:hunter%2@h",
            "holds a '%' that starts no escape; in a password write %25",
        ),
        (
            "redis://:hunter%zz@h",
            "holds a '%' that starts no escape; in a password write %25",
        ),
        ("redis://:hunter%ff@h", "holds an escape that is not UTF-8"),
    ];
    for (url, problem) in cases {
        assert_eq!(refused(url), format!("url {problem}"), "{url}");
    }
}

#[tokio::test]
async fn options_out_of_their_limits_are_refused_before_a_connection_is_made() {
    let nobody = RedisConfig::standalone("127.0.0.1", 1);
    let hour = Duration::from_secs(3601);
    let cases = [
        (
            nobody.clone().namespace(""),
            "namespace is empty, the least is 1 byte",
        ),
        (
            nobody.clone().namespace("a*"),
            "namespace holds '*', allowed are ASCII letters, digits, '-', '_' and '.'",
        ),
        (
            nobody.clone().namespace("x".repeat(65)),
            "namespace is 65 bytes long, the most is 64",
        ),
        (
            nobody.clone().command_timeout(Duration::ZERO),
            "command_timeout is 0ns, allowed are 1 ms to 1 h",
        ),
        (
            nobody.clone().connect_timeout(hour),
            "connect_timeout is 3601s, allowed are 1 ms to 1 h",
        ),
        (
            nobody.clone().probe_interval(Duration::MAX),
            "probe_interval is 18446744073709551615.999999999s, allowed are 1 ms to 1 h",
        ),
        (
            nobody
                .clone()
                .reconnect_delays(Duration::from_secs(2), Duration::from_secs(1)),
            "reconnect_delays end below where they start",
        ),
        (
            nobody.clone().pool_size(0),
            "pool_size is 0, allowed are 1 to 256",
        ),
        (
            nobody.clone().queue_limit(0),
            "queue_limit is 0, allowed are 1 to 10000000",
        ),
        (
            nobody.clone().max_value_bytes(0),
            "max_value_bytes is 0, allowed are 1 to 536870912",
        ),
        (
            nobody.clone().client_name("a b"),
            "client_name may hold printable ASCII without spaces only, and at least 1 byte",
        ),
        #[cfg(feature = "replicas")]
        (
            nobody.clone().read_from_replicas(true),
            "read_from_replicas works with a cluster only",
        ),
        (
            RedisConfig::standalone("", 1),
            "servers have an empty host name",
        ),
        (
            RedisConfig::standalone("h", 0),
            "servers have port 0, the least is 1",
        ),
        (
            RedisConfig::cluster::<String>([]),
            "servers are none, the least is 1",
        ),
        (
            RedisConfig::cluster([("h", 1)]).database(1),
            "database is 1, a cluster has database 0 only",
        ),
        (
            RedisConfig::sentinel("", [("h", 1)]),
            "servers have an empty service name",
        ),
        (RedisConfig::unix(""), "servers have an empty path"),
    ];
    for (config, expected) in cases {
        let error = RedisStore::connect(config).await.expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}
