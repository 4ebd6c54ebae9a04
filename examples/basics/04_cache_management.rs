//! A walk through the cache in ten sections: `cargo run --example 04_cache_management`.
//!
//! Each section makes its own cache through `Cache::from_env`, so the program runs unchanged on
//! whatever backend the environment names; with nothing set it runs in this process. For Redis the
//! library needs its feature:
//! `BUILDSCALE_CACHE_REDIS_URL=redis://127.0.0.1:6379 cargo run --features redis --example 04_cache_management`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use buildscale_cache::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
    email: String,
}

fn alice() -> User {
    User {
        id: 1,
        name: "Alice".to_string(),
        email: "alice@example.com".to_string(),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let cache: Cache<String> = Cache::from_env(CacheConfig::default()).await?;
    cache.clear().await?;

    basic_crud(&cache).await?;
    time_to_live(&cache).await?;
    existence(&cache).await?;
    atomic(&cache).await?;
    batch(&cache).await?;
    complex_types().await?;
    thread_safety(&cache).await?;
    background_cleanup().await?;
    default_ttl().await?;
    user_sessions().await?;

    println!("\nAll ten sections are done.");
    Ok(())
}

fn title(number: u32, text: &str) {
    println!("\n=== {number}. {text} ===");
}

async fn basic_crud(cache: &Cache<String>) -> Result<(), Error> {
    title(1, "Basic CRUD operations");
    cache.set("user:123", "Alice").await?;
    println!(
        "Set 'user:123' = 'Alice', Got: {:?}",
        cache.get("user:123").await?
    );
    println!("Delete 'user:123': {}", cache.delete("user:123").await?);
    println!("After delete: {:?}", cache.get("user:123").await?);
    Ok(())
}

async fn time_to_live(cache: &Cache<String>) -> Result<(), Error> {
    title(2, "TTL (time to live) operations");
    cache.set_ex("session:abc", "active", 5).await?;
    println!("Set 'session:abc' with 5 second TTL");
    println!("Immediately after: {:?}", cache.get("session:abc").await?);
    println!(
        "TTL remaining: {:?} seconds",
        cache.ttl("session:abc").await?
    );
    cache.expire("session:abc", 10).await?;
    println!(
        "Updated TTL to 10s, remaining: {:?} seconds",
        cache.ttl("session:abc").await?
    );
    cache.persist("session:abc").await?;
    println!(
        "Persisted (removed TTL), TTL: {:?}",
        cache.ttl("session:abc").await?
    );
    Ok(())
}

async fn existence(cache: &Cache<String>) -> Result<(), Error> {
    title(3, "Existence checks");
    cache.set("user:1", "Alice").await?;
    cache.set("user:2", "Bob").await?;
    println!("Exists 'user:1': {}", cache.exists("user:1").await?);
    println!("Exists 'user:999': {}", cache.exists("user:999").await?);
    println!("All keys: {:?}", cache.keys().await?);
    println!("Cleared {} entries", cache.clear().await?);
    Ok(())
}

async fn atomic(cache: &Cache<String>) -> Result<(), Error> {
    title(4, "Atomic operations");
    let inserted = cache.set_nx("lock:resource", "locked").await?;
    println!("set_nx 'lock:resource': {inserted}");
    let again = cache.set_nx("lock:resource", "taken over").await?;
    println!("set_nx 'lock:resource' again: {again}");
    println!(
        "Value should still be 'locked': {:?}",
        cache.get("lock:resource").await?
    );
    let old = cache.get_and_set("lock:resource", "locked_v2").await?;
    println!("get_and_set returned: {old:?}");
    println!("New value: {:?}", cache.get("lock:resource").await?);
    Ok(())
}

async fn batch(cache: &Cache<String>) -> Result<(), Error> {
    title(5, "Batch operations");
    cache
        .mset(vec![
            ("batch:1", "value1"),
            ("batch:2", "value2"),
            ("batch:3", "value3"),
        ])
        .await?;
    println!("mset 3 keys");
    let values = cache
        .mget(&["batch:1", "batch:2", "batch:3", "batch:999"])
        .await?;
    println!("mget results: {values:?}");
    let count = cache.mdelete(&["batch:1", "batch:2", "batch:3"]).await?;
    println!("mdelete {count} keys");
    Ok(())
}

async fn complex_types() -> Result<(), Error> {
    title(6, "Complex types");
    let users: Cache<User> = Cache::from_env(CacheConfig::default()).await?;
    users.set("user:1", alice()).await?;
    println!(
        "Stored and retrieved user: {:?}",
        users.get("user:1").await?
    );
    users.delete("user:1").await?;
    Ok(())
}

async fn thread_safety(cache: &Cache<String>) -> Result<(), Error> {
    title(7, "Thread safety");
    cache.clear().await?;
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    cache.set(format!("task:{task}:{i}"), "done").await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task does not panic")?;
    }
    println!(
        "Concurrent writes: {} keys created",
        cache.keys().await?.len()
    );
    cache.clear().await?;
    Ok(())
}

