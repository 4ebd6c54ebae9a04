//! Caches that a file describes, and the guide that says how.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildscale_cache::prelude::*;
use buildscale_cache::{
    Advice, BackendKind, BusKind, CodecKind, CompressionKind, MAX_TTL, OnBusLoss, TieredConfig,
};
use cache_testbed::{Flavor, Server};

const GUIDE: &str = include_str!("../../../../docs/configuration.md");

fn read(text: &str) -> Result<CacheSettings, String> {
    // Its other texts quote the file.
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

async fn refusal(text: &str) -> String {
    let settings = read(text).expect("it can be read");
    let refused = Cache::<String>::from_settings(settings).await;
    refused.expect_err("it is refused").to_string()
}

#[test]
fn the_example_of_the_guide_says_what_it_means() {
    let (_, rest) = GUIDE.split_once("```toml\n").expect("there is one");
    let (example, _) = rest.split_once("```").expect("it ends");
    let settings = read(example).expect("it is right");
    assert_eq!(settings.backend, Some(BackendKind::Tiered));
    assert_eq!(settings.namespace.as_deref(), Some("shop"));
    assert_eq!(settings.default_ttl, Some(Duration::from_secs(3600)));
    assert_eq!(settings.compression, CompressionKind::Lz4);
    assert_eq!(settings.codec, CodecKind::MsgPack);
    let hour = Duration::from_secs(3600);
    assert_eq!(settings.keep_stale, Some(hour));
    let loading = LoadOptions::new()
        .ttl_jitter(0.1)
        .fail_safe(hour, Duration::from_secs(5))
        .hard_timeout(Duration::from_secs(2));
    assert_eq!(settings.loading, loading);
    assert_eq!(settings.local.max_entries, Some(50_000));
    assert_eq!(settings.bus.kind, BusKind::Auto);
    assert_eq!(settings.bus.bound, Some(Duration::from_secs(2)));
    let tiered = settings.tiered.as_ref().expect("there is a section");
    assert_eq!(tiered.get_l1_ttl(), Some(Duration::from_secs(300)));
    let serve_for = OnBusLoss::ServeFor(Duration::from_secs(10));
    assert_eq!(tiered.get_on_bus_loss(), serve_for);
    let redis = format!("{:?}", settings.redis);
    assert!(
        redis.contains("host: \"cache.internal\", port: 6379"),
        "{redis}"
    );
    assert!(redis.contains("command_timeout: 250ms"), "{redis}");
    assert_eq!(settings.advice(), []);
}

#[test]
fn the_guide_lists_all_fields_of_all_sections() {
    for section in [
        "",
        "[loading]",
        "[loading.fail_safe]",
        "[local]",
        "[redis]",
        "[tiered]",
        "[bus]",
    ] {
        let refused = read(&format!("{section}\nnobody = 1")).expect_err("it is unknown");
        let (_, known) = refused.split_once("known are ").expect("they are listed");
        for field in known.split(", ") {
            let named = [format!("`{field}`"), format!("`[{field}]`")];
            let is_listed = named.iter().any(|name| GUIDE.contains(name));
            assert!(is_listed, "{section} {field}");
        }
    }
}

#[tokio::test]
async fn nothing_said_is_a_local_cache() {
    let cache: Cache<String> = Cache::from_settings(read("").unwrap()).await.unwrap();
    cache.set("key", "value").await.unwrap();
    assert_eq!(cache.ttl("key").await.unwrap(), None);
    assert_eq!(cache.stats().backend.entries, Some(1));
}

#[tokio::test]
async fn a_local_cache_is_bounded_and_named_as_the_file_says() {
    let text = "namespace = 'shop'\ndefault_ttl = '90s'\nlocal.max_entries = 2";
    let cache: Cache<String> = Cache::from_settings(read(text).unwrap()).await.unwrap();
    cache
        .mset(vec![("a", "1"), ("b", "2"), ("c", "3")])
        .await
        .unwrap();
    assert_eq!(cache.stats().backend.entries, Some(2));
    let root = Cache::<String, _>::with_backend(cache.backend().clone());
    let keys = root.keys().await.unwrap();
    assert!(
        keys.iter().all(|key| !["a", "b", "c"].contains(&&**key)),
        "{keys:?}"
    );
    let own = cache.keys().await.unwrap();
    assert_eq!(cache.ttl(&own[0]).await.unwrap(), Some(90));
}

#[tokio::test]
async fn values_are_in_redis_as_the_file_says() {
    let server = Server::builder(Flavor::Redis7).start();
    let text = format!("codec = 'json'\nraw = true\nredis.url = '{}'", server.url());
    let cache: Cache<String> = Cache::from_settings(read(&text).unwrap()).await.unwrap();
    cache.set("key", "value").await.unwrap();
    assert_eq!(server.command(&["GET", "cache:key"]).text(), "\"value\"");

    let text = format!(
        "namespace = 'small'\ncompression = 'zstd'\ndefault_ttl = '1m'\nredis.url = '{}'",
        server.url()
    );
    let cache: Cache<String> = Cache::from_settings(read(&text).unwrap()).await.unwrap();
    let page = "so it goes ".repeat(1_000);
    cache.set("page", page.clone()).await.unwrap();
    assert!(server.command(&["STRLEN", "small:page"]).integer() < 200);
    assert_eq!(cache.get("page").await.unwrap(), Some(page));
    assert_eq!(cache.ttl("page").await.unwrap(), Some(60));
}

#[tokio::test]
async fn two_tiers_keep_to_the_file_with_every_kind_of_bus() {
    let server = Server::builder(Flavor::Valkey9).start();
    for kind in ["auto", "tracking", "pubsub", "none"] {
        let text = format!(
            "namespace = '{kind}'\n[local]\nmax_entries = 2\n[redis]\nurl = '{}'\n[tiered]\n\
             [bus]\nkind = '{kind}'\nbound = '30s'",
            server.url()
        );
        let cache: Cache<String> = Cache::from_settings(read(&text).unwrap()).await.unwrap();
        let pairs = ["a", "b", "c"].map(|key| (key, "value"));
        cache.mset(pairs.to_vec()).await.unwrap();
        for key in ["a", "b", "c"] {
            assert_eq!(cache.get(key).await.unwrap().as_deref(), Some("value"));
        }
        assert!(cache.stats().hits_by_tier().is_some(), "{kind}");
        assert_eq!(
            server.command(&["EXISTS", &format!("{kind}:a")]).integer(),
            1
        );
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_and_the_field_named() {
    let cases = [
        (
            "backend = 'redis'",
            "redis is missing, but the backend is redis",
        ),
        (
            "backend = 'tiered'",
            "redis is missing, but the backend is tiered",
        ),
        (
            "namespace = 'a:b'",
            "namespace holds ':', allowed are ASCII letters, digits, '-', '_' and '.'",
        ),
        (
            "namespace = 'shop'\nredis.bare_keys = true",
            "namespace contradicts redis.bare_keys",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text).await, expected);
    }
    let cases = [
        (
            "backend = 'memcached'",
            "backend: unknown variant `memcached`, expected one of `local`",
        ),
        ("default_ttl = 30", "default_ttl: is 30, write \"30s\""),
        (
            "default_ttl = '0s'",
            "default_ttl is zero, the least is 1 ms",
        ),
        (
            "local.max_entries = 0",
            "local: max_entries is 0, the least is 1",
        ),
        ("bus.bound = 1", "bus: bound: is 1, write \"1s\""),
        (
            "redis.comand_timeout = '1s'",
            "redis: unknown field `comand_timeout`, did you mean `command_timeout`? known are url",
        ),
        (
            "[rediss]",
            "unknown field `rediss`, did you mean `redis`? known are backend, namespace",
        ),
    ];
    for (text, expected) in cases {
        let refused = read(text).expect_err(text);
        assert!(refused.starts_with(expected), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[tokio::test]
async fn what_no_bus_and_no_tiers_accept_is_refused_before_a_server_is_asked() {
    let cases = [
        (
            "bound = '90s'",
            "bus.bound is 90s, allowed are 100 ms to 60 s",
        ),
        (
            "bound = '1ms'",
            "bus.bound is 1ms, allowed are 100 ms to 60 s",
        ),
        (
            "capacity = 3",
            "bus.capacity is 3, allowed are 16 to 1048576",
        ),
        (
            "kind = 'none'\nbound = '1us'",
            "bus.bound is 1µs, the least is 1 ms",
        ),
    ];
    for (bus, expected) in cases {
        let text = format!("redis.url = 'redis://127.0.0.1:1'\n[tiered]\n[bus]\n{bus}");
        assert_eq!(refusal(&text).await, expected);
    }
    let mut settings = read("redis.url = 'redis://127.0.0.1:1'").unwrap();
    settings.tiered = Some(TieredConfig::default().recovery_capacity(0));
    let refused = Cache::<String>::from_settings(settings).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "tiered.recovery_capacity is 0, the least is 1"
    );
}

#[tokio::test]
async fn a_time_to_idle_takes_the_place_of_the_default_time_to_live() {
    let cache = async |text: &str| Cache::<String>::from_settings(read(text).unwrap()).await;
    let sessions = cache("time_to_idle = '30m'").await.unwrap();
    sessions.set("abc", "active").await.unwrap();
    assert_eq!(sessions.ttl("abc").await.unwrap(), Some(1800));
    sessions.expire("abc", 60).await.unwrap();
    sessions.get("abc").await.unwrap();
    assert_eq!(sessions.ttl("abc").await.unwrap(), Some(1800));

    let refused = [
        (
            "time_to_idle = '30m'\ndefault_ttl = '1h'",
            "time_to_idle contradicts default_ttl: a write that names no time to live takes this one",
        ),
        (
            "time_to_idle = '30m'\nloading.refresh_ahead = 0.8",
            "time_to_idle contradicts refresh_ahead and early_refresh: what is read does not come to its end",
        ),
        (
            "time_to_idle = '0s'",
            "time_to_idle is zero, the least is 1 ms",
        ),
    ];
    for (text, expected) in refused {
        assert_eq!(cache(text).await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_default_time_to_live_that_no_write_accepts_is_refused() {
    let least = "is zero, the least is 1 ms";
    let most = "is 3153600001 seconds, the most is 3153600000 (100 years)";
    let over = MAX_TTL + Duration::from_secs(1);
    for (ttl, problem) in [(Duration::ZERO, least), (over, most)] {
        let mut settings = CacheSettings::default();
        settings.default_ttl = Some(ttl);
        let refused = Cache::<String>::from_settings(settings).await;
        let refused = refused.expect_err("it is refused").to_string();
        assert_eq!(refused, format!("default_ttl {problem}"));
    }
    let refused = read("default_ttl = '876001h'").expect_err("it is too long");
    assert!(refused.starts_with("default_ttl is "), "{refused}");

    let mut settings = CacheSettings::default();
    settings.default_ttl = Some(Duration::MAX);
    let cache: Cache<String> = Cache::from_settings(settings).await.unwrap();
    cache.set("key", "value").await.unwrap();
    assert_eq!(cache.ttl("key").await.unwrap(), None);
}

#[test]
fn neither_settings_nor_their_refusal_show_a_password() {
    let settings = read("redis = { url = 'redis://:hunter2@h', password = 'hunter2' }").unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("password: Some(\"***\")"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let cases = [
        "redis = 'redis://:hunter2@h'",
        "redis = ['redis://:hunter2@h']",
        "redis.url = 'http://:hunter2@h'",
        "redis.url = ['redis://:hunter2@h']",
        "redis.password = ['hunter2']",
        "redis.password = { secret = 'hunter2' }",
        "redis.passwrd = 'hunter2'",
        "'redis://:hunter2@h' = 1",
        "redis.'redis://:hunter2@h' = 1",
        "backend = 'redis://:hunter2@h'",
        "backend = { 'redis://:hunter2@h' = 1 }",
        "codec = 'redis://:hunter2@h'",
        "compression = 'hunter2@h'",
        "raw = 'redis://:hunter2@h'",
        "default_ttl = 'redis://:hunter2@h'",
        "bus.kind = 'redis://:hunter2@h'",
        "bus.capacity = 'redis://:hunter2@h'",
        "tiered.on_bus_loss = 'redis://:hunter2@h'",
        "tiered.on_bus_loss = { serve_for = 'redis://:hunter2@h' }",
        "redis.protocol = 'redis://:hunter2@h'",
        "redis.max_value_bytes = 'redis://:hunter2@h'",
        "redis.reconnect_delays = ['redis://:hunter2@h', '1s']",
        "[redis]\npassword = 'hunter2'\npool_size = 0",
    ];
    for text in cases {
        let refused = read(text).expect_err(text);
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    assert_eq!(
        read("backend = 'redis://:hunter2@h'").expect_err("it is none"),
        "backend: unknown variant, expected one of local, redis, tiered"
    );
    let user = read("redis.url = 'redis://hunter2@h'").expect("it is a user name");
    assert!(!format!("{user:?}").contains("hunter2"), "{user:?}");
    // Where toml quotes a line, it is not that of a password of the wrong type.
    for wrong in ["7700012", "77.00012", "true", "1977-12-07"] {
        let text = format!("[redis]\ndatabase = 1\npassword = {wrong}");
        let refused = toml::from_str::<CacheSettings>(&text)
            .expect_err(wrong)
            .to_string();
        assert!(refused.contains("password is no text"), "{refused}");
        assert!(!refused.contains(wrong), "{refused}");
    }
}

/// The lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics while logging")
            .extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_advice_is_logged_once_as_a_warning() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(move || writer.clone())
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);

    let mut settings = CacheSettings::default();
    settings.backend = Some(BackendKind::Tiered);
    settings.tiered = Some(TieredConfig::default().l1_ttl(Duration::from_millis(10)));
    settings.raw = true;
    settings.compression = CompressionKind::Lz4;
    let advice = settings.advice();
    assert_eq!(advice.len(), 2);
    assert_eq!(advice[0], Advice::RawWithCompression);
    // Before a server is asked for.
    Cache::<String>::from_settings(settings)
        .await
        .expect_err("there is no server");

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, advice) in lines.iter().zip(advice) {
        assert!(line.contains(" WARN "), "{line}");
        assert!(line.contains(&advice.to_string()), "{line}");
        assert!(
            line.contains(&format!("field=\"{}\"", advice.field())),
            "{line}"
        );
    }
}
