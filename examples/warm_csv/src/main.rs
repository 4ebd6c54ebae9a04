//! Fills a cache with the rows of a CSV file, and shows how far it is.
//!
//! ```console
//! cargo run --release -p warm_csv            # a file of 100,000 rows is made up
//! cargo run --release -p warm_csv users.csv  # the key is what stands before the first comma
//! ```
//!
//! Where the rows go is what the environment says: `BUILDSCALE_CACHE_REDIS_URL` names a server.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use buildscale_cache::WarmOptions;
use buildscale_cache::prelude::*;
use futures_util::stream::{self, StreamExt};
use indicatif::ProgressBar;

const ROWS: u64 = 100_000;
/// How often a failure is gone on from, and after which pause.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => made_up()?,
    };
    let count = BufReader::new(File::open(&path)?).lines().count() as u64;
    let cache: Cache<String> = Cache::from_env(CacheConfig::default()).await?;

    let bar = ProgressBar::new(count);
    let start = Instant::now();
    let mut done = 0;
    let mut rows = stream::iter(rows(&path)?).boxed();
    for attempt in 1..=ATTEMPTS {
        let (bar, before) = (bar.clone(), done);
        let options = WarmOptions::new()
            .ttl(3600)
            .on_progress(move |stored| bar.set_position(before + stored));
        match cache.warm(&mut rows, options).await {
            Ok(stored) => {
                done += stored;
                break;
            }
            Err(failed) if failed.error.is_transient() && attempt < ATTEMPTS => {
                eprintln!("{failed}; going on in {PAUSE:?}");
                tokio::time::sleep(PAUSE).await;
                done += failed.stored;
                // First what was not stored, then the rest of the file.
                rows = stream::iter(failed.unwritten).chain(rows).boxed();
            }
            Err(failed) => return Err(failed.error.into()),
        }
    }
    bar.finish();
    println!("{done} of {count} rows in {:.1?}", start.elapsed());
    Ok(())
}

/// Returns keys and rows; a line without a comma is its own key.
fn rows(
    path: &Path,
) -> Result<impl Iterator<Item = (String, String)> + Send + use<>, Box<dyn Error>> {
    let lines = BufReader::new(File::open(path)?).lines();
    let row = |line: String| {
        let key = line.split(',').next().unwrap_or_default();
        (format!("user:{key}"), line)
    };
    Ok(lines.map_while(Result::ok).map(row))
}

fn made_up() -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::temp_dir().join("buildscale-cache-users.csv");
    let mut file = BufWriter::new(File::create(&path)?);
    for row in 0..ROWS {
        writeln!(file, "{row},User {row},user{row}@example.com")?;
    }
    file.flush()?;
    Ok(path)
}
