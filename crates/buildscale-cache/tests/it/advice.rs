//! What settings are warned of, and that usual ones are not.

use std::time::Duration;

use buildscale_cache::{
    Advice, BackendKind, BusKind, CacheConfig, CacheSettings, CompressionKind, OnBusLoss,
    OnL2Error, RedisConfig, TieredConfig, WritePolicy,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn tiered() -> CacheSettings {
    let mut settings = CacheSettings::default();
    settings.backend = Some(BackendKind::Tiered);
    settings.redis = Some(RedisConfig::default());
    settings
}

/// Two tiers with these options.
fn with(config: TieredConfig) -> CacheSettings {
    let mut settings = tiered();
    settings.tiered = Some(config);
    settings
}

#[test]
fn the_defaults_of_all_backends_give_none() {
    for backend in [BackendKind::Local, BackendKind::Redis, BackendKind::Tiered] {
        let mut settings = CacheSettings::default();
        settings.backend = Some(backend);
        assert_eq!(settings.advice(), [], "{backend:?}");
        if backend != BackendKind::Local {
            settings.redis = Some(RedisConfig::default());
            assert_eq!(settings.advice(), [], "{backend:?}");
        }
    }
    for kind in [
        BusKind::Auto,
        BusKind::Tracking,
        BusKind::PubSub,
        BusKind::None,
    ] {
        let mut settings = tiered();
        settings.bus.kind = kind;
        assert_eq!(settings.advice(), [], "{kind:?}");
    }
}

#[test]
fn sections_that_the_backend_does_not_use_are_noticed() {
    let without_use = |section, backend| Advice::SectionWithoutUse { section, backend };
    let mut settings = with(TieredConfig::default());
    settings.local.max_entries = Some(7);
    settings.bus.bound = Some(2 * SECOND);
    assert_eq!(settings.advice(), []);
    for (backend, sections) in [
        (BackendKind::Local, ["redis", "tiered", "bus"]),
        (BackendKind::Redis, ["local", "tiered", "bus"]),
    ] {
        settings.backend = Some(backend);
        let expected = sections.map(|section| without_use(section, backend));
        assert_eq!(settings.advice(), expected);
    }
    assert_eq!(settings.advice()[2].field(), "bus");
    assert_eq!(
        settings.advice()[2].to_string(),
        "bus has no effect: the backend is redis, which does not use it; leave it out or choose a \
         backend that does"
    );
    // Without `tiered` the sections ask for plain Redis.
    settings.backend = None;
    settings.tiered = None;
    settings.local.max_entries = None;
    assert_eq!(settings.advice(), [without_use("bus", BackendKind::Redis)]);
    // What a configuration for any backend says is not about the one.
    let config = CacheConfig {
        cleanup_interval_seconds: 5,
        default_ttl_seconds: Some(60),
    };
    let mut settings = CacheSettings::from(config);
    settings.redis = Some(RedisConfig::default());
    assert_eq!(settings.advice(), []);
}

#[test]
fn a_default_time_to_live_below_the_default_of_memory_gives_none() {
    let mut settings = tiered();
    settings.default_ttl = Some(SECOND);
    assert_eq!(settings.advice(), []);
}

#[test]
fn memory_that_would_outlive_the_second_tier_is_noticed() {
    let mut settings = with(TieredConfig::default().l1_ttl(10 * MINUTE));
    assert_eq!(settings.advice(), []);
    let found = [Advice::L1OutlivesL2 {
        l1_ttl: 10 * MINUTE,
        default_ttl: 5 * MINUTE,
    }];
    settings.default_ttl = Some(5 * MINUTE);
    assert_eq!(settings.advice(), found);
    assert_eq!(found[0].field(), "tiered.l1_ttl");
    assert_eq!(
        found[0].to_string(),
        "tiered.l1_ttl is 600s, but the second tier ends values after the default_ttl of 300s, \
         and memory with it; lower the one or raise the other"
    );
    settings.default_ttl = Some(10 * MINUTE);
    assert_eq!(settings.advice(), []);
    settings.default_ttl = Some(5 * MINUTE);
    settings.bus.kind = BusKind::None;
    settings.bus.bound = Some(MINUTE);
    assert_eq!(settings.advice()[0], found[0]);
    // As long as the second tier does, whatever that is.
    settings = with(TieredConfig::default().l1_ttl(Duration::MAX));
    settings.default_ttl = Some(MINUTE);
    assert_eq!(settings.advice(), []);
}

#[test]
fn a_long_time_in_memory_without_a_bus_is_noticed() {
    let mut settings = with(TieredConfig::default().l1_ttl(5 * MINUTE));
    settings.bus.kind = BusKind::None;
    let capped = Advice::L1TtlWithoutBus {
        l1_ttl: 5 * MINUTE,
        bound: SECOND,
    };
    assert_eq!(settings.advice(), [capped]);
    settings.bus.bound = Some(2 * MINUTE);
    assert_eq!(
        settings.advice(),
        [Advice::StaleWithoutBus { age: 2 * MINUTE }]
    );
    settings.bus.bound = Some(MINUTE);
    let capped = Advice::L1TtlWithoutBus {
        l1_ttl: 5 * MINUTE,
        bound: MINUTE,
    };
    assert_eq!(settings.advice(), [capped]);
    settings.tiered = Some(TieredConfig::default().l1_ttl(SECOND));
    assert_eq!(settings.advice(), []);
}

#[test]
fn values_that_end_early_are_not_stale_for_longer_without_a_bus() {
    let mut settings = with(TieredConfig::default().l1_ttl(Duration::MAX));
    settings.bus.kind = BusKind::None;
    settings.bus.bound = Some(10 * MINUTE);
    let age = 2 * MINUTE;
    settings.default_ttl = Some(age);
    assert_eq!(settings.advice(), [Advice::StaleWithoutBus { age }]);
    settings.default_ttl = Some(MINUTE);
    assert_eq!(settings.advice(), []);
    // The second tier ends values before the bound does.
    settings.tiered = Some(TieredConfig::default().l1_ttl(20 * MINUTE));
    let outlives = Advice::L1OutlivesL2 {
        l1_ttl: 20 * MINUTE,
        default_ttl: MINUTE,
    };
    assert_eq!(settings.advice(), [outlives]);
}

#[test]
fn a_bus_that_memory_does_not_need_is_noticed() {
    let l1_ttl = SECOND / 2;
    let settings = with(TieredConfig::default().l1_ttl(l1_ttl));
    let found = Advice::BusWithoutUse {
        l1_ttl,
        bound: SECOND,
    };
    assert_eq!(settings.advice(), [found]);
}

#[test]
fn room_for_less_than_the_bus_takes_at_once_is_noticed() {
    let mut settings = tiered();
    settings.bus.capacity = Some(1_024);
    assert_eq!(settings.advice(), []);
    settings.bus.capacity = Some(1_023);
    assert_eq!(
        settings.advice(),
        [Advice::SmallBusCapacity { capacity: 1_023 }]
    );
    settings.bus.kind = BusKind::None;
    assert_eq!(settings.advice(), []);
}

#[test]
fn compression_without_an_envelope_is_noticed_where_there_is_a_store() {
    let mut settings = tiered();
    settings.raw = true;
    settings.compression = CompressionKind::Zstd;
    assert_eq!(settings.advice(), [Advice::RawWithCompression]);
    settings.backend = Some(BackendKind::Redis);
    assert_eq!(settings.advice(), [Advice::RawWithCompression]);
    settings.backend = Some(BackendKind::Local);
    settings.redis = None;
    assert_eq!(settings.advice(), []);
}

#[test]
fn policies_that_give_up_a_short_bound_are_noticed() {
    let config = TieredConfig::default()
        .on_bus_loss(OnBusLoss::ServeFor(MINUTE))
        .on_l2_error(OnL2Error::ServeL1)
        .write_policy(WritePolicy::LocalOnOutage);
    let mut settings = with(config);
    assert_eq!(settings.advice(), []);
    settings.bus.bound = Some(SECOND);
    assert_eq!(settings.advice(), []);
    let bound = SECOND / 2;
    settings.bus.bound = Some(bound);
    let given_up = |policy| Advice::BoundGivenUp { policy, bound };
    assert_eq!(
        settings.advice(),
        [
            given_up("tiered.on_bus_loss"),
            given_up("tiered.on_l2_error"),
            given_up("tiered.write_policy"),
        ]
    );
    assert_eq!(settings.advice()[1].field(), "tiered.on_l2_error");
}

#[test]
fn what_to_do_when_the_bus_is_lost_is_noticed_where_there_is_none() {
    let mut settings = with(TieredConfig::default().on_bus_loss(OnBusLoss::ServeUntilTtl));
    settings.bus.kind = BusKind::None;
    assert_eq!(settings.advice(), [Advice::BusLossWithoutBus]);
}

#[test]
fn what_is_said_twice_is_noticed() {
    let mut settings = CacheSettings::default();
    settings.redis = Some(RedisConfig::default().namespace("a"));
    settings.namespace = Some("b".to_owned());
    let twice = Advice::SetTwice {
        field: "namespace",
        of_backend: "redis.namespace",
    };
    assert_eq!(settings.advice(), [twice]);
    settings.redis = Some(RedisConfig::default().namespace("b"));
    assert_eq!(settings.advice(), []);
}
