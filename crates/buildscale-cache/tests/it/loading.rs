//! How values are loaded, as a file says.

use std::future;
use std::io;
use std::time::Duration;

use buildscale_cache::prelude::*;
use buildscale_cache::{Advice, BackendKind, ErrorKind};
use cache_testbed::{Flavor, Server};

const HOUR: Duration = Duration::from_secs(3600);

fn read(text: &str) -> Result<CacheSettings, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

async fn open(text: &str) -> Cache<u32> {
    let settings = read(text).expect("it can be read");
    Cache::from_settings(settings).await.expect("it works")
}

/// Returns once the value of the key has ended.
async fn end(cache: &Cache<u32>, key: &str) {
    while cache.get(key).await.expect("it can be read").is_some() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_load_option_can_be_said() {
    let text = "keep_stale = '2h'\n[loading]\nttl = '1m'\nttl_jitter = 0.25\n\
                stale_while_revalidate = '30s'\nfail_safe = { max_stale = '1h', throttle = '5s' }\n\
                refresh_ahead = 0.5\nearly_refresh = 1\nsoft_timeout = '100ms'\n\
                hard_timeout = '2s'\nabsent_ttl = '10s'\nfail_on_outage = true\n\
                lease_ttl = '7s'\nallow_tags = false";
    let settings = read(text).unwrap();
    let expected = LoadOptions::new()
        .ttl(60)
        .ttl_jitter(0.25)
        .stale_while_revalidate(Duration::from_secs(30))
        .fail_safe(HOUR, Duration::from_secs(5))
        .refresh_ahead(0.5)
        .early_refresh(1.0)
        .soft_timeout(Duration::from_millis(100))
        .hard_timeout(Duration::from_secs(2))
        .absent_ttl(Duration::from_secs(10))
        .fail_on_outage(true)
        .lease_ttl(Duration::from_secs(7))
        .allow_tags(false);
    assert_eq!(settings.loading, expected);
    assert_eq!(settings.keep_stale, Some(2 * HOUR));
    assert_eq!(settings.advice(), []);
    assert_eq!(read("").unwrap().loading, LoadOptions::new());
    assert_eq!(read("").unwrap().keep_stale, None);
}

#[tokio::test(start_paused = true)]
async fn a_cache_loads_as_the_file_says() {
    let text =
        "default_ttl = '10s'\nloading = { ttl = '90s', absent_ttl = '1h', hard_timeout = '1h' }";
    let cache = open(text).await;
    cache
        .get_or_insert_with("answer", async || 42)
        .await
        .unwrap();
    assert_eq!(cache.ttl("answer").await.unwrap(), Some(90));
    cache.set("written", 1u32).await.unwrap();
    assert_eq!(cache.ttl("written").await.unwrap(), Some(10));

    for _ in 0..2 {
        let nothing = async |_| Ok::<_, io::Error>(None::<u32>);
        assert_eq!(cache.entry("nobody").or_load(nothing).await.unwrap(), None);
    }
    assert_eq!(cache.stats().loads.loads, 2);

    let endless = cache.get_or_insert_with("endless", future::pending).await;
    let refused = endless.unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::LoadTimeout { limit, .. } if *limit == HOUR),
        "{refused}"
    );
}

#[tokio::test]
async fn copies_are_kept_and_served_as_the_file_says() {
    let server = Server::builder(Flavor::Valkey9).start();
    let redis = format!("redis.url = '{}'", server.url());
    for backend in ["local", "redis", "tiered"] {
        let redis = if backend == "local" { "" } else { &redis };
        let text = format!(
            "backend = '{backend}'\nnamespace = '{backend}'\nkeep_stale = '1h'\n{redis}\n[loading]\n\
             ttl = '1ms'\nfail_safe = {{ max_stale = '1h', throttle = '5s' }}"
        );
        let cache = open(&text).await;
        cache
            .get_or_insert_with("answer", async || 42)
            .await
            .unwrap();
        end(&cache, "answer").await;
        let down = async || Err(io::Error::other("down"));
        let found = cache.get_or_try_insert_with("answer", down).await;
        assert_eq!(found.unwrap(), 42, "{backend}");

        let text = text
            .replace("keep_stale = '1h'", "")
            .replace("fail_safe", "#");
        let cache = open(&text.replace("namespace = '", "namespace = 'no-")).await;
        cache
            .get_or_insert_with("answer", async || 42)
            .await
            .unwrap();
        end(&cache, "answer").await;
        let failed = cache.get_or_try_insert_with("answer", down).await;
        failed.expect_err("there is no copy");
    }
}

