//! The shortest useful program: `cargo run --example quickstart`.

use buildscale_cache::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());

    cache.set("user:123", "Alice").await?;
    cache.set_ex("session:abc", "active", 300).await?;

    println!("user:123    = {:?}", cache.get("user:123").await?);
    println!("session:abc = {:?}", cache.get("session:abc").await?);
    println!("seconds left: {:?}", cache.ttl("session:abc").await?);
    println!("hit rate:     {:?}", cache.stats().hit_rate());
    Ok(())
}
