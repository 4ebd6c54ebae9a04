//! A master and a replica that sentinels watch.

use std::time::Duration;

use crate::builder::Kind;
use crate::cluster::url;
use crate::{Flavor, Reply, Server, wait_for};

/// The name by which the sentinels know the master.
const SERVICE: &str = "main";
/// How long the sentinels may take to agree; a failover is in it.
const LIMIT: Duration = Duration::from_secs(30);

/// A master, a replica and three sentinels, which end with the handle.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// Starts all, and waits until each sentinel knows the others and the replica.
    ///
    /// A master that is silent for 1 s is replaced.
    #[must_use]
    pub fn start(flavor: Flavor) -> Self {
        let master = Server::builder(flavor).start();
        let port = master.port().to_string();
        let address = format!("127.0.0.1 {port}");
        let replica = Server::builder(flavor).arg("--replicaof", &address).start();
        wait_for("replication", LIMIT, || {
            (replica.info("master_link_status") == "up").then_some(())
        });
        let mut sentinel = Server::builder(flavor)
            .arg("sentinel", &format!("monitor {SERVICE} {address} 2"))
            .arg(
                "sentinel",
                &format!("down-after-milliseconds {SERVICE} 1000"),
            )
            .arg("sentinel", &format!("failover-timeout {SERVICE} 5000"))
            .arg("sentinel", &format!("parallel-syncs {SERVICE} 1"));
        sentinel.kind = Kind::Sentinel;
        let all = Self {
            servers: vec![master, replica],
            sentinels: (0..3).map(|_| sentinel.clone().start()).collect(),
        };
        all.wait_until_settled();
        all
    }

    /// Waits until each sentinel knows the others and a replica that is up to date.
    ///
    /// A master that dies before that is not replaced, or by an empty server: after a failover the sentinels take some
    /// ten seconds until the old master, once it is back, copies from the new one.
    pub fn wait_until_settled(&self) {
        wait_for("agreement of the sentinels", LIMIT, || {
            self.sentinels.iter().all(knows_all).then_some(())
        });
    }

    /// Returns "redis-sentinel://127.0.0.1:s1?node=…&sentinelServiceName=main".
    #[must_use]
    pub fn url(&self) -> String {
        let sentinels = url("redis-sentinel", &self.sentinels);
        format!("{sentinels}&sentinelServiceName={SERVICE}")
    }

    /// Returns the master, as a running sentinel says.
    #[must_use]
    pub fn master(&self) -> &Server {
        let mut running = self.sentinels.iter().filter(|server| server.is_running());
        let sentinel = running.next().expect("some sentinel is running");
        let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        let port = address.array()[1].text();
        let mut servers = self.servers.iter();
        servers
            .find(|server| server.port().to_string() == port)
            .unwrap_or_else(|| panic!("port {port} is none of the servers"))
    }

    /// Returns the servers with the data: first the one that began as the master.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// Makes the replica the master, and waits until it is.
    pub fn failover(&self) {
        let old = self.master().port();
        wait_for("failover", LIMIT, || {
            let reply = self.sentinels[0].command(&["SENTINEL", "FAILOVER", SERVICE]);
            (!reply.is_error()).then_some(())
        });
        self.wait_for_other_master(old);
    }

    /// Waits until all running sentinels name another master than the one at this port, and it is
    /// one.
    pub fn wait_for_other_master(&self, port: u16) {
        let old = port.to_string();
        wait_for("new master", LIMIT, || {
            let mut running = self.sentinels.iter().filter(|server| server.is_running());
            let agreed = running.all(|sentinel| {
                let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
                address.array()[1].text() != old
            });
            (agreed && self.master().info("role") == "master").then_some(())
        });
    }
}

/// Returns whether a sentinel knows two others and a replica that is up to date.
fn knows_all(sentinel: &Server) -> bool {
    let master = sentinel.command(&["SENTINEL", "MASTER", SERVICE]);
    let replicas = sentinel.command(&["SENTINEL", "REPLICAS", SERVICE]);
    let replica = replicas.array().first();
    field(&master, "num-other-sentinels") == "2"
        && field(&master, "flags") == "master"
        && replica.is_some_and(|replica| {
            field(replica, "flags") == "slave" && field(replica, "master-link-status") == "ok"
        })
}

/// Returns a value of a list of names and values.
fn field(reply: &Reply, name: &str) -> String {
    let pairs = reply.array().chunks_exact(2);
    pairs
        .filter(|pair| pair[0].text() == name)
        .map(|pair| pair[1].text())
        .next()
        .unwrap_or_default()
}
