//! A cluster.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::admin::{ADMIN, ADMIN_PASSWORD};
use crate::builder::Kind;
use crate::{Flavor, Reply, Server, ServerBuilder, wait_for};

/// How many redirections one command follows before it begins again.
const REDIRECTIONS: usize = 5;

const SLOTS: usize = 16_384;
/// How long the nodes may take to agree; a failover is in it.
const LIMIT: Duration = Duration::from_secs(30);

/// Masters and replicas, which end with the handle.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    masters: usize,
}

/// What a [`Cluster`] is to be.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    node: ServerBuilder,
    masters: usize,
    replicas: usize,
    /// Options of single nodes.
    own: Vec<(usize, String, String)>,
}

impl Cluster {
    /// Starts three masters with one replica each, and waits until all agree.
    #[must_use]
    pub fn start(flavor: Flavor) -> Self {
        Self::builder(flavor).start()
    }

    /// Starts to describe a cluster: three masters, one replica each, a node timeout of 1 s.
    #[must_use]
    pub fn builder(flavor: Flavor) -> ClusterBuilder {
        let mut node = Server::builder(flavor);
        node.kind = Kind::ClusterNode;
        ClusterBuilder {
            node,
            masters: 3,
            replicas: 1,
            own: Vec::new(),
        }
        .node_timeout(Duration::from_secs(1))
    }

    /// Returns all nodes: first those that began as masters, then the replicas.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Returns "redis-cluster://127.0.0.1:p1?node=127.0.0.1:p2&node=…".
    #[must_use]
    pub fn url(&self) -> String {
        url("redis-cluster", &self.nodes)
    }

    /// Returns the node that is the master of a slot, as a live node says.
    #[must_use]
    pub fn master_of_slot(&self, slot: u16) -> &Server {
        let port = self.ranges(self.live()).iter().find_map(|range| {
            let range = range.array();
            let slots = range[0].integer()..=range[1].integer();
            slots.contains(&i64::from(slot)).then(|| port_of(&range[2]))
        });
        let port = port.unwrap_or_else(|| panic!("nobody serves slot {slot}"));
        self.node(port)
    }

    /// Tells whether a running node says of itself that it is the master of a slot.
    #[must_use]
    pub fn owns_slot(&self, node: &Server, slot: u16) -> bool {
        self.ranges(node).iter().any(|range| {
            let range = range.array();
            let slots = range[0].integer()..=range[1].integer();
            slots.contains(&i64::from(slot)) && port_of(&range[2]) == node.port()
        })
    }

    /// Returns the node that is the master for a key, as a live node says.
    #[must_use]
    pub fn master_of_key(&self, key: &str) -> &Server {
        self.master_of_slot(slot_of_key(key))
    }

    /// Runs a command that concerns one key on the node that has it, wherever the key moves meanwhile.
    ///
    /// Follows `MOVED` and `ASK`, and begins again while nodes do not agree or nobody serves the slot.
    /// Any other error is the reply.
    pub fn command(&self, arguments: &[impl AsRef<[u8]>]) -> Reply {
        let start = Instant::now();
        loop {
            let mut way = Vec::new();
            if let Some(reply) = self.follow(arguments, &mut way) {
                return reply;
            }
            assert!(
                start.elapsed() < LIMIT,
                "no node has the key within {LIMIT:?}: {way:?}"
            );
            sleep(Duration::from_millis(10));
        }
    }

    /// Follows redirections from a live node, and notes them; `None` if they lead nowhere at the moment.
    fn follow(&self, arguments: &[impl AsRef<[u8]>], way: &mut Vec<String>) -> Option<Reply> {
        let mut reply = self.live().command(arguments);
        for _ in 0..REDIRECTIONS {
            let Reply::Error(text) = &reply else {
                return Some(reply);
            };
            way.push(text.clone());
            let mut words = text.split(' ');
            let kind = words.next();
            let target = words.nth(1).and_then(|address| address.rsplit_once(':'));
            reply = match (kind, target) {
                (Some("MOVED"), Some((_, port))) => self.running(port)?.command(arguments),
                (Some("ASK"), Some((_, port))) => self.running(port)?.command_asking(arguments),
                (Some("CLUSTERDOWN" | "TRYAGAIN" | "LOADING"), _) => return None,
                _ => return Some(reply),
            };
        }
        None
    }

    fn running(&self, port: &str) -> Option<&Server> {
        let node = self.node(port.parse().ok()?);
        node.is_running().then_some(node)
    }

    /// Returns the identifier of a node.
    #[must_use]
    pub fn id(&self, node: &Server) -> String {
        node.command(&["CLUSTER", "MYID"]).text()
    }

    /// Marks a slot as moving and moves nothing: `from` answers ASK for keys that it lacks.
    pub fn begin_move(&self, from: &Server, to: &Server, slot: u16) {
        assert!(self.try_begin_move(from, to, slot), "both are masters");
    }

