//! Stores, servers and users with which there can be no bus.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, ErrorKind, InvalidationBus};
use cache_redis::{BusConfig, Protocol, PubSubBus, RedisStore, TrackingBus};
use cache_testbed::{Cluster, Flavor, Server};

use crate::bus::recorder::{Event, Recorder};
use crate::bus::{BOUND, Kind, Listening, config, store};

async fn refusals(store: &RedisStore) -> [Option<ErrorKind>; 2] {
    let kind = |error: Error| error.kind().clone();
    let tracking = TrackingBus::connect(store, BusConfig::new()).await;
    let pubsub = PubSubBus::connect(store, BusConfig::new()).await;
    [tracking.err().map(kind), pubsub.err().map(kind)]
}

fn is_unsupported(kind: &Option<ErrorKind>) -> bool {
    matches!(kind, Some(ErrorKind::Unsupported { .. }))
}

#[tokio::test]
async fn options_out_of_their_limits_are_refused_by_name() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = store(&server.url()).await;
    let ms = Duration::from_millis;
    let cases = [
        (
            BusConfig::new().bound(ms(99)),
            "bound is 99ms, allowed are 100 ms to 60 s",
        ),
        (
            BusConfig::new().bound(ms(60_001)),
            "bound is 60.001s, allowed are 100 ms to 60 s",
        ),
        (
            BusConfig::new().capacity(15),
            "capacity is 15, allowed are 16 to 1048576",
        ),
        (
            BusConfig::new().capacity(1 << 21),
            "capacity is 2097152, allowed are 16 to 1048576",
        ),
    ];
    for (config, text) in cases {
        let errors = [
            TrackingBus::connect(&store, config.clone())
                .await
                .unwrap_err(),
            PubSubBus::connect(&store, config).await.unwrap_err(),
        ];
        assert_eq!(errors.map(|error| error.to_string()), [text; 2]);
    }
}

#[tokio::test]
async fn a_bus_on_another_server_than_the_data_confirms_nothing() {
    let (server, stranger) = (
        Server::builder(Flavor::Redis7).start(),
        Server::builder(Flavor::Redis7).start(),
    );
    let store = store(&server.url()).await;
    let is_confirmed = async |kind, url: &str| {
        let (way, options) = (config(url), BusConfig::new().bound(BOUND));
        let bus: Arc<dyn InvalidationBus> = match kind {
            Kind::Tracking => Arc::new(
                TrackingBus::connect_over(&store, &way, options)
                    .await
                    .unwrap(),
            ),
            Kind::PubSub => Arc::new(
                PubSubBus::connect_over(&store, &way, options)
                    .await
                    .unwrap(),
            ),
        };
        let recorder = Arc::new(Recorder::new());
        let listening = bus.listen(Arc::clone(&recorder) as _);
        assert!(tokio::time::timeout(3 * BOUND, listening).await.is_err());
        let is_confirmed = |(_, event): &_| matches!(event, Event::CaughtUp(_));
        recorder.events().iter().any(is_confirmed)
    };
    for kind in [Kind::Tracking, Kind::PubSub] {
        assert!(is_confirmed(kind, &server.url()).await, "{kind:?}");
        assert!(!is_confirmed(kind, &stranger.url()).await, "{kind:?}");
    }
}

#[tokio::test]
async fn bare_keys_and_the_older_protocol_are_unsupported() {
    let server = Server::builder(Flavor::Redis7).start();
    let bare = RedisStore::connect(config(&server.url()).bare_keys())
        .await
        .unwrap();
    assert!(refusals(&bare).await.iter().all(is_unsupported));
    let older = config(&server.url()).protocol(Protocol::Resp2);
    let [tracking, pubsub] = refusals(&RedisStore::connect(older).await.unwrap()).await;
    assert!(is_unsupported(&tracking));
    assert_eq!(pubsub, None);
}

#[tokio::test]
async fn servers_without_client_tracking_are_unsupported() {
    let server = Server::builder(Flavor::Redis7);
    let server = server.arg("rename-command", "CLIENT NONE").start();
    let [tracking, pubsub] = refusals(&store(&server.url()).await).await;
    assert!(is_unsupported(&tracking), "{tracking:?}");
    assert_eq!(pubsub, None);
}

