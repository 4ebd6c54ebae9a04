//! The client that our backend is made of, by itself.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::config::{Config, ReconnectPolicy, TcpConfig};
use fred::types::{Builder, Expiration, ExpireOptions, RespVersion, Value};

use super::{Contender, Payload, TIMEOUT, TTL, Target, stored_key, ttl_millis};

/// Writes all pairs with one time to live.
const SET_MANY: &str =
    "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end";

/// How many values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bulk {
    /// A pipeline of `SET`.
    Pipeline,
    /// One `EVALSHA`.
    Script,
}

/// fred with values of `V`.
pub struct Fred<V> {
    client: Client,
    /// The name of the script on the server.
    script: String,
    bulk: Bulk,
    value: PhantomData<fn(V) -> V>,
}

impl<V> Fred<V> {
    /// Connects.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn connect(target: &Target, bulk: Bulk) -> Self {
        let mut config = Config::from_url(&target.url_of_others()).expect("the URL is one");
        config.version = RespVersion::RESP3;
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = TIMEOUT)
            .with_connection_config(|connection| {
                connection.tcp = TcpConfig {
                    nodelay: Some(true),
                    ..TcpConfig::default()
                };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build()
            .expect("the options are right");
        client.init().await.expect("the server is there");
        let script = client.script_load(SET_MANY).await;
        Self {
            client,
            script: script.expect("the script is right"),
            bulk,
            value: PhantomData,
        }
    }
}

impl<V: Payload> Fred<V> {
    /// Adds one with `INCR`.
    pub(super) async fn incr(&self, key: &str) -> i64 {
        let count = self.client.incr(stored_key(key)).await;
        count.expect("no failure")
    }

    /// Adds one with `INCR`, and gives the key a time if it has none.
    pub(super) async fn incr_and_expire(&self, key: &str) -> i64 {
        let (key, pipeline) = (stored_key(key), self.client.pipeline());
        let queued: Result<(), _> = pipeline.incr(&key).await;
        queued.expect("no failure");
        let seconds = TTL.as_secs().cast_signed();
        let queued: Result<(), _> = pipeline.expire(key, seconds, Some(ExpireOptions::NX)).await;
        queued.expect("no failure");
        let (count, _): (i64, i64) = pipeline.all().await.expect("no failure");
        count
    }
}

fn expiration() -> Option<Expiration> {
    Some(Expiration::PX(ttl_millis().cast_signed()))
}

impl<V: Payload> Contender for Fred<V> {
    type Value = V;

    async fn get(&self, key: &str) -> V {
        let found: Bytes = self.client.get(stored_key(key)).await.expect("it is there");
        V::from_stored(found)
    }

    async fn set(&self, key: &str, value: V) {
        let (key, value) = (stored_key(key), value.to_stored());
        let set = self
            .client
            .set::<(), _, _>(key, value, expiration(), None, false);
        set.await.expect("no failure");
    }

    async fn get_many(&self, keys: &[&str]) -> Vec<V> {
        let keys: Vec<String> = keys.iter().map(|key| stored_key(key)).collect();
        let found: Vec<Bytes> = self.client.mget(keys).await.expect("all are there");
        found.into_iter().map(V::from_stored).collect()
    }

    async fn set_many(&self, entries: Vec<(&str, V)>) {
        let stored = entries
            .iter()
            .map(|(key, value)| (stored_key(key), value.to_stored()));
        if self.bulk == Bulk::Script {
            let (keys, values): (Vec<String>, Vec<Bytes>) = stored.unzip();
            let ttl = Value::Integer(ttl_millis().cast_signed());
            let values = values.into_iter().map(Value::from);
            let values: Vec<Value> = std::iter::once(ttl).chain(values).collect();
            let script = self.script.as_str();
            let written: Result<(), _> = self.client.evalsha(script, keys, values).await;
            return written.expect("no failure");
        }
        let pipeline = self.client.pipeline();
        for (key, value) in stored {
            let queued: Result<(), _> = pipeline.set(key, value, expiration(), None, false).await;
            queued.expect("no failure");
        }
        let answers: Vec<Value> = pipeline.all().await.expect("no failure");
        assert_eq!(answers.len(), entries.len());
    }
}

impl<V> fmt::Debug for Fred<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fred")
            .field("bulk", &self.bulk)
            .finish_non_exhaustive()
    }
}
