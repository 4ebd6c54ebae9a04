//! One server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::admin::Admin;
use crate::builder::Kind;
use crate::process::{Process, State};
use crate::{Flavor, Reply, ServerBuilder, wait_for};

/// How long a server may take to start or to stop. A node of a cluster waits for the disk when it starts, and on
/// a machine that also compiles the disk may have much to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A server in a directory of its own, which ends with the handle.
#[derive(Debug)]
pub struct Server {
    pub(crate) settings: ServerBuilder,
    pub(crate) port: u16,
    pub(crate) process: Mutex<Process>,
    pub(crate) admin: Mutex<Admin>,
    pub(crate) dir: TempDir,
}

impl Server {
    /// Starts to describe a server.
    #[must_use]
    pub fn builder(flavor: Flavor) -> ServerBuilder {
        ServerBuilder::new(flavor)
    }

    /// Returns the port; with TLS it is the TLS port, and there is no other.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns "127.0.0.1:port".
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns "redis://127.0.0.1:port", with the password if there is one; "rediss" with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let password = self.settings.password.as_deref();
        let password = password.map_or(String::new(), |password| format!(":{password}@"));
        format!("{scheme}://{password}{}", self.address())
    }

    /// Returns the Unix socket, which each server has.
    #[must_use]
    pub fn unix_socket(&self) -> PathBuf {
        self.dir.path().join("server.sock")
    }

    /// Returns the directory with the configuration, the log and the data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns whether the server is neither paused nor killed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().state == State::Running
    }

    /// Stops the process, so that connections stay open and nobody answers.
    pub fn pause(&self) {
        let mut process = self.process();
        process.signal(Signal::STOP);
        process.state = State::Paused;
        wait_for("stop of the process", LIMIT, || {
            process.is_stopped().then_some(())
        });
    }

    /// Continues a paused process.
    pub fn resume(&self) {
        let mut process = self.process();
        process.signal(Signal::CONT);
        process.state = State::Running;
    }

    /// Kills the process and waits for its end; what was not saved is lost.
    pub fn kill(&self) {
        self.process().kill();
        self.admin().client = None;
    }

    /// Kills the process if it lives, starts it on the same port and directory, and waits until
    /// it answers.
    pub fn restart(&self) {
        self.kill();
        *self.admin() = Admin::default();
        wait_for("restart", LIMIT, || {
            *self.process() = self.settings.spawn(self.dir.path());
            self.wait_until_ready().then_some(())
        });
        if self.settings.kind != Kind::Sentinel {
            self.reset_stats();
        }
    }

    /// Runs a command by a connection and a user of the handle's own.
    pub fn command(&self, arguments: &[impl AsRef<[u8]>]) -> Reply {
        self.try_command(arguments).unwrap_or_else(|error| {
            let name = String::from_utf8_lossy(arguments[0].as_ref()).into_owned();
            panic!("{name} failed: {error}\n{}", self.log_tail())
        })
    }

    /// Runs a command as [`command`](Self::command) does.
    ///
    /// # Errors
    ///
    /// Those of the connection, also when no reply came for 10 s.
    pub fn try_command(&self, arguments: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.admin().command(&self.unix_socket(), arguments)
    }

    /// Runs a command behind `ASKING`, for a slot that this node of a cluster is importing.
    pub(crate) fn command_asking(&self, arguments: &[impl AsRef<[u8]>]) -> Reply {
        let (mut admin, socket) = (self.admin(), self.unix_socket());
        let mut run = || {
            admin.command(&socket, &["ASKING"])?;
            admin.command(&socket, arguments)
        };
        run().unwrap_or_else(|error| panic!("ASKING failed: {error}"))
    }

    /// Returns a field of INFO, empty when there is none.
    #[must_use]
    pub fn info(&self, field: &str) -> String {
        let info = self.command(&["INFO", "everything"]).text();
        info.lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns whether the server answers; `false` once its process has ended.
    pub(crate) fn wait_until_ready(&self) -> bool {
        wait_for("answer to PING", LIMIT, || {
            if self.process().has_ended() {
                return Some(false);
            }
            let reply = self.try_command(&["PING"]).ok()?;
            (reply == Reply::Simple("PONG".into())).then_some(true)
        })
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.dir.path().join("server.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admin(&self) -> MutexGuard<'_, Admin> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process().kill();
    }
}
