//! The web service, over HTTP: as a process of its own on each backend, and its layer
//! for responses over handlers that a careless cache would give away.

mod bytes;
mod end;
mod http;
mod leaks;
mod live;
mod outage;
#[path = "../shared/process.rs"]
mod process;
mod processes;
mod program;
mod service;
mod sessions;

use buildscale_cache::prelude::*;
use cache_testbed::{Flavor, Server};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where the caches are, with the server if there is one.
enum Backend {
    Local,
    Redis(Server),
    Tiered(Server),
}

impl Backend {
    fn all() -> [Self; 3] {
        let [redis, tiered] = Self::shared();
        [Self::Local, redis, tiered]
    }

    fn shared() -> [Self; 2] {
        [
            Self::Redis(Server::builder(Flavor::Redis7).start()),
            Self::Tiered(Server::builder(Flavor::Valkey9).start()),
        ]
    }

    fn server(&self) -> Option<&Server> {
        match self {
            Self::Local => None,
            Self::Redis(server) | Self::Tiered(server) => Some(server),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis(_) => "redis",
            Self::Tiered(_) => "tiered",
        }
    }

    /// The same as `Cache::from_env` makes of the environment of a program.
    async fn cache<V>(&self) -> Cache<V>
    where
        V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let config = CacheConfig::default();
        let cache = match self {
            Self::Local => Ok(Cache::new_local(config)),
            Self::Redis(server) => Cache::new_redis(&server.url(), config).await,
            Self::Tiered(server) => Cache::new_tiered(&server.url(), config).await,
        };
        cache.expect("the server answers")
    }
}
