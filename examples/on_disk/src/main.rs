//! A cache in a file, through a backend of our own: `cargo run -p on_disk`.
//!
//! Run it twice: the second run finds what the first one has left.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use buildscale_cache::prelude::*;
use buildscale_cache::{EncodedBackend, MsgPackCodec};
use on_disk::redb_backend::RedbStore;
use redb::Database;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("buildscale-cache-example.redb");
    let database = Arc::new(Database::create(&path)?);
    let store = RedbStore::new(Arc::clone(&database), || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    });
    let cache: Cache<Vec<u32>> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));

    println!("found:  {:?}", cache.get("primes").await?);
    cache.set_ex("primes", [2, 3, 5, 7], 60).await?;
    println!("stored: {:?}", cache.get("primes").await?);

    // What was written without waiting for the disk goes there with the next durable commit.
    database.begin_write()?.commit()?;
    println!(
        "in {} for {:?} seconds",
        path.display(),
        cache.ttl("primes").await?
    );
    Ok(())
}
