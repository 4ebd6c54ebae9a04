//! The server that all clients talk to.

use std::fmt;

use cache_testbed::{Flavor, Server};

/// The variable that names another server than one of our own.
const URL_VARIABLE: &str = "REDIS_BENCH_URL";

/// A server, which ends with this if it was started here.
///
/// Ours has database 0 and the others have database 1, so that keys can be the same although the
/// values of ours have an envelope.
pub struct Target {
    url: String,
    started: Option<Server>,
}

impl Target {
    /// Starts a server, or uses the one that `REDIS_BENCH_URL` names.
    #[must_use]
    pub fn start() -> Self {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Self { url, started: None };
        }
        let server = Server::builder(Flavor::Redis7).start();
        Self {
            url: server.url(),
            started: Some(server),
        }
    }

    /// Returns the URL of the database of ours.
    #[must_use]
    pub fn url_of_ours(&self) -> String {
        format!("{}/0", self.url)
    }

    /// Returns the URL of the database of the others.
    #[must_use]
    pub fn url_of_others(&self) -> String {
        format!("{}/1", self.url)
    }

    /// Returns the address for those who speak the protocol themselves.
    ///
    /// # Panics
    /// If the URL is not `redis://HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        let address = self.url.strip_prefix("redis://");
        address.expect("the URL is redis://HOST:PORT")
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_our_own = self.started.is_some();
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("of_our_own", &of_our_own)
            .finish()
    }
}
