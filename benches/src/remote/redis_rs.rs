//! The crate `redis`.

use std::fmt;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, SetExpiry, SetOptions};

use super::{Contender, Payload, Record, TIMEOUT, Target, stored_key, ttl_millis};

/// One multiplexed connection that is opened again when it breaks, as ours is.
pub struct RedisRs(ConnectionManager);

impl RedisRs {
    /// Connects.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn connect(target: &Target) -> Self {
        let url = format!("{}?protocol=resp3", target.url_of_others());
        let client = Client::open(url).expect("the URL is one");
        let config = ConnectionManagerConfig::new().set_response_timeout(Some(TIMEOUT));
        let connection = ConnectionManager::new_with_config(client, config).await;
        Self(connection.expect("the server is there"))
    }
}

fn options() -> SetOptions {
    SetOptions::default().with_expiration(SetExpiry::PX(ttl_millis()))
}

impl Contender for RedisRs {
    type Value = Record;

    async fn get(&self, key: &str) -> Record {
        let found: Vec<u8> = self
            .0
            .clone()
            .get(stored_key(key))
            .await
            .expect("it is there");
        Record::from_stored(found.into())
    }

    async fn set(&self, key: &str, value: Record) {
        let (key, value) = (stored_key(key), value.to_stored());
        let mut connection = self.0.clone();
        let written: Result<(), _> = connection.set_options(key, &*value, options()).await;
        written.expect("no failure");
    }

    async fn get_many(&self, keys: &[&str]) -> Vec<Record> {
        let keys: Vec<String> = keys.iter().map(|key| stored_key(key)).collect();
        let found: Vec<Vec<u8>> = self.0.clone().mget(keys).await.expect("all are there");
        let found = found.into_iter();
        found
            .map(|value| Record::from_stored(value.into()))
            .collect()
    }

    async fn set_many(&self, entries: Vec<(&str, Record)>) {
        let mut pipeline = redis::pipe();
        for (key, value) in entries {
            let set = pipeline.set_options(stored_key(key), &*value.to_stored(), options());
            set.ignore();
        }
        let written: Result<(), _> = pipeline.query_async(&mut self.0.clone()).await;
        written.expect("no failure");
    }
}

impl fmt::Debug for RedisRs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisRs").finish_non_exhaustive()
    }
}
