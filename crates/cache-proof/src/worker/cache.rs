//! The cache that is put to the proof.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Cache, EncodedBackend, InvalidationBus, LoadOptions, MsgPackCodec, Result};
use cache_local::{LocalBackend, LocalConfig};
use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore, TrackingBus};
use cache_tiered::{TieredBackend, TieredConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TASKS;
use super::load_task::LEASE;
use crate::plan::{BOUND, Mode, Order};

/// Builds the cache, of which a command may take `timeout`, and waits until its first tier may serve.
pub(crate) async fn build_cache<V>(order: &Order, timeout: Duration) -> Result<Cache<V>>
where
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let store = RedisStore::connect(config(&order.data_url, timeout)?).await?;
    let l2 = EncodedBackend::new(store, MsgPackCodec::new());
    let options = LoadOptions::new().lease_ttl(LEASE);
    let tiers = match order.mode {
        Mode::Redis => return Cache::builder(l2).load_options(options).build(),
        Mode::NoBus => TieredConfig::without_bus(BOUND),
        Mode::Tracking | Mode::PubSub => {
            let bus = bus(l2.store(), order, timeout).await?;
            TieredConfig::with_shared_bus(bus)
        }
    };
    // Room for all but a few, so that some are evicted.
    let entries = u64::from(all_keys(order.keys)) * 9 / 10;
    let l1 = LocalBackend::new(LocalConfig::new().max_entries(entries))?;
    let backend = Arc::new(TieredBackend::new(l1, l2, tiers)?);
    backend.ready().await;
    Cache::builder(backend).load_options(options).build()
}

/// Makes a bus that goes another way than the data, so that its connections can break alone.
async fn bus(
    store: &RedisStore,
    order: &Order,
    timeout: Duration,
) -> Result<Arc<dyn InvalidationBus>> {
    let way = config(&order.bus_url, timeout)?;
    // So little room that a worker which stood still lags.
    let config = BusConfig::new().bound(BOUND).capacity(64);
    Ok(match order.mode {
        Mode::PubSub => Arc::new(PubSubBus::connect_over(store, &way, config).await?),
        _ => Arc::new(TrackingBus::connect_over(store, &way, config).await?),
    })
}

fn config(url: &str, timeout: Duration) -> Result<RedisConfig> {
    let config = RedisConfig::from_url(url)?;
    // On one connection a read could not overtake a write.
    let config = config.pool_size(2);
    Ok(config.namespace(NAMESPACE).command_timeout(timeout))
}

/// How many tasks write, over all processes.
pub(crate) const WRITERS: u32 = 4 * TASKS;

/// The namespace of the proof in the store.
const NAMESPACE: &str = "proof";

/// Returns the name of a key, as the cache knows it.
pub(crate) fn name(key: u32) -> String {
    format!("key:{key}")
}

/// Returns how many keys there are if so many are written: those that are loaded come after them.
pub(crate) const fn all_keys(keys: u32) -> u32 {
    keys + keys / 4
}

/// Tells whether a key that is loaded has a tag, by which its writer invalidates it at times.
pub(crate) const fn is_loaded_with_tag(key: u32, keys: u32) -> bool {
    key >= keys + keys / 8
}

/// Tells whether a key of so many is in a namespace that its writer clears at times.
pub(crate) const fn is_cleared(key: u32, keys: u32) -> bool {
    keys / 2 <= key && key < keys
}

/// Returns the name of the namespace of a key that is cleared: of each writer its own.
pub(crate) fn namespace(key: u32) -> String {
    format!("of-{}", key % WRITERS)
}

/// Returns the name of a key of so many in the store.
pub(crate) fn stored_name(key: u32, keys: u32) -> String {
    match is_cleared(key, keys) {
        true => format!("{NAMESPACE}:@{}:{}", namespace(key), name(key)),
        false => format!("{NAMESPACE}:{}", name(key)),
    }
}
