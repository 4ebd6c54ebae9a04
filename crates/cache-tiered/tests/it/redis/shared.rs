//! Caches of one process that share a bus.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    BackendWrite, CacheBackend, Condition, EncodedBackend, ErrorKind, Expiry, InvalidationBus,
    MsgPackCodec,
};
use cache_local::LocalBackend;
use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore, TrackingBus};
use cache_testbed::{Flavor, Server};
use cache_tiered::{TieredBackend, TieredConfig};

use super::{BOUND, Tiered, eventually, warm};

#[tokio::test]
async fn a_bus_of_another_partition_or_server_is_refused() {
    let (server, other) = (
        Server::builder(Flavor::Redis7).start(),
        Server::builder(Flavor::Redis7).start(),
    );
    let store = async |server: &Server| {
        let config = RedisConfig::standalone("127.0.0.1", server.port());
        RedisStore::connect(config).await.unwrap()
    };
    let (store, other) = (store(&server).await, store(&other).await);
    let users = store.partition("users").unwrap();
    for (of_bus, of_l2) in [(&store, &users), (&users, &store), (&other, &store)] {
        let buses: [Arc<dyn InvalidationBus>; 2] = [
            Arc::new(
                TrackingBus::connect(of_bus, BusConfig::new())
                    .await
                    .unwrap(),
            ),
            Arc::new(PubSubBus::connect(of_bus, BusConfig::new()).await.unwrap()),
        ];
        for bus in buses {
            let tiered = |store: &RedisStore| {
                let config = TieredConfig::with_shared_bus(Arc::clone(&bus));
                let l2 = EncodedBackend::new(store.clone(), MsgPackCodec::new());
                TieredBackend::<String, _, _>::new(LocalBackend::default(), l2, config)
            };
            let error = tiered(of_l2).expect_err("it is refused");
            assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
            assert!(error.to_string().starts_with("bus tells of another store"));
            // A clone of the store is the same store.
            assert!(tiered(of_bus).is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_that_share_a_bus_of_messages_hear_each_other() {
    let server = Server::builder(Flavor::Redis7).start();
    let config = RedisConfig::standalone("127.0.0.1", server.port());
    let store = RedisStore::connect(config).await.unwrap();
    let bus = PubSubBus::connect(&store, BusConfig::new().bound(BOUND)).await;
    let bus = Arc::new(bus.unwrap());
    let tiered = || {
        let l2 = EncodedBackend::new(store.clone(), MsgPackCodec::new());
        let config = TieredConfig::with_shared_bus(bus.clone());
        TieredBackend::new(LocalBackend::default(), l2, config).unwrap()
    };
    let nodes: [Tiered; 2] = [tiered(), tiered()];
    for node in &nodes {
        node.ready().await;
    }
    for round in 0..10 {
        let (writer, reader) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        let new = round.to_string();
        assert!(writer.set("key", new.clone(), options).await.unwrap());
        let is_new = || async { reader.get("key").await.unwrap().as_ref() == Some(&new) };
        // Longer than the bound for the sake of a slow machine; without a message it is a minute.
        eventually(Duration::from_secs(5), is_new).await;
        warm(reader, &["key"]).await;
        warm(writer, &["key"]).await;
    }
}
