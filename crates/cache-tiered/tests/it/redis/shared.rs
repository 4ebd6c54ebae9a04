//! Caches of one process that share a bus.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{BackendWrite, CacheBackend, Condition, EncodedBackend, Expiry, MsgPackCodec};
use cache_local::LocalBackend;
use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server};
use cache_tiered::{TieredBackend, TieredConfig};

use super::{BOUND, Tiered, eventually, warm};

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