#[tokio::test]
async fn what_a_user_may_not_do_is_unauthorized() {
    let server = Server::builder(Flavor::Redis7);
    let server = server.acl_user("app on >pw ~cache:* -@all +get +set +ping +hello +client|id");
    let server = server.start();
    let config = config(&server.url()).username("app").password("pw");
    let store = RedisStore::connect(config).await.unwrap();
    let refused = Some(ErrorKind::Unauthorized);
    assert_eq!(refusals(&store).await, [refused.clone(), refused]);
}

#[tokio::test]
async fn channels_that_a_user_may_not_hear_are_unauthorized() {
    let server = Server::builder(Flavor::Valkey9);
    let server = server.acl_user("app on >pw ~* &other:* +@all").start();
    let config = config(&server.url()).username("app").password("pw");
    let store = RedisStore::connect(config).await.unwrap();
    assert_eq!(
        refusals(&store).await,
        [None, Some(ErrorKind::Unauthorized)]
    );
}

#[tokio::test]
async fn a_bus_for_a_server_that_is_away_begins_when_the_store_may() {
    for kind in [Kind::Tracking, Kind::PubSub] {
        let server = Server::builder(Flavor::Redis7).start();
        let url = server.url();
        let eager = store(&url).await;
        server.kill();
        assert!(refusals(&eager).await.iter().all(Option::is_some));
        let lazy = RedisStore::connect(config(&url).connect_lazily(true))
            .await
            .unwrap();
        let bus = crate::bus::bus(kind, &lazy, BusConfig::new().bound(BOUND)).await;
        server.restart();
        let recorder = Arc::new(Recorder::new());
        let listening = bus.listen(Arc::clone(&recorder) as _);
        tokio::select! {
            () = listening => unreachable!("it does not end"),
            _ = recorder.caught_up() => {}
        }
    }
}

#[tokio::test]
async fn a_bus_works_for_a_store_with_a_client_of_the_user() {
    use cache_redis::RedisConfig;
    use cache_redis::fred::prelude::{Builder, ClientLike, Config};
    use cache_redis::fred::types::RespVersion;

    let server = Server::builder(Flavor::Redis8).start();
    let mut config = Config::from_url(&server.url()).unwrap();
    config.version = RespVersion::RESP3;
    let client = Builder::from_config(config).build().unwrap();
    client.init().await.unwrap();
    let store = RedisStore::from_client(&client, &RedisConfig::default()).unwrap();
    for kind in [Kind::Tracking, Kind::PubSub] {
        let config = BusConfig::new().bound(BOUND);
        let listening = Listening::with(kind, &store, config).await;
        listening.recorder.caught_up().await;
    }
}

/// The user of the guide with what it needs for buses.
fn user_of_the_guide() -> (String, Vec<String>) {
    let guide = include_str!("../../../../../docs/redis.md");
    let part = |begin: &str| {
        let text = guide
            .split(begin)
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        text.expect("the guide has it")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let buses = part("ACL SETUSER app &shop:*");
    let buses = buses.split(' ').map(str::to_owned);
    let buses = ["&shop:*".to_owned()].into_iter().chain(buses).collect();
    (part("ACL SETUSER app on"), buses)
}

#[tokio::test]
async fn the_least_privileged_user_of_the_guide_is_enough_for_a_bus() {
    let (user, buses) = user_of_the_guide();
    let grant = |server: &Server, more: &[&str]| {
        let words = ["ACL", "SETUSER", "app", "on"].into_iter();
        let words = words.chain(user.split(' ').filter(|word| *word != "+msetex"));
        let words: Vec<&str> = words.chain(buses.iter().map(String::as_str)).collect();
        server.command(&[&words, more].concat()).assert_ok();
    };
    let server = Server::builder(Flavor::Redis7).start();
    grant(&server, &[]);
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    for node in cluster.nodes() {
        grant(node, &["+cluster|slots", "+asking"]);
    }
    for url in [server.url(), cluster.url()] {
        let config = config(&url).namespace("shop").username("app");
        let store = RedisStore::connect(config.password("secret"))
            .await
            .unwrap();
        for kind in [Kind::Tracking, Kind::PubSub] {
            let listening = Listening::with(kind, &store, BusConfig::new().bound(BOUND)).await;
            listening.recorder.caught_up().await;
        }
    }
}
