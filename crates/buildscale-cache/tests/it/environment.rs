//! `Cache::from_env`, each case in a process of its own: the environment belongs to a process.

use buildscale_cache::prelude::*;

use crate::child::{is_child, report_of};

/// Runs `Cache::from_env` in a process with these variables and returns what it reports.
fn from_env_with(variables: &[(&str, &str)]) -> String {
    report_of(
        "environment::child_reports_what_the_environment_gives",
        variables,
    )
}

#[tokio::test]
async fn child_reports_what_the_environment_gives() {
    if !is_child() {
        return;
    }
    let config = CacheConfig {
        cleanup_interval_seconds: 60,
        default_ttl_seconds: Some(11),
    };
    let report = match Cache::<String>::from_env(config).await {
        Ok(cache) => {
            cache.set("key", "value").await.unwrap();
            let raw = cache.backend();
            let parent = Cache::<String, _>::with_backend(raw.clone());
            let ttl = cache.ttl("key").await.unwrap();
            format!(
                "ttl {ttl:?}, in the root {:?}",
                parent.exists("key").await.unwrap()
            )
        }
        Err(error) => error.to_string(),
    };
    println!("report: {report}");
}

#[test]
fn nothing_set_gives_a_local_cache_as_configured() {
    assert_eq!(from_env_with(&[]), "ttl Some(11), in the root true");
}

#[test]
fn variables_override_the_configuration() {
    let report = from_env_with(&[
        ("BUILDSCALE_CACHE_DEFAULT_TTL", "3600"),
        ("BUILDSCALE_CACHE_CLEANUP_INTERVAL", "5"),
        ("BUILDSCALE_CACHE_BACKEND", "local"),
        ("BUILDSCALE_CACHE_NAMESPACE", "sessions"),
    ]);
    assert_eq!(report, "ttl Some(3600), in the root false");
}

#[test]
fn a_value_that_cannot_be_understood_is_an_error_that_names_the_variable() {
    let cases = [
        (
            "DEFAULT_TTL",
            "5m",
            "is \"5m\", expected whole seconds, such as 3600",
        ),
        (
            "DEFAULT_TTL",
            "",
            "is \"\", expected whole seconds, such as 3600",
        ),
        (
            "DEFAULT_TTL",
            "-1",
            "is \"-1\", expected whole seconds, such as 3600",
        ),
        ("DEFAULT_TTL", "0", "is 0, the least is 1"),
        (
            "CLEANUP_INTERVAL",
            "soon",
            "is \"soon\", expected whole seconds, such as 3600",
        ),
        (
            "BACKEND",
            "memcached",
            "is \"memcached\", expected local, redis or tiered",
        ),
        (
            "BACKEND",
            "redis://:hunter2@h",
            "is something else than expected: local, redis or tiered",
        ),
        (
            "DEFAULT_TTL",
            "3153600001",
            "is refused: default_ttl is 3153600001 seconds, the most is 3153600000 (100 years)",
        ),
        (
            "NAMESPACE",
            "a:b",
            "is refused: namespace holds ':', allowed are ASCII letters, digits, '-', '_' and '.'",
        ),
    ];
    for (suffix, value, problem) in cases {
        let variable = format!("BUILDSCALE_CACHE_{suffix}");
        assert_eq!(
            from_env_with(&[(&variable, value)]),
            format!("{variable} {problem}")
        );
    }
}

#[test]
fn a_backend_that_is_not_built_in_is_an_error_and_its_password_is_not_shown() {
    let url = (
        "BUILDSCALE_CACHE_REDIS_URL",
        "redis://:hunter2@127.0.0.1:6379",
    );
    #[cfg(not(feature = "tiered"))]
    assert_eq!(
        from_env_with(&[url, ("BUILDSCALE_CACHE_BACKEND", "tiered")]),
        "BUILDSCALE_CACHE_BACKEND asks for a backend that needs the feature `tiered`, \
         which is not built in"
    );
    #[cfg(not(feature = "redis"))]
    assert_eq!(
        from_env_with(&[url]),
        "BUILDSCALE_CACHE_REDIS_URL asks for a backend that needs the feature `redis`, \
         which is not built in"
    );
    let report = from_env_with(&[url, ("BUILDSCALE_CACHE_BACKEND", "local")]);
    assert_eq!(report, "ttl Some(11), in the root true");
}

#[cfg(feature = "redis")]
mod redis {
    use cache_testbed::{Flavor, Server};

    use super::from_env_with;

    #[test]
    fn a_url_gives_a_cache_in_redis_with_the_namespace_in_front_of_keys() {
        let server = Server::builder(Flavor::Redis7).start();
        let url = ("BUILDSCALE_CACHE_REDIS_URL", server.url());
        let default = from_env_with(&[(url.0, &url.1)]);
        assert_eq!(default, "ttl Some(11), in the root true");
        assert_eq!(server.command(&["PTTL", "cache:key"]).integer() / 1_000, 10);

        let named = [(url.0, &*url.1), ("BUILDSCALE_CACHE_NAMESPACE", "shop")];
        from_env_with(&named);
        assert_eq!(server.command(&["EXISTS", "shop:key"]).integer(), 1);
    }

    #[test]
    fn a_url_that_is_wrong_is_an_error_that_names_the_variable_and_shows_no_password() {
        let report = from_env_with(&[("BUILDSCALE_CACHE_REDIS_URL", "http://:hunter2@host")]);
        assert_eq!(
            report,
            "BUILDSCALE_CACHE_REDIS_URL is refused: url has an unknown scheme; known are redis, \
             rediss, redis-cluster, redis-sentinel, redis+unix and the same with valkey"
        );
        let report = from_env_with(&[("BUILDSCALE_CACHE_BACKEND", "redis")]);
        assert_eq!(
            report,
            "BUILDSCALE_CACHE_BACKEND asks for redis, but BUILDSCALE_CACHE_REDIS_URL is not set"
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_at_once() {
        let report =
            from_env_with(&[("BUILDSCALE_CACHE_REDIS_URL", "redis://:hunter2@127.0.0.1:1")]);
        assert_eq!(report, "connect: the store is unavailable");
    }

    #[test]
    fn a_namespace_that_is_none_is_refused_for_redis_too() {
        let report = from_env_with(&[
            ("BUILDSCALE_CACHE_REDIS_URL", "redis://127.0.0.1:1"),
            ("BUILDSCALE_CACHE_NAMESPACE", "a:b"),
        ]);
        assert_eq!(
            report,
            "BUILDSCALE_CACHE_NAMESPACE is refused: namespace holds ':', allowed are ASCII \
             letters, digits, '-', '_' and '.'"
        );
    }

    #[cfg(feature = "tiered")]
    #[test]
    fn two_tiers_are_one_variable_away() {
        let server = Server::builder(Flavor::Valkey9).start();
        let tiered = [
            ("BUILDSCALE_CACHE_REDIS_URL", &*server.url()),
            ("BUILDSCALE_CACHE_BACKEND", "tiered"),
            ("BUILDSCALE_CACHE_NAMESPACE", "shop"),
        ];
        assert_eq!(from_env_with(&tiered), "ttl Some(11), in the root true");
        assert_eq!(server.command(&["EXISTS", "shop:key"]).integer(), 1);
        let report = from_env_with(&tiered[1..]);
        assert_eq!(
            report,
            "BUILDSCALE_CACHE_BACKEND asks for tiered, but BUILDSCALE_CACHE_REDIS_URL is not set"
        );
    }
}
