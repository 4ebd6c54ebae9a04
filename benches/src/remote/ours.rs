//! Buildscale Cache over its Redis backend.

use cache_core::{Cache, MsgPackCodec};
use cache_redis::{RedisBackend, RedisConfig, RedisStore};

use super::{Contender, Record, TTL, Target};

/// The erased facade over MessagePack over the store, with the options that it comes with.
#[derive(Debug)]
pub struct Ours(pub(super) Cache<Record>);

impl Ours {
    /// Connects.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn connect(target: &Target) -> Self {
        let config = RedisConfig::from_url(&target.url_of_ours()).expect("the URL is one");
        let store = RedisStore::connect(config).await;
        let store = store.expect("the server is there");
        let cache = Cache::new(RedisBackend::new(store, MsgPackCodec::new()));
        Self(cache.with_default_ttl(TTL))
    }
}

impl Contender for Ours {
    type Value = Record;

    async fn get(&self, key: &str) -> Record {
        let found = self.0.get(key).await.expect("no failure");
        found.expect("the key is there")
    }

    async fn set(&self, key: &str, value: Record) {
        self.0.set(key, value).await.expect("no failure");
    }

    async fn get_many(&self, keys: &[&str]) -> Vec<Record> {
        let found = self.0.mget(keys).await.expect("no failure");
        let found = found.into_iter();
        found.map(|value| value.expect("it is there")).collect()
    }

    async fn set_many(&self, entries: Vec<(&str, Record)>) {
        self.0.mset(entries).await.expect("no failure");
    }
}
