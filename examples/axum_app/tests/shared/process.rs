//! The service as a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cache_testbed::{Server, bound_to_this_process, spawn};

/// A process that serves, which ends with the handle.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// "http://host:port"
    pub(crate) base: String,
}

impl Process {
    /// Starts it on a backend of `Cache::from_env`, with more variables of the environment.
    pub(crate) fn start(backend: &str, server: Option<&Server>, more: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_BIN_EXE_axum_app"));
        let mut command: Command = bound_to_this_process(path);
        command.arg("0").stdout(Stdio::piped());
        command.env("BUILDSCALE_CACHE_BACKEND", backend);
        if let Some(server) = server {
            command.env("BUILDSCALE_CACHE_REDIS_URL", server.url());
        }
        command.envs(more.iter().copied());
        let mut child = spawn(command).expect("the service starts");
        let output = child.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().next();
        let line = line.expect("it says where it listens");
        let line = line.expect("it is text");
        let base = line.strip_prefix("listening on ");
        let base = base.expect("it says where it listens").to_owned();
        Self { child, base }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
