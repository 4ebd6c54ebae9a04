//! A client of the user's own.

use std::time::{Duration, Instant};

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::fred::clients::Client;
use cache_redis::fred::interfaces::{ClientLike, KeysInterface};
use cache_redis::fred::types::Builder;
use cache_redis::fred::types::config::{Config, ReconnectPolicy};
use cache_redis::{ConnectionState, RedisStore};
use cache_testbed::{Flavor, Proxy, Server};

use crate::faults::load::{Load, Loss, Work};
use crate::faults::{AWAY, clients, config, eventually};

const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

async fn client(server: &Server) -> Client {
    let config = Config::from_url(&server.url()).unwrap();
    let mut builder = Builder::from_config(config);
    builder.set_policy(ReconnectPolicy::new_constant(0, 50));
    let client = builder.build().unwrap();
    client.init().await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_user_is_used_and_goes_on_after_the_store() {
    let server = Server::builder(Flavor::Redis7).start();
    let client = client(&server).await;
    let own = clients(&server);
    let store = RedisStore::from_client(&client, &config("redis://unused")).unwrap();
    assert!(store.set("a", "1".into(), PLAIN).await.unwrap());
    let found: Option<String> = client.get("cache:a").await.unwrap();
    assert_eq!(found.as_deref(), Some("1"));
    eventually(|| async { store.state() == ConnectionState::Connected }).await;
    drop(store);
    let found: Option<String> = client.get("cache:a").await.unwrap();
    assert_eq!(found.as_deref(), Some("1"));
    // The same connection, and no other.
    assert_eq!(clients(&server), own);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_over_a_client_of_the_user_comes_back_with_its_server() {
    let server = Server::builder(Flavor::Valkey9).start();
    let client = client(&server).await;
    let store = RedisStore::from_client(&client, &config("redis://unused")).unwrap();
    let load = Load::start(&store, Work::Bulk, Loss::Allowed).await;
    let fault = Instant::now();
    server.kill();
    load.until_felt(fault).await;
    server.restart();
    load.until_well(fault).await;
    server.pause();
    load.until_felt(Instant::now()).await;
    server.resume();
    let end = Instant::now();
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("client of the user (from the end on)", end);
    assert_eq!(client.ping::<String>(None).await.unwrap(), "PONG");
}

/// On one thread, where the client has begun to dial anew before the read can look.
#[tokio::test]
async fn a_read_that_waits_for_a_connection_keeps_its_deadline() {
    const LIMIT: Duration = Duration::from_millis(20);
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let mut builder =
        Builder::from_config(Config::from_url(&format!("redis://{}", proxy.address())).unwrap());
    let mut at_once = ReconnectPolicy::new_constant(0, 0);
    at_once.set_jitter(0);
    builder.set_policy(at_once);
    let client = builder.build().unwrap();
    client.init().await.unwrap();
    let config = config("redis://unused").command_timeout(LIMIT);
    let store = RedisStore::from_client(&client, &config).unwrap();
    let mut took = Vec::new();
    for _ in 0..5 {
        eventually(|| async { matches!(store.get("a").await, Ok(None)) }).await;
        proxy.drop_replies_then_close();
        proxy.refuse().await;
        let start = Instant::now();
        store.get("a").await.unwrap_err();
        took.push(start.elapsed());
        proxy.forward().await;
    }
    // A busy machine may take its time now and then.
    let least = took.iter().min().expect("there are five");
    assert!(*least < LIMIT * 4, "{took:?}");
}
