//! The example as a process.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use cache_testbed::{bound_to_this_process, spawn};

use crate::Backend;
use crate::http::{Coming, Http, LIMIT};

/// A process that serves, which ends with the handle.
pub(crate) struct Program {
    child: Child,
    http: Http,
}

impl Program {
    pub(crate) fn start(backend: &Backend) -> Self {
        Self::start_with(backend, &[])
    }

    pub(crate) fn start_with(backend: &Backend, variables: &[(&str, &str)]) -> Self {
        // Examples are built beside the tests.
        let test = std::env::current_exe().expect("the test knows its own path");
        let profile = test.ancestors().nth(2);
        let profile = profile.expect("tests are built in a folder of the profile");
        let path: PathBuf = profile.join("examples").join("axum_app");
        let mut command: Command = bound_to_this_process(&path);
        command.arg("0").stdout(Stdio::piped());
        command.env("BUILDSCALE_CACHE_BACKEND", backend.name());
        if let Some(server) = backend.server() {
            command.env("BUILDSCALE_CACHE_REDIS_URL", server.url());
        }
        command.envs(variables.iter().copied());
        let mut child = spawn(command).expect("the example is built");
        let output = child.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().next();
        let line = line.expect("it says where it listens");
        let line = line.expect("it is text");
        let base = line.strip_prefix("listening on ");
        let http = Http::to(base.expect("it says where it listens"));
        Self { child, http }
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
        Http::to(self.http.base())
    }

    pub(crate) async fn start_events(&self) -> Coming {
        self.http.start("GET", "/live/events", &[], "").await
    }

    /// Sends "INT", which is ctrl-c, or "TERM".
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Returns how the program has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        until("end of the process", async || {
            self.child.try_wait().expect("it is our child")
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

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
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
