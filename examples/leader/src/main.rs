//! Several processes of which one works; when it dies, stalls or ends, the next one goes on:
//! `cargo run -p leader -- first`, and in another terminal `cargo run -p leader -- second`.
//!
//! The server is `BUILDSCALE_CACHE_REDIS_URL`, or the one on this machine. A second argument is how many
//! milliseconds a leader leads that nobody hears of.

use std::time::Duration;

use buildscale_cache::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;
use tokio::time::sleep;

/// What the leader writes again and again.
#[derive(Clone, Serialize, Deserialize)]
struct Report {
    by: String,
    number: u64,
    /// The fencing token of the leader that has written it.
    token: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "nobody".to_owned());
    let ttl = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let url = std::env::var("BUILDSCALE_CACHE_REDIS_URL");
    let url = url.unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let reports: Cache<Report> = Cache::new_redis(&url, CacheConfig::default()).await?;

    let leadership = reports
        .leadership("reporter")
        .ttl(Duration::from_millis(ttl));
    loop {
        println!("{name} campaigns");
        let term = tokio::select! {
            term = leadership.campaign() => term?,
            _ = ctrl_c() => return Ok(()),
        };
        let token = term.fencing_token();
        println!("{name} leads with the token {token}");
        tokio::select! {
            failed = work(&reports, &name, token) => println!("{name} stops: {}", failed?),
            () = term.lost() => println!("{name} leads no more"),
            _ = ctrl_c() => {
                // The next one need not wait until the time is over.
                term.resign().await?;
                println!("{name} resigns");
                return Ok(());
            }
        }
        // Whoever does not notice in time that it was replaced does no harm.
        let is_written = publish(&reports, &name, 0, token).await?;
        println!(
            "{name} is {} to write",
            if is_written { "free" } else { "too late" }
        );
    }
}

/// Writes reports until one is refused.
async fn work(reports: &Cache<Report>, name: &str, token: u64) -> Result<&'static str, Error> {
    let mut number = 0;
    loop {
        number += 1;
        if !publish(reports, name, number, token).await? {
            return Ok("a newer leader writes");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Writes a report unless a newer leader has written one, in one atomic step.
async fn publish(
    reports: &Cache<Report>,
    by: &str,
    number: u64,
    token: u64,
) -> Result<bool, Error> {
    let report = Report {
        by: by.to_owned(),
        number,
        token,
    };
    let updated = reports.update("report", |last| match last {
        Some(last) if last.token > token => last.clone(),
        _ => report.clone(),
    });
    let newest = updated.await?.new;
    Ok(newest.is_some_and(|newest| newest.token == token))
}
