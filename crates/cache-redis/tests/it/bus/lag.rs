//! A listener that is slower than the news.

use std::time::Duration;

use cache_core::bus::{FlushCause, Invalidation};
use cache_redis::BusConfig;
use cache_testbed::{Client, Flavor, Server};

use crate::bus::{BOUND, Kind, Listening, bus, store};

const CAPACITY: usize = 64;

/// Makes ten times as many changes as may wait, one message each.
async fn burst(kind: Kind, server: &Server) {
    match kind {
        Kind::Tracking => {
            let mut client = Client::connect(&server.address()).unwrap();
            for number in 0..CAPACITY * 10 {
                let key = format!("cache:burst{number}");
                assert!(!client.command(&["SET", &key, "1"]).unwrap().is_error());
            }
        }
        Kind::PubSub => {
            let other = bus(kind, &store(&server.url()).await, BusConfig::new()).await;
            for number in 0..CAPACITY * 10 {
                let change = Invalidation::Keys(vec![format!("burst{number}")]);
                other.publish(&change).await.unwrap();
            }
        }
    }
}

async fn a_burst_is_a_flush(kind: Kind, flavor: Flavor) {
    let server = Server::builder(flavor).start();
    let config = BusConfig::new().bound(BOUND).capacity(CAPACITY);
    let listening = Listening::with(kind, &store(&server.url()).await, config).await;
    let recorder = &listening.recorder;
    for _ in 0..3 {
        let before = recorder.elapsed();
        let permit = recorder.block().await;
        burst(kind, &server).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(permit);
        recorder.caught_up().await;
        assert_eq!(recorder.flushes_since(before), [FlushCause::Lagged]);
        // It goes on.
        let before = recorder.elapsed();
        match kind {
            Kind::Tracking => server.command(&["SET", "cache:a", "1"]).assert_ok(),
            Kind::PubSub => {
                let other = bus(kind, &store(&server.url()).await, BusConfig::new()).await;
                let change = Invalidation::Keys(vec!["a".into()]);
                other.publish(&change).await.unwrap();
            }
        }
        recorder.caught_up().await;
        assert_eq!(recorder.keys_since(before), ["a"]);
        assert_eq!(recorder.flushes_since(before), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_changes_than_may_wait_are_one_flush() {
    a_burst_is_a_flush(Kind::Tracking, Flavor::Redis7).await;
    a_burst_is_a_flush(Kind::Tracking, Flavor::Valkey9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_messages_than_may_wait_are_one_flush() {
    a_burst_is_a_flush(Kind::PubSub, Flavor::Redis8).await;
}
