//! Programs that know nothing of the cache change what it holds.

use std::time::Duration;

use cache_core::{BackendWrite, Cache, CacheBackend, Condition, Expiry};
use cache_testbed::{Flavor, Server};

use super::{BOUND, Bus, Tiered, connect, connect_with, eventually, held, stats, warm};

const KEYS: [&str; 6] = ["set", "del", "expire 0", "pexpire", "persist", "untouched"];

/// MessagePack of a text, as another program would write it.
fn encoded(text: &str) -> Vec<u8> {
    let mut bytes = vec![0xa0 | text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

async fn fill(tiered: &Tiered) {
    let options = BackendWrite::new(Expiry::After(Duration::from_secs(600)), Condition::Always);
    for key in KEYS {
        tiered
            .set(key, "old".into(), options.clone())
            .await
            .expect("the server answers");
    }
    warm(tiered, &KEYS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_outsider_changes_is_seen_within_the_bound_on_every_server() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        let nodes = [connect(&server).await, connect(&server).await];
        fill(&nodes[0]).await;
        // What is told of these writes later would take out what is read now.
        for node in &nodes {
            let is_told = || async { stats(node).messages >= KEYS.len() as u64 };
            eventually(BOUND * 5, is_told).await;
            warm(node, &KEYS).await;
        }
        server
            .command(&[b"SET".as_slice(), b"cache:set", &encoded("new")])
            .assert_ok();
        server.command(&["DEL", "cache:del"]);
        server.command(&["EXPIRE", "cache:expire 0", "0"]);
        server.command(&["PEXPIRE", "cache:pexpire", "30"]);
        server.command(&["PERSIST", "cache:persist"]);
        for node in &nodes {
            let is_told = || async {
                node.get("set").await.unwrap().as_deref() == Some("new")
                    && node.get("del").await.unwrap().is_none()
                    && node.get("expire 0").await.unwrap().is_none()
                    && node.get("pexpire").await.unwrap().is_none()
            };
            let took = eventually(BOUND, is_told).await;
            println!("{flavor:?}: seen after {took:?}");
            assert_eq!(node.expiry("persist").await.unwrap(), Some(Expiry::Never));
            // Nobody reads it, so it would not come back; a lease that has lapsed does.
            let is_held = || async { held(node, "untouched").as_deref() == Some("old") };
            eventually(BOUND * 5, is_held).await;
        }
        server.command(&["FLUSHALL"]).assert_ok();
        for node in &nodes {
            let is_empty = || async { node.get("untouched").await.unwrap().is_none() };
            eventually(BOUND, is_empty).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_is_noticed_on_pub_sub_as_well() {
    let server = Server::builder(Flavor::Redis7).start();
    let node = connect_with(server.port(), Bus::PubSub).await;
    fill(&node).await;
    server.command(&["FLUSHDB"]).assert_ok();
    let is_empty = || async { node.get("untouched").await.unwrap().is_none() };
    eventually(BOUND, is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_one_process_reach_the_other_on_both_buses() {
    let server = Server::builder(Flavor::Valkey9).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let one: Cache<String> = Cache::new(connect_with(server.port(), bus).await);
        let backend = connect_with(server.port(), bus).await;
        let other: Cache<String> = Cache::new(backend.clone());
        let mut worst = Duration::ZERO;
        for round in 0..100 {
            let (key, value) = (format!("key {}", round % 7), format!("value {round}"));
            one.set(&key, value.clone()).await.unwrap();
            let sees = || async { other.get(&key).await.unwrap() == Some(value.clone()) };
            worst = eventually(BOUND, sees).await.max(worst);
        }
        println!("the other process follows within {worst:?}");
        let sessions = (one.namespace("s").unwrap(), other.namespace("s").unwrap());
        sessions.0.set("key 1", "here").await.unwrap();
        sessions.1.get("key 1").await.unwrap();
        assert_eq!(one.clear().await.unwrap(), 7);
        let is_clear = || async { other.get("key 1").await.unwrap().is_none() };
        eventually(BOUND, is_clear).await;
        // The clear was of the root, not of the namespace within it.
        assert_eq!(
            sessions.1.get("key 1").await.unwrap().as_deref(),
            Some("here")
        );
        sessions.0.clear().await.unwrap();
        assert!(stats(&backend).messages > 0);
    }
}
