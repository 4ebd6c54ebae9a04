//! Two processes share a Redis; one writes, and the memory of the other follows:
//! `cargo run --features tiered --example tiered_processes`.
//!
//! The server is `BUILDSCALE_CACHE_REDIS_URL`, or the one on this machine. The program starts itself
//! a second time as the reader.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use buildscale_cache::prelude::*;

const KEY: &str = "price:coffee";
const PRICES: [&str; 4] = ["3.10", "3.20", "3.45", "2.95"];

/// Set in the second process.
const READER: &str = "TIERED_PROCESSES_READER";

async fn connect() -> Result<Cache<String>, Error> {
    let url = std::env::var("BUILDSCALE_CACHE_REDIS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let cache: Cache<String> = Cache::new_tiered(&url, CacheConfig::default()).await?;
    cache.namespace("tiered-processes")
}

/// Reads all the time and says when what it reads has changed, until there is nothing any more.
async fn read() -> Result<(), Error> {
    let cache = connect().await?;
    println!("reader: ready");
    let (mut last, mut reads) = (None, 0_u64);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let price = cache.get(KEY).await?;
        reads += 1;
        if price != last {
            match &price {
                Some(price) => println!("reader: {price}"),
                None if last.is_some() => break,
                None => {}
            }
            last = price;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (memory, redis) = cache.stats().hits_by_tier().unwrap_or_default();
    println!("reader: {reads} reads, {memory} hits in memory, {redis} in Redis");
    Ok(())
}

/// Writes, while the other process reads.
async fn write() -> Result<(), Box<dyn std::error::Error>> {
    let cache = connect().await?;
    cache.delete(KEY).await?;
    let mut reader = Command::new(std::env::current_exe()?)
        .env(READER, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = reader.stdout.take().ok_or("the output is piped")?;
    let mut heard = BufReader::new(output).lines();
    println!("{}", heard.next().ok_or("the reader has ended")??);
    for price in PRICES {
        let start = Instant::now();
        cache.set(KEY, price).await?;
        println!("writer: {price}");
        let line = heard.next().ok_or("the reader has ended")??;
        println!("{line}, seen after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    cache.delete(KEY).await?;
    println!("writer: deleted");
    println!("{}", heard.next().ok_or("the reader has ended")??);
    reader.wait()?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os(READER).is_some() {
        return Ok(read().await?);
    }
    write().await
}
