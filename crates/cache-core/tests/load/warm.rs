//! Filling a cache before it is needed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{ErrorKind, WarmOptions};
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{MS, SECOND, remote_world, world};

fn rows(count: u32) -> impl futures_core::Stream<Item = (String, u32)> + Send + Unpin {
    stream::iter((0..count).map(|row| (format!("row:{row}"), row)))
}

#[tokio::test(start_paused = true)]
async fn every_pair_is_stored_and_progress_is_told_up_to_the_last() {
    let world = remote_world();
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let heard = Arc::clone(&told);
    let options = WarmOptions::new()
        .ttl(60)
        .batch(100)
        .concurrency(4)
        .on_progress(move |stored| heard.lock().unwrap().push(stored));
    let cache = world.cache.clone();
    // In a task of its own, where a program would have it.
    let warm = tokio::spawn(async move { cache.warm(&mut rows(1_050), options).await });
    let start = Instant::now();
    assert_eq!(warm.await.unwrap().unwrap(), 1_050);
    // Eleven writes of a millisecond, four at a time.
    assert_eq!(start.elapsed(), 3 * MS);
    assert_eq!(told.lock().unwrap().last(), Some(&1_050));
    assert!(told.lock().unwrap().is_sorted());
    assert_eq!(world.cache.keys().await.unwrap().len(), 1_050);
    assert_eq!(world.cache.ttl("row:1049").await.unwrap(), Some(60));
    assert_eq!(world.cache.stats().sets, 1_050);
}

#[tokio::test(start_paused = true)]
async fn a_failure_half_way_loses_nothing_and_is_gone_on_from() {
    let world = remote_world();
    let faults = [
        Fault::None,
        Fault::None,
        Fault::Fail(ErrorKind::Unavailable),
    ];
    world.backend.script(faults);
    let options = WarmOptions::new().batch(10).concurrency(3);
    let mut all = rows(1_000);
    let failed = world.cache.warm(&mut all, options.clone()).await;
    let failed = failed.unwrap_err();
    assert_eq!(failed.error.kind(), &ErrorKind::Unavailable);
    assert!(failed.to_string().contains("are not"), "{failed}");
    // What is acknowledged is there, and all else is in hand or in the stream.
    let there = world.cache.keys().await.unwrap();
    assert_eq!(there.len() as u64, failed.stored);
    let unwritten = failed.unwritten.iter().map(|(key, _)| key.clone());
    let left: BTreeSet<String> = unwritten.collect();
    assert!(left.len() >= 10 && there.iter().all(|key| !left.contains(key)));

    let mut rest = stream::iter(failed.unwritten).chain(all);
    let stored = world.cache.warm(&mut rest, options).await.unwrap();
    assert_eq!(failed.stored + stored, 1_000);
    assert_eq!(world.cache.keys().await.unwrap().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let world = world();
    let start = Instant::now();
    let options = WarmOptions::new().batch(10).rate(100);
    world.cache.warm(&mut rows(1_000), options).await.unwrap();
    // The last of a hundred writes has its turn after 99 tenths of a second.
    let took = start.elapsed();
    assert!(took >= 99 * SECOND / 10 && took < 10 * SECOND, "{took:?}");
}

#[tokio::test]
async fn bad_options_and_bad_keys_are_errors_that_name_them() {
    let world = world();
    for (options, field) in [
        (WarmOptions::new().batch(0), "batch"),
        (WarmOptions::new().concurrency(0), "concurrency"),
        (WarmOptions::new().rate(0), "rate"),
    ] {
        let mut all = rows(10);
        let error = world.cache.warm(&mut all, options).await.unwrap_err().error;
        assert_eq!(
            error.to_string(),
            format!("warm: {field} is 0, the least is 1")
        );
        assert_eq!(all.count().await, 10);
    }
    let mut pairs = stream::iter([("a", 1u32), ("", 2)]);
    let failed = world.cache.warm(&mut pairs, WarmOptions::new()).await;
    let failed = failed.unwrap_err();
    assert!(failed.error.to_string().contains("key is empty"));
    assert_eq!((failed.stored, failed.unwritten.len()), (0, 2));
    assert!(!format!("{failed:?}").contains("\"a\""));
    assert_eq!(world.cache.keys().await.unwrap(), Vec::<String>::new());
    let never = WarmOptions::new().ttl(Duration::ZERO);
    assert!(world.cache.warm(&mut rows(1), never).await.is_err());
}
