//! The servers of a run.

use std::io;

use cache_testbed::{Client, Cluster, Flavor, Reply, Sentinels, Server};

use crate::Setup;
use crate::history::{Observation, now};
use crate::payload::Payload;
use crate::worker::{all_keys, stored_name};

/// What stands under a key while it is loaded: for readers it is absent.
const LEASE: &[u8] = b"\xC1\x00lease";

/// The servers of a run.
#[derive(Debug)]
pub(crate) enum Topology {
    Standalone(Box<Server>),
    Sentinels(Box<Sentinels>),
    Cluster(Box<Cluster>),
}

impl Topology {
    pub(crate) fn start(setup: Setup, flavor: Flavor) -> Self {
        match setup {
            Setup::Standalone => Self::Standalone(Box::new(Server::builder(flavor).start())),
            Setup::Sentinels => Self::Sentinels(Box::new(Sentinels::start(flavor))),
            Setup::Cluster => Self::Cluster(Box::new(Cluster::start(flavor))),
        }
    }

    /// Returns where clients connect to.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Standalone(server) => server.url(),
            Self::Sentinels(sentinels) => sentinels.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Returns the servers that answer commands of clients now.
    pub(crate) fn servers(&self) -> Vec<&Server> {
        match self {
            Self::Standalone(server) => vec![server],
            Self::Sentinels(sentinels) => vec![sentinels.master()],
            Self::Cluster(cluster) => {
                let nodes = cluster.nodes().iter();
                nodes.filter(|node| node.is_running()).collect()
            }
        }
    }

    /// Looks what is held under each key, past the library and its proxies.
    pub(crate) fn look(&self, keys: u32) -> Vec<Observation> {
        match self {
            Self::Cluster(cluster) => {
                let look = |key| {
                    let name = stored_name(key, keys);
                    let start = now();
                    let reply = cluster.command(&["GET", &name]);
                    observation(0, key, start, &reply)
                };
                (0..all_keys(keys)).map(look).collect()
            }
            _ => {
                let address = self.servers()[0].address();
                let eye = Eye::open(&address).and_then(|mut eye| eye.look(keys));
                eye.expect("the server is well when all faults have ended")
            }
        }
    }
}

/// A connection that looks what a server holds.
pub(crate) struct Eye {
    client: Client,
    run: u64,
}

impl Eye {
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let mut client = Client::connect(address)?;
        let info = match client.command(&["INFO", "server"])? {
            Reply::Bulk(Some(info)) => String::from_utf8_lossy(&info).into_owned(),
            other => return Err(io::Error::other(format!("{other:?}"))),
        };
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let run = run.and_then(|run| u64::from_str_radix(run.get(..16)?, 16).ok());
        let run = run.ok_or_else(|| io::Error::other("no run_id"))?;
        Ok(Self { client, run })
    }

    /// Looks what is held under each key. A connection is to one life of a server.
    pub(crate) fn look(&mut self, keys: u32) -> io::Result<Vec<Observation>> {
        let names = (0..all_keys(keys)).map(|key| stored_name(key, keys));
        let command: Vec<String> = std::iter::once("MGET".to_owned()).chain(names).collect();
        let start = now();
        match self.client.command(&command)? {
            Reply::Array(replies) => Ok((0..all_keys(keys))
                .zip(&replies)
                .map(|(key, reply)| observation(self.run, key, start, reply))
                .collect()),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }
}

fn observation(run: u64, key: u32, start: u64, reply: &Reply) -> Observation {
    Observation {
        run,
        key,
        start,
        end: now(),
        found: reply
            .bytes()
            .filter(|bytes| !bytes.starts_with(LEASE))
            .map(Payload::seen_in),
    }
}
