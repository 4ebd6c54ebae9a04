//! Faults of the servers.

use std::fs;
use std::time::Duration;

use cache_testbed::{Cluster, Server, slot_of_key};
use tokio::time::sleep;

use super::Strike;
use crate::Fault;
use crate::history::{Loss, Nanos, now};
use crate::topology::Topology;
use crate::worker::stored_name;

/// The longest time for which a server stands still.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long before the death of a master its replica may have missed a write.
const REPLICATION_LAG: Nanos = 1_000_000_000;
/// How many keys move with their slots.
const MOVED_KEYS: u32 = 8;

impl Strike<'_> {
    pub(super) async fn strike_server(&mut self) -> Option<Loss> {
        match (self.fault, self.topology) {
            (Fault::Failover, topology) => return Some(self.fail_over(topology).await),
            (Fault::MoveSlots, Topology::Cluster(cluster)) => return self.move_slots(cluster),
            (Fault::Empty, topology) => {
                let servers = topology.servers().into_iter();
                let masters = servers.filter(|server| server.info("role") == "master");
                let masters: Vec<&Server> = masters.collect();
                if let Some(server) = self.random.choice(masters) {
                    server.command(&["FLUSHALL"]).assert_ok();
                }
            }
            (Fault::KillClients, topology) => {
                for server in topology.servers() {
                    kill_clients(server, |_| true);
                }
            }
            (Fault::KillListeners, topology) => {
                for server in topology.servers() {
                    kill_clients(server, is_listener);
                }
            }
            (fault, Topology::Standalone(server)) => return self.strike(fault, server).await,
            _ => unreachable!("{:?} is not possible here", self.fault),
        }
        None
    }

    async fn strike(&mut self, fault: Fault, server: &Server) -> Option<Loss> {
        match fault {
            Fault::RestartEmpty => {
                server.kill();
                sleep(self.time).await;
                server.restart();
            }
            Fault::OldSnapshot => return Some(self.return_to_old_snapshot(server).await),
            Fault::PauseServer => {
                server.pause();
                sleep(self.time.min(LONGEST_PAUSE)).await;
                server.resume();
            }
            Fault::NoMemory => {
                let limit = |bytes| {
                    let command = ["CONFIG", "SET", "maxmemory", bytes];
                    server.command(&command).assert_ok();
                };
                limit("1");
                sleep(self.time).await;
                limit("0");
            }
            _ => self.speak_garbage(server),
        }
        None
    }

    async fn return_to_old_snapshot(&self, server: &Server) -> Loss {
        let from = now();
        server.command(&["SAVE"]).assert_ok();
        sleep(self.time).await;
        let at = now();
        server.kill();
        server.restart();
        let until = now();
        // So that a later restart is one with nothing.
        fs::remove_file(server.dir().join("dump.rdb")).expect("SAVE has written it");
        Loss { from, until, at }
    }

    /// Kills a master, and starts it again when another has taken over.
    async fn fail_over(&mut self, topology: &Topology) -> Loss {
        let at = now();
        let dead = match topology {
            Topology::Sentinels(sentinels) => {
                let master = sentinels.master();
                master.kill();
                sentinels.wait_for_other_master(master.port());
                master
            }
            Topology::Cluster(cluster) => {
                let key = self.random.u32(..MOVED_KEYS);
                let slot = slot_of_key(&self.stored_name(key));
                let master = cluster.master_of_slot(slot);
                master.kill();
                cluster.wait_until_ok();
                master
            }
            Topology::Standalone(_) => unreachable!("one server cannot fail over"),
        };
        sleep(self.time).await;
        dead.restart();
        if let Topology::Cluster(cluster) = topology {
            cluster.wait_until_ok();
        }
        let until = now();
        // The next failover would find no replica, or an empty one.
        if let Topology::Sentinels(sentinels) = topology {
            sentinels.wait_until_settled();
        }
        Loss {
            from: at - REPLICATION_LAG,
            until,
            at,
        }
    }

    fn stored_name(&self, key: u32) -> String {
        stored_name(key, self.keys)
    }

    /// Moves some keys to another node and leaves them there. On a busy machine one of the two nodes may be taken
    /// for dead meanwhile; what has moved until then may be lost.
    fn move_slots(&mut self, cluster: &Cluster) -> Option<Loss> {
        let at = now();
        let mut loss = None;
        for key in 0..MOVED_KEYS {
            let slot = slot_of_key(&self.stored_name(key));
            let nodes = cluster.nodes().iter();
            let masters = nodes.filter(|node| node.is_running() && node.info("role") == "master");
            // Each is asked about itself: what others know of earlier moves and failovers may be old.
            let (owners, others): (Vec<&Server>, Vec<&Server>) =
                masters.partition(|node| cluster.owns_slot(node, slot));
            if let ([from], false) = (owners.as_slice(), others.is_empty()) {
                let to = others[self.random.usize(..others.len())];
                if !cluster.try_move_slot(from, to, slot) {
                    let (from, until) = (at - REPLICATION_LAG, now());
                    loss = Some(Loss { from, until, at });
                }
            }
        }
        loss
    }

    fn speak_garbage(&mut self, server: &Server) {
        let channels = server.command(&["PUBSUB", "CHANNELS"]);
        let long = vec![b'x'; 1 << 20];
        let short: Vec<u8> = (0..self.random.usize(..60))
            .map(|_| self.random.u8(..))
            .collect();
        for channel in channels
            .array()
            .iter()
            .filter_map(|channel| channel.bytes())
        {
            for words in [&b""[..], &short, &long, b"\x01proof:key:1"] {
                server.command(&[b"PUBLISH", channel, words]);
            }
        }
    }
}

/// Closes connections of clients, those of the handle excepted.
fn kill_clients(server: &Server, is_meant: impl Fn(&str) -> bool) {
    let clients = server.command(&["CLIENT", "LIST"]).text();
    for client in clients
        .lines()
        .filter(|line| !line.contains("name=testbed"))
    {
        let id = client
            .split(' ')
            .find_map(|field| field.strip_prefix("id="));
        // Those of replication and of nodes go on.
        let is_client = !client.contains("flags=S") && !client.contains("flags=M");
        if let Some(id) = id.filter(|_| is_client && is_meant(client)) {
            // It may have gone.
            server.command(&["CLIENT", "KILL", "ID", id]);
        }
    }
}

/// Tells whether a client is told of changes, by tracking or by messages.
fn is_listener(client: &str) -> bool {
    let flags = client
        .split(' ')
        .find_map(|field| field.strip_prefix("flags="));
    flags.is_some_and(|flags| flags.contains(['t', 'P', 'B']))
}