    /// Does the same, and tells whether both are masters.
    fn try_begin_move(&self, from: &Server, to: &Server, slot: u16) -> bool {
        let slot = slot.to_string();
        let mark = |node: &Server, word, other| {
            let reply = node.command(&["CLUSTER", "SETSLOT", &slot, word, &self.id(other)]);
            is_done_by_master(&reply)
        };
        mark(to, "IMPORTING", from) && mark(from, "MIGRATING", to)
    }

    /// Moves the keys of a slot for which [`begin_move`](Self::begin_move) was called.
    pub fn move_keys(&self, from: &Server, to: &Server, slot: u16) {
        assert!(self.try_move_keys(from, to, slot), "both are masters");
    }

    fn try_move_keys(&self, from: &Server, to: &Server, slot: u16) -> bool {
        let (slot, port) = (slot.to_string(), to.port().to_string());
        loop {
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let keys: Vec<&[u8]> = keys.array().iter().filter_map(Reply::bytes).collect();
            if keys.is_empty() {
                return true;
            }
            let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE"];
            let rest = ["AUTH2", ADMIN, ADMIN_PASSWORD, "KEYS"];
            let words = head.iter().chain(&rest).map(|word| word.as_bytes());
            let command: Vec<&[u8]> = words.chain(keys).collect();
            // A key that expired meanwhile is no failure.
            if !is_done_by_master(&from.command(&command)) {
                return false;
            }
        }
    }

    /// Gives a slot to `to`, which ends its move.
    ///
    /// First `to` has to know the latest epoch, so that it takes a later one. Otherwise a packet of the old
    /// owner that is under way would win, and the two would send clients to each other for ever.
    pub fn end_move(&self, to: &Server, slot: u16) {
        assert!(self.try_end_move(to, slot), "it is a master");
    }

    fn try_end_move(&self, to: &Server, slot: u16) -> bool {
        wait_for("knowledge of the latest epoch", LIMIT, || {
            let running = self.nodes.iter().filter(|node| node.is_running());
            let latest = running.map(|node| epoch(node, "my")).max();
            (Some(epoch(to, "current")) >= latest).then_some(())
        });
        let (slot, id) = (slot.to_string(), self.id(to));
        let tell = |node: &Server| node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        if !is_done_by_master(&tell(to)) {
            return false;
        }
        for node in self.running_but(to) {
            let reply = tell(node);
            // A replica hears of it from its master, and a node that still has keys of the slot from `to`.
            let _is_told = still_has_keys(&reply) || is_done_by_master(&reply);
        }
        true
    }

    /// Tells whether another master than `to` has keys of a slot. It drops them when it hears that the slot is that
    /// of `to`.
    #[must_use]
    pub fn has_keys_elsewhere(&self, to: &Server, slot: u16) -> bool {
        let slot = slot.to_string();
        self.running_but(to).any(|node| {
            let count = node.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
            count.integer() > 0 && node.info("role") == "master"
        })
    }

    fn running_but(&self, one: &Server) -> impl Iterator<Item = &Server> {
        let others = self.nodes.iter().filter(|node| node.is_running());
        others.filter(|node| node.port() != one.port())
    }

    /// Moves a slot with its keys while clients go on, and tells whether that was done: another node may take
    /// over from one of these meanwhile, and then has keys that were moved.
    pub fn try_move_slot(&self, from: &Server, to: &Server, slot: u16) -> bool {
        if !self.try_begin_move(from, to, slot) || !self.try_move_keys(from, to, slot) {
            return false;
        }
        // Asked before the end: who hears of that drops them without a word.
        let is_whole = !self.has_keys_elsewhere(to, slot);
        self.try_end_move(to, slot) && is_whole
    }

    /// Moves slots with their keys from one master to another while clients go on.
    pub fn move_slots(&self, from: &Server, to: &Server, slots: RangeInclusive<u16>) {
        for slot in slots {
            self.begin_move(from, to, slot);
            self.move_keys(from, to, slot);
            self.end_move(to, slot);
        }
    }

    /// Waits until the running nodes serve all slots, agree on it, and follow their masters.
    pub fn wait_until_ok(&self) {
        wait_for("agreement of the cluster", LIMIT, || {
            self.is_ok(None).then_some(())
        });
    }

    fn is_ok(&self, replicas: Option<usize>) -> bool {
        let running = self.nodes.iter().filter(|node| node.is_running());
        let views = running.map(|node| {
            let info = node.command(&["CLUSTER", "INFO"]).text();
            let mut slots = vec![0; SLOTS];
            let mut served = 0;
            for range in self.ranges(node) {
                let range = range.array();
                let master = port_of(&range[2]);
                let live = self.node(master).is_running();
                let complete = replicas.is_none_or(|replicas| range.len() == 3 + replicas);
                for slot in range[0].integer()..=range[1].integer() {
                    slots[usize::try_from(slot).unwrap_or_default()] = master;
                    served += usize::from(live && complete);
                }
            }
            let linked = ["", "up"].contains(&node.info("master_link_status").as_str());
            let ok = info.contains("cluster_state:ok") && linked && served == SLOTS;
            ok.then_some(slots)
        });
        let views: HashSet<Option<Vec<u16>>> = views.collect();
        views.len() == 1 && !views.contains(&None)
    }

