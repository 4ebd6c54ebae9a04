//! Messages that are none.

use std::time::Duration;

use cache_core::bus::{FlushCause, Invalidation};
use cache_redis::BusConfig;
use cache_testbed::{Flavor, Server};

use crate::bus::{Kind, Listening, bus, store};

const CHANNEL: &str = "cache:@{cache}invalidations";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_understood_is_a_flush_at_most_once_a_second() {
    let server = Server::builder(Flavor::Redis7).start();
    let listening = Listening::start(Kind::PubSub, &server.url()).await;
    let recorder = &listening.recorder;
    let before = recorder.elapsed();
    let mut later = vec![1; 40];
    later[0] = 2;
    let garbage: [&[u8]; 6] = [
        b"",
        b"\x01",
        &later,
        &[1; 18],
        &[0xff; 1024 * 1024],
        b"hello",
    ];
    for round in 0..100 {
        let message = garbage[round % garbage.len()];
        let heard = server.command(&[b"PUBLISH", CHANNEL.as_bytes(), message]);
        assert_eq!(heard.integer(), 1);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let took = recorder.elapsed() - before;
    let flushes = recorder.flushes_since(before);
    let most = usize::try_from(took.as_secs()).unwrap() + 1;
    assert!(
        (2..=most).contains(&flushes.len()),
        "{flushes:?} in {took:?}"
    );
    assert!(flushes.iter().all(|cause| *cause == FlushCause::Unreadable));
    recorder.caught_up().await;
    // It goes on.
    let other = bus(Kind::PubSub, &store(&server.url()).await, BusConfig::new()).await;
    let change = Invalidation::Keys(vec!["a".into()]);
    let before = recorder.elapsed();
    other.publish(&change).await.unwrap();
    recorder.caught_up().await;
    assert_eq!(recorder.keys_since(before), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_confirmed_from_a_message_that_is_no_message_to_the_flush() {
    let server = Server::builder(Flavor::Valkey9).start();
    let listening = Listening::start(Kind::PubSub, &server.url()).await;
    let recorder = &listening.recorder;
    server.command(&["PUBLISH", CHANNEL, "one"]);
    recorder.caught_up().await;
    server.command(&["PUBLISH", CHANNEL, "two"]);
    let sent = recorder.elapsed();
    recorder.caught_up().await;
    assert_eq!(recorder.flushes_since(sent), [FlushCause::Unreadable]);
}
