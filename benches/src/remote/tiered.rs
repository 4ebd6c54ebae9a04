//! Buildscale Cache over memory and Redis.

use std::sync::Arc;

use cache_core::{Cache, MsgPackCodec};
use cache_local::{LocalBackend, LocalConfig};
use cache_redis::{BusConfig, RedisBackend, RedisConfig, RedisStore, TrackingBus};
use cache_tiered::{Promoted, TieredBackend, TieredConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Ours, TTL, Target};

async fn store(target: &Target) -> RedisStore {
    let config = RedisConfig::from_url(&target.url_of_ours()).expect("the URL is one");
    let store = RedisStore::connect(config).await;
    store.expect("the server is there")
}

/// Joins a first tier and a store, and waits until the first tier may serve.
async fn tiered<V>(l1: LocalBackend<Promoted<V>>, store: RedisStore) -> Cache<V>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let bus = TrackingBus::connect(&store, BusConfig::new()).await;
    let config = TieredConfig::with_bus(bus.expect("the server tracks"));
    let l2 = RedisBackend::new(store, MsgPackCodec::new());
    let tiered = TieredBackend::new(l1, l2, config.l1_ttl(TTL * 60));
    let tiered = Arc::new(tiered.expect("the options are right"));
    tiered.ready().await;
    Cache::new(tiered).with_default_ttl(TTL)
}

impl Ours {
    /// Connects over two tiers, of which the first is too small to be of use: what is measured is the
    /// way to the second.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn connect_tiered(target: &Target) -> Self {
        let l1 = LocalBackend::new(LocalConfig::new().max_entries(1));
        let l1 = l1.expect("the options are right");
        Self(tiered(l1, store(target).await).await)
    }
}

/// Connects a cache of two tiers of which the first holds everything, for hits in it.
///
/// # Panics
/// If there is no server.
pub async fn tiered_hits(target: &Target) -> Cache<u64> {
    let store = store(target).await.partition("hits");
    tiered(LocalBackend::default(), store.expect("the name is one")).await
}
