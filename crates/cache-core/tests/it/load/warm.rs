//! Filling a cache before it is needed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{ErrorKind, WarmOptions};
use futures_util::FutureExt;
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

/// Writes rows at 10 in a second after a stall, and returns when each was taken and how many pairs were
/// stored within each second after the stall.
async fn stored_in_each_second(
    batch: usize,
    mut rows: impl futures_core::Stream<Item = (String, u32)> + Send + Unpin,
    stall: Duration,
) -> Vec<u64> {
    let world = world();
    world.backend.script([Fault::None, Fault::Delay(stall)]);
    let start = Instant::now();
    let told: Arc<Mutex<Vec<(Duration, u64)>>> = Arc::default();
    let heard = Arc::clone(&told);
    let options = WarmOptions::new()
        .batch(batch)
        .concurrency(1)
        .rate(10)
        .on_progress(move |stored| {
            heard
                .lock()
                .expect("not poisoned")
                .push((start.elapsed(), stored));
        });
    world
        .cache
        .warm(&mut rows, options)
        .await
        .expect("it works");
    let told = told.lock().expect("not poisoned");
    let until = |time: Duration| {
        let then = told.iter().rev().find(|(at, _)| *at <= time);
        then.map_or(0, |(_, stored)| *stored)
    };
    let second = |number: u32| stall + number * SECOND;
    let seconds = (1..12).map(|number| until(second(number)) - until(second(number - 1)));
    seconds.collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_stall_of_the_store_there_is_no_burst() {
    for batch in [1, 5, 10] {
        let stored = stored_in_each_second(batch, rows(100), 10 * SECOND).await;
        // What was on its way when the store stalled, and its share of the second.
        assert!(stored[0] <= 10 + batch as u64, "{batch}: {stored:?}");
        assert!(
            stored.iter().all(|pairs| *pairs <= 10 + batch as u64),
            "{batch}: {stored:?}"
        );
        assert!(
            stored[1..8].iter().all(|pairs| *pairs >= 9),
            "{batch}: {stored:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_stall_of_the_stream_there_is_no_burst() {
    let slow = rows(100).enumerate().then(async |(number, row)| {
        if number == 5 {
            tokio::time::sleep(10 * SECOND).await;
        }
        row
    });
    let stored = stored_in_each_second(1, Box::pin(slow), 10 * SECOND).await;
    assert!(stored.iter().all(|pairs| *pairs <= 11), "{stored:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_no_burst_either() {
    let stored = stored_in_each_second(256, rows(100), Duration::ZERO).await;
    assert!(stored.iter().all(|pairs| *pairs <= 20), "{stored:?}");
    assert_eq!(stored[1..8], [10; 7]);
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

#[test]
fn a_rate_outside_of_a_runtime_is_an_error() {
    let world = world();
    let mut pairs = rows(10);
    let warm = world.cache.warm(&mut pairs, WarmOptions::new().rate(5));
    let refused = warm.now_or_never().unwrap().unwrap_err();
    assert_eq!((refused.stored, refused.unwritten.len()), (0, 0));
    assert_eq!(
        refused.error.to_string(),
        "warm: not supported: a rate outside of a Tokio runtime"
    );
    // Nothing was taken from the stream, and without a rate there is nothing to wait for.
    let warm = world.cache.warm(&mut pairs, WarmOptions::new());
    assert_eq!(warm.now_or_never().unwrap().unwrap(), 10);
}