    fn join(&self, replicas: usize) {
        let masters = &self.nodes[..self.masters];
        for (index, master) in masters.iter().enumerate() {
            let epoch = (index + 1).to_string();
            master
                .command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .assert_ok();
            let first = (SLOTS * index / self.masters).to_string();
            let last = (SLOTS * (index + 1) / self.masters - 1).to_string();
            master
                .command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .assert_ok();
        }
        for (index, node) in self.nodes.iter().enumerate() {
            for other in &self.nodes[index + 1..] {
                let bus = other.command(&["CONFIG", "GET", "cluster-port"]).array()[1].text();
                let port = other.port().to_string();
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                    .assert_ok();
            }
        }
        for (index, replica) in self.nodes[self.masters..].iter().enumerate() {
            let id = self.id(&masters[index % self.masters]);
            wait_for("master for a replica", LIMIT, || {
                let reply = replica.command(&["CLUSTER", "REPLICATE", &id]);
                (!reply.is_error()).then_some(())
            });
        }
        wait_for("agreement of the cluster", LIMIT, || {
            self.is_ok(Some(replicas)).then_some(())
        });
    }

    fn live(&self) -> &Server {
        let mut running = self.nodes.iter().filter(|node| node.is_running());
        running.next().expect("some node is running")
    }

    fn node(&self, port: u16) -> &Server {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.port() == port)
            .unwrap_or_else(|| panic!("port {port} is not one of the cluster"))
    }

    fn ranges(&self, node: &Server) -> Vec<Reply> {
        node.command(&["CLUSTER", "SLOTS"]).array().to_vec()
    }
}

/// Tells whether a node has done what only masters do.
///
/// # Panics
/// If it failed for another reason.
fn is_done_by_master(reply: &Reply) -> bool {
    let Reply::Error(text) = reply else {
        return true;
    };
    let is_replica = text.starts_with("READONLY") || text.contains("only with masters");
    assert!(is_replica, "{text}");
    false
}

/// Tells whether a node refuses to give a slot away because it has keys of it.
fn still_has_keys(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.contains("still hold keys"))
}

impl ClusterBuilder {
    /// Sets the number of masters.
    #[must_use]
    pub const fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// Sets the number of replicas of each master.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets the time after which a silent node counts as failed.
    #[must_use]
    pub fn node_timeout(self, time: Duration) -> Self {
        self.arg("--cluster-node-timeout", &time.as_millis().to_string())
    }

    /// Sets whether the cluster refuses all slots while one is not served; servers do by default.
    #[must_use]
    pub fn require_full_coverage(self, required: bool) -> Self {
        let value = if required { "yes" } else { "no" };
        self.arg("--cluster-require-full-coverage", value)
    }

    /// Sets an option of each node, as its command line takes it.
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.node = self.node.arg(name, value);
        self
    }

    /// Sets an option of one node, by its place in [`nodes`](Cluster::nodes), as its command line takes it.
    #[must_use]
    pub fn arg_of(mut self, node: usize, name: &str, value: &str) -> Self {
        self.own.push((node, name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the nodes, joins them and waits until all agree.
    #[must_use]
    pub fn start(self) -> Cluster {
        let nodes = self.masters * (1 + self.replicas);
        let nodes = (0..nodes).map(|place| {
            let own = self.own.iter().filter(|(node, ..)| *node == place);
            let node = own.fold(self.node.clone(), |node, (_, name, value)| {
                node.arg(name, value)
            });
            node.start()
        });
        let cluster = Cluster {
            nodes: nodes.collect(),
            masters: self.masters,
        };
        cluster.join(self.replicas);
        cluster
    }
}

/// Returns the slot of a key, by its hash tag if it has one.
#[must_use]
pub fn slot_of_key(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    let crc = tag.unwrap_or(key).bytes().fold(0u16, |crc, byte| {
        // CRC-16/XMODEM.
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % 16_384
}

/// Returns an epoch that a node knows: its own (`my`) or the latest (`current`).
fn epoch(node: &Server, which: &str) -> u64 {
    let info = node.command(&["CLUSTER", "INFO"]).text();
    let name = format!("cluster_{which}_epoch:");
    let epoch = info.lines().find_map(|line| line.strip_prefix(&name));
    epoch
        .and_then(|epoch| epoch.trim().parse().ok())
        .unwrap_or_default()
}

/// Makes the address of a deployment of many servers.
pub(crate) fn url(scheme: &str, servers: &[Server]) -> String {
    let addresses: Vec<String> = servers.iter().map(Server::address).collect();
    format!(
        "{scheme}://{}",
        addresses.join("&node=").replacen('&', "?", 1)
    )
}

/// Returns the port in a list of host, port and identifier.
fn port_of(node: &Reply) -> u16 {
    u16::try_from(node.array()[1].integer()).expect("a port has 16 bits")
}
