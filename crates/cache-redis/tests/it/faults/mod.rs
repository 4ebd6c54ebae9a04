//! Faults of servers, topologies and the network, on real servers.
//!
//! Each test has servers of its own, so all may run at once. Run one with `-- --nocapture` to see
//! how long a recovery took.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod borrowed;
mod cancellation;
mod cluster;
mod fuzz;
mod load;
mod lookalikes;
mod report;
mod sentinel;
mod standalone;
mod transactions;
mod versions;
mod warming;
mod wire;
mod workarounds;

use std::time::{Duration, Instant};

use cache_core::ErrorKind;
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::Server;

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);
/// How long after a fault everything may take to work again.
const LIMIT: Duration = Duration::from_secs(5);
/// What operations fail as when a server does not do its work.
const AWAY: [ErrorKind; 2] = [ErrorKind::Timeout, ErrorKind::Unavailable];

fn config(url: &str) -> RedisConfig {
    let config = RedisConfig::from_url(url).expect("the URL is right");
    config
        .hash_tags(true)
        .command_timeout(COMMAND_TIMEOUT)
        .connect_timeout(Duration::from_secs(1))
}

async fn connect(url: &str) -> RedisStore {
    RedisStore::connect(config(url))
        .await
        .expect("the servers are there")
}

/// Returns the identifiers of the connections to a server, but for that of its handle.
fn clients(server: &Server) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
    let others = list.lines().filter(|line| !line.contains("name=testbed "));
    let ids = others.filter_map(|line| line.split(' ').next());
    ids.map(Into::into).collect()
}

/// Waits until something is so.
async fn eventually<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < LIMIT, "not so within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
