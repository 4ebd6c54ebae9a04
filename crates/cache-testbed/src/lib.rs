//! Real servers, certificates and a faulty network for tests.
//!
//! [`Server`], [`Cluster`] and [`Sentinels`] run the binaries that `scripts/install-servers`
//! brings; a binary that is missing is a panic, never a test that is skipped. [`TestCa`] makes
//! certificates and [`Proxy`] makes a bad network. What a test starts ends with its handle, and
//! at the latest with the process; the directory of a server in a static stays, for its log.
//!
//! All but [`Proxy`] blocks, which is short enough for an asynchronous test, and panics when
//! something does not happen in time.
//!
//! ```
//! use cache_testbed::{Flavor, Server};
//!
//! let server = Server::builder(Flavor::Redis7).start();
//! server.command(&["SET", "greeting", "hello"]);
//! assert_eq!(server.command(&["GET", "greeting"]).text(), "hello");
//! ```
#![expect(
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, here as there"
)]

mod admin;
mod builder;
mod cluster;
mod flavor;
mod pipe;
mod process;
mod proxy;
mod resp;
mod sentinel;
mod server;
mod spawn;
mod stats;
mod tls;

use std::time::{Duration, Instant};

pub use builder::ServerBuilder;
pub use cluster::{Cluster, ClusterBuilder, slot_of_key};
pub use flavor::Flavor;
pub use proxy::{Direction, Proxy};
pub use resp::{Client, Reply};
pub use sentinel::Sentinels;
pub use server::Server;
pub use spawn::{bound_to_this_process, spawn};
pub use tls::{Certificate, TestCa};

/// Asks until the answer is there.
fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "no {what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
