//! What the store and the buses do with real servers, beside the contract.

mod access;
mod bus;
mod clear;
mod config;
mod counters;
mod credentials;
mod faults;
mod found;
mod joined;
mod keys;
mod leases;
mod loading;
mod locks;
mod observe;
mod partition;
#[cfg(feature = "replicas")]
mod replicas;
mod round_trips;
mod runtime;
#[cfg(feature = "serde")]
mod settings;
mod tags;
// With both libraries, as `./scripts/test` builds it; a plain `cargo test` needs no OpenSSL.
#[cfg(all(feature = "rustls", feature = "native-tls"))]
mod tls;
mod transactions;
mod update;

use std::time::Duration;

use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::Server;

/// Connects to a server of a test.
async fn connect(server: &Server) -> RedisStore {
    RedisStore::connect(config(server))
        .await
        .expect("the server is there")
}

/// Connects with more time than usual for commands, where so many keys keep a loaded machine busy.
async fn connect_patiently(server: &Server) -> RedisStore {
    let config = config(server).command_timeout(Duration::from_secs(10));
    let store = RedisStore::connect(config).await;
    store.expect("the server is there")
}

fn config(server: &Server) -> RedisConfig {
    RedisConfig::from_url(&server.url()).expect("the URL is right")
}

/// The text of an error and of all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