#[tokio::test]
async fn code_adds_to_what_settings_say_before_the_cache_is_built() {
    let server = Server::builder(Flavor::Valkey9).start();
    let redis = format!("redis.url = '{}'", server.url());
    for backend in ["local", "redis", "tiered"] {
        let redis = if backend == "local" { "" } else { &redis };
        // The copies that it asks for are kept by the code.
        let text = format!(
            "backend = '{backend}'\nnamespace = '{backend}'\n{redis}\n[loading]\nttl = '1m'\n\
             stale_while_revalidate = '1h'"
        );
        let builder = || Cache::<u32>::builder_from_settings(read(&text).unwrap());
        let refused = builder().await.unwrap().build().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "stale_while_revalidate is 3600s, but the cache has keep_stale of 0ns"
        );
        let cache = builder().await.unwrap().keep_stale(HOUR).build().unwrap();
        cache
            .get_or_insert_with("answer", async || 42)
            .await
            .unwrap();
        assert_eq!(cache.ttl("answer").await.unwrap(), Some(60));

        let longer = LoadOptions::new().ttl(90);
        let cache = builder()
            .await
            .unwrap()
            .load_options(longer)
            .build()
            .unwrap();
        cache
            .get_or_insert_with("other", async || 42)
            .await
            .unwrap();
        assert_eq!(cache.ttl("other").await.unwrap(), Some(90));
    }
    assert_eq!(server.command(&["EXISTS", "redis:other"]).integer(), 1);
    assert_eq!(server.command(&["EXISTS", "tiered:other"]).integer(), 1);
}

#[tokio::test]
async fn load_options_that_cannot_work_are_refused_and_the_field_named() {
    let cases = [
        (
            "stale_while_revalidate = '1h'",
            "loading.stale_while_revalidate is 3600s, but the cache has keep_stale of 60s",
        ),
        (
            "fail_safe = { max_stale = '1h', throttle = '1s' }",
            "loading.fail_safe is 3600s, but the cache has keep_stale of 60s",
        ),
    ];
    for (loading, expected) in cases {
        // Before a server is asked.
        let text =
            format!("keep_stale = '1m'\nredis.url = 'redis://127.0.0.1:1'\n[loading]\n{loading}");
        let settings = read(&text).unwrap();
        let refused = Cache::<u32>::from_settings(settings).await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    let cases = [
        ("ttl = 30", "loading: ttl: is 30, write \"30s\""),
        ("ttl = '0s'", "loading: ttl is zero, the least is 1 ms"),
        (
            "ttl_jitter = 2.0",
            "loading: ttl_jitter is 2, the least is 0 and the most is 1",
        ),
        (
            "early_refresh = -1",
            "loading: early_refresh is -1, the least is 0",
        ),
        (
            "lease_ttl = '1ms'",
            "loading: lease_ttl is 1ms, the least is 100ms and the most 3600s",
        ),
        (
            "hard_timout = '1s'",
            "loading: unknown field `hard_timout`, did you mean `hard_timeout`? known are ttl, ",
        ),
        (
            "fail_safe = { max_stale = '1h' }",
            "loading: fail_safe: missing field `throttle`",
        ),
        (
            "fail_safe = { max_stale = '1h', throtle = '1s' }",
            "loading: fail_safe: unknown field `throtle`, did you mean `throttle`? known are \
             max_stale, throttle",
        ),
        (
            "fail_safe = '1h'",
            "loading: fail_safe: is a text, expected a table",
        ),
    ];
    for (loading, expected) in cases {
        let refused = read(&format!("[loading]\n{loading}")).expect_err(loading);
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn a_soft_timeout_that_serves_nothing_is_noticed() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let too_long = Advice::SoftTimeoutTooLong {
        soft_timeout: minute,
        hard_timeout: second,
    };
    for backend in [BackendKind::Local, BackendKind::Redis, BackendKind::Tiered] {
        let mut settings = CacheSettings::default();
        settings.backend = Some(backend);
        settings.loading = LoadOptions::new().soft_timeout(minute);
        assert_eq!(settings.advice(), [Advice::SoftTimeoutWithoutFailSafe]);
        settings.loading = settings.loading.fail_safe(HOUR, second);
        assert_eq!(settings.advice(), []);
        settings.loading = settings.loading.hard_timeout(second);
        assert_eq!(settings.advice(), [too_long]);
        settings.loading = settings.loading.soft_timeout(second / 2);
        assert_eq!(settings.advice(), []);
    }
    assert_eq!(too_long.field(), "loading.soft_timeout");
    assert_eq!(
        too_long.to_string(),
        "loading.soft_timeout is 60s, but loading.hard_timeout ends the wait after 1s; lower the one \
         or raise the other"
    );
    assert_eq!(
        Advice::SoftTimeoutWithoutFailSafe.to_string(),
        "loading.soft_timeout has no effect: without loading.fail_safe there is no value to serve; \
         set that or leave this out"
    );
}
