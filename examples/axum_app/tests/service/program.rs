//! The example as a process, and a client.

use std::ops::Deref;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use tokio::net::TcpStream;

use crate::Backend;
use crate::http::{Coming, Http, LIMIT};
use crate::process::Process;

/// A process that serves, which ends with the handle.
pub(crate) struct Program {
    process: Process,
    http: Http,
}

impl Program {
    pub(crate) fn start(backend: &Backend) -> Self {
        Self::start_with(backend, &[])
    }

    pub(crate) fn start_with(backend: &Backend, variables: &[(&str, &str)]) -> Self {
        let process = Process::start(backend.name(), backend.server(), variables);
        let http = Http::to(&process.base);
        Self { process, http }
    }

    /// Returns the value of a series of /metrics.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let metrics = self.get("/metrics").await;
        let line = metrics.text().lines().find_map(|line| {
            let value = line.strip_prefix(series)?.strip_prefix(' ')?;
            value.parse().ok()
        });
        line.unwrap_or_else(|| panic!("no {series} in {}", metrics.text()))
    }

    pub(crate) async fn database_reads(&self) -> u64 {
        self.metric("database_reads_total").await
    }

    /// Returns a client with connections of its own.
    pub(crate) fn client(&self) -> Http {
        Http::to(&self.process.base)
    }

    /// Returns whether it takes another connection, by which nothing is asked.
    pub(crate) async fn takes_connections(&self) -> bool {
        let address = self.process.base.trim_start_matches("http://");
        TcpStream::connect(address).await.is_ok()
    }

    pub(crate) async fn start_events(&self) -> Coming {
        self.http.start("GET", "/live/events", &[], "").await
    }

    /// Sends "INT", which is ctrl-c, or "TERM".
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Returns how the program has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        until("end of the process", async || {
            self.process.child.try_wait().expect("it is our child")
        })
        .await
    }
}

impl Deref for Program {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "no {what} within {LIMIT:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
