//! How fast a cache in Redis is filled from a stream, beside bulk writes of rows that are at hand.

use std::sync::Arc;
use std::time::Instant;

use cache_benches::is_trial;
use cache_benches::paired::{Rival, interleave};
use cache_benches::remote::{BATCH, Payload, Record, TTL, Target};
use cache_core::{Cache, MsgPackCodec, WarmOptions};
use cache_redis::{RedisBackend, RedisConfig, RedisStore};
use futures_util::stream;
use tokio::runtime::Runtime;

/// The size of a value, in bytes.
const SIZE: usize = 100;
/// How many bulk writes there are at the same time, as `warm` has unless it is told otherwise.
const WRITERS: usize = 4;
/// The place of the bulk writes that the bench `redis` has.
const BULK: usize = 0;

type Rows = Arc<[(String, Record)]>;

async fn connect(target: &Target) -> Cache<Record> {
    let config = RedisConfig::from_url(&target.url_of_ours()).expect("the URL is one");
    let store = RedisStore::connect(config).await;
    let store = store.expect("the server is there");
    Cache::new(RedisBackend::new(store, MsgPackCodec::new())).with_default_ttl(TTL)
}

/// Writes all rows in batches, each writer its part of them, and returns the seconds that it took.
async fn in_bulk(cache: &Cache<Record>, rows: &Rows, batch: usize) -> f64 {
    let start = Instant::now();
    let part = rows.len().div_ceil(WRITERS);
    let writers = (0..WRITERS).map(|writer| {
        let (cache, rows) = (cache.clone(), Arc::clone(rows));
        tokio::spawn(async move {
            let end = rows.len().min((writer + 1) * part);
            for batch in rows[writer * part..end].chunks(batch) {
                let pairs = batch.iter().map(|(key, row)| (key.as_str(), row.clone()));
                cache.mset(pairs).await.expect("no failure");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    start.elapsed().as_secs_f64()
}

async fn warmed(cache: &Cache<Record>, rows: &Rows) -> f64 {
    let start = Instant::now();
    let mut stream = stream::iter(rows.iter().cloned());
    let stored = cache.warm(&mut stream, WarmOptions::new()).await;
    assert_eq!(stored.ok(), Some(rows.len() as u64));
    start.elapsed().as_secs_f64()
}

fn main() {
    let (rounds, count) = if is_trial() {
        (1, 1_000)
    } else {
        (11, 100_000)
    };
    let runtime = Runtime::new().expect("there are threads");
    let target = Target::start();
    let cache = runtime.block_on(connect(&target));
    let row = |number| (format!("user:{number:08}"), Record::of_size(SIZE));
    let rows: Rows = (0..count).map(row).collect();
    let mut rivals: [Rival<'_>; 3] = [
        (
            "mset of 100",
            Box::new(|| runtime.block_on(in_bulk(&cache, &rows, BATCH))),
        ),
        (
            "mset of 256",
            Box::new(|| runtime.block_on(in_bulk(&cache, &rows, 256))),
        ),
        ("warm", Box::new(|| runtime.block_on(warmed(&cache, &rows)))),
    ];
    let turns = interleave(rounds, &mut rivals);
    println!("{count} rows of {SIZE} B into Redis, {WRITERS} writes at the same time");
    println!("  {:<14}{:>14}{:>18}", "", "rows/s", "x mset of 100");
    for (at, name) in turns.names().iter().enumerate() {
        let rate = f64::from(count) / turns.time(at);
        println!("  {name:<14}{rate:>14.0}{:>18.2}", turns.ratio(BULK, at));
    }
}
