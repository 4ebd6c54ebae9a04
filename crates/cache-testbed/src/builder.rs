//! What a server is to be, and its start.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use crate::admin::{ADMIN, ADMIN_PASSWORD, Admin};
use crate::process::{Process, State};
use crate::{Certificate, Flavor, Server, TestCa, bound_to_this_process, spawn};

/// What a [`Server`] is to be.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    flavor: Flavor,
    port: Option<u16>,
    pub(crate) password: Option<String>,
    pub(crate) tls: Option<Tls>,
    lines: Vec<String>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Standalone,
    ClusterNode,
    Sentinel,
}

#[derive(Debug, Clone)]
pub(crate) struct Tls {
    ca_pem: String,
    certificate: Certificate,
    client_certificates: bool,
}

impl ServerBuilder {
    pub(crate) const fn new(flavor: Flavor) -> Self {
        Self {
            flavor,
            port: None,
            password: None,
            tls: None,
            lines: Vec::new(),
            kind: Kind::Standalone,
        }
    }

    /// Sets the port; by default it is one that is free.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the password of the default user.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.arg("--requirepass", password)
    }

    /// Adds a user, as ACL SETUSER takes one: "alice on >secret ~* +@all".
    #[must_use]
    pub fn acl_user(self, user: &str) -> Self {
        self.arg("--user", user)
    }

    /// Serves TLS alone, with a good certificate of this authority. Only Redis 7 can.
    #[must_use]
    pub fn tls(self, ca: &TestCa) -> Self {
        self.tls_certificate(ca, ca.server())
    }

    /// Serves TLS alone, with this certificate, and believes clients of this authority.
    #[must_use]
    pub fn tls_certificate(mut self, ca: &TestCa, certificate: Certificate) -> Self {
        self.tls = Some(Tls {
            ca_pem: ca.pem().to_owned(),
            certificate,
            client_certificates: false,
        });
        self
    }

    /// Asks each client of the TLS port for a certificate.
    #[must_use]
    pub fn require_client_certificates(mut self) -> Self {
        let tls = self.tls.as_mut().expect("tls comes first");
        tls.client_certificates = true;
        self
    }

    /// Sets an option of the server, as its command line takes it.
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        let name = name.trim_start_matches('-');
        let value = if value.is_empty() { "\"\"" } else { value };
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// Starts the server and waits until it answers.
    #[must_use]
    pub fn start(self) -> Server {
        for _ in 0..5 {
            let port = self.port.unwrap_or_else(spawn::free_port);
            let dir = tempfile::Builder::new()
                .prefix("testbed-")
                .tempdir()
                .expect("a directory is made");
            self.configure(dir.path(), port);
            let server = Server {
                process: Mutex::new(self.spawn(dir.path())),
                settings: self.clone(),
                port,
                admin: Mutex::new(Admin::default()),
                dir,
            };
            if server.wait_until_ready() {
                if self.kind != Kind::Sentinel {
                    // A server counts what it calls itself when it starts.
                    server.reset_stats();
                }
                return server;
            }
            let log = server.log_tail();
            let taken = log.contains("Address already in use");
            assert!(
                taken && self.port.is_none(),
                "the server did not start:\n{log}"
            );
        }
        panic!("no free port found")
    }

    fn configure(&self, dir: &Path, port: u16) {
        let mut lines = vec![
            "bind 127.0.0.1".into(),
            "protected-mode no".into(),
            "daemonize no".into(),
            format!("dir \"{}\"", dir.display()),
            format!("unixsocket \"{}\"", dir.join("server.sock").display()),
            format!("user {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all"),
        ];
        if self.kind != Kind::Sentinel {
            lines.extend(
                [
                    "save \"\"",
                    "appendonly no",
                    "enable-debug-command local",
                    "repl-diskless-sync-delay 0",
                    // A cluster names a replica only after the first byte of its stream.
                    "repl-ping-replica-period 1",
                    // What the handle calls must not push out what clients call.
                    "slowlog-max-len 1024",
                ]
                .map(Into::into),
            );
        }
        if self.kind == Kind::ClusterNode {
            lines.push("cluster-enabled yes".into());
            lines.push(format!("cluster-port {}", spawn::free_port()));
        }
        if let Some(tls) = &self.tls {
            let ca = dir.join("ca.pem");
            fs::write(&ca, &tls.ca_pem).expect("a file is written");
            let own = Certificate::write(
                dir,
                "own",
                tls.certificate.pem.clone(),
                tls.certificate.key_pem.clone(),
            );
            let clients = if tls.client_certificates { "yes" } else { "no" };
            lines.push("port 0".into());
            lines.push(format!("tls-port {port}"));
            lines.push(format!("tls-cert-file \"{}\"", own.path.display()));
            lines.push(format!("tls-key-file \"{}\"", own.key_path.display()));
            lines.push(format!("tls-ca-cert-file \"{}\"", ca.display()));
            lines.push(format!("tls-auth-clients {clients}"));
        } else {
            lines.push(format!("port {port}"));
        }
        lines.extend_from_slice(&self.lines);
        fs::write(dir.join("server.conf"), lines.join("\n") + "\n").expect("a file is written");
    }

    pub(crate) fn spawn(&self, dir: &Path) -> Process {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("server.log"))
            .expect("the log opens");
        let mut command = bound_to_this_process(&self.flavor.binary());
        command.arg(dir.join("server.conf"));
        if self.kind == Kind::Sentinel {
            command.arg("--sentinel");
        }
        command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file handle is cloned"))
            .stdout(log);
        let child = spawn(command).expect("setpriv of util-linux is there");
        Process {
            child,
            state: State::Running,
        }
    }
}