async fn background_cleanup() -> Result<(), Error> {
    title(8, "Background cleanup");
    let config = CacheConfig {
        cleanup_interval_seconds: 1,
        default_ttl_seconds: None,
    };
    let cache: Cache<String> = Cache::from_env(config).await?;
    for i in 0..5 {
        cache.set_ex(format!("temp:{i}"), "short-lived", 1).await?;
    }
    for i in 0..3 {
        cache.set(format!("perm:{i}"), "long-lived").await?;
    }
    println!(
        "Total keys before expiration: {}",
        cache.keys().await?.len()
    );
    println!("Waiting 3 seconds for entries to expire and the cleanup to run...");
    sleep(Duration::from_secs(3)).await;
    println!("Total keys after cleanup: {}", cache.keys().await?.len());
    println!("Remaining keys: {:?}", cache.keys().await?);
    println!(
        "Entries freed in the background: {}",
        cache.stats().backend.expired
    );
    cache.clear().await?;
    Ok(())
}

async fn default_ttl() -> Result<(), Error> {
    title(9, "Default TTL configuration");
    let config = CacheConfig {
        cleanup_interval_seconds: 60,
        default_ttl_seconds: Some(10),
    };
    let cache: Cache<String> = Cache::from_env(config).await?;
    cache.set("auto:1", "a").await?;
    cache.set("auto:2", "b").await?;
    println!("Set keys with default TTL of 10s");
    println!("TTL for 'auto:1': {:?}", cache.ttl("auto:1").await?);
    println!("TTL for 'auto:2': {:?}", cache.ttl("auto:2").await?);
    cache.clear().await?;
    Ok(())
}

async fn user_sessions() -> Result<(), Error> {
    title(10, "Practical example: user session cache");
    let config = CacheConfig {
        cleanup_interval_seconds: 60,
        default_ttl_seconds: Some(1800),
    };
    let sessions: Cache<User> = Cache::from_env(config).await?;
    let session_id = new_session_id();
    sessions.set_ex(&session_id, alice(), 5).await?;
    println!("User logged in, session cached");

    let Some(user) = sessions.get(&session_id).await? else {
        println!("Session expired");
        return Ok(());
    };
    println!("Session valid, user: {}", user.name);
    sleep(Duration::from_secs(1)).await;
    println!(
        "Session expires in: {:?} seconds",
        sessions.ttl(&session_id).await?
    );
    sessions.expire(&session_id, 5).await?;
    println!(
        "Session refreshed, TTL: {:?}",
        sessions.ttl(&session_id).await?
    );
    sessions.delete(&session_id).await?;
    Ok(())
}

/// Stands in for the random identifiers of a real program.
fn new_session_id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("session:{:x}", now.as_nanos())
}
