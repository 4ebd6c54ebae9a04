//! The workers of a run.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use cache_testbed::{Proxy, bound_to_this_process, spawn};
use rustix::process::{Pid, Signal, kill_process};

use crate::Plan;
use crate::history::{History, Record};
use crate::plan::Order;
use crate::topology::Topology;
use crate::worker::READY;

/// A worker process, and its ways to the store.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    history: PathBuf,
    /// None to servers that tell clients their own addresses.
    pub(crate) links: Option<Links>,
}

/// The ways of a worker to the store, for values and for the bus.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) data: Proxy,
    pub(crate) bus: Proxy,
}

impl Worker {
    pub(crate) async fn start(plan: &Plan, topology: &Topology, process: u32, dir: &Path) -> Self {
        let links = match topology {
            Topology::Standalone(server) => Some(Links {
                data: Proxy::start(server.address()).await,
                bus: Proxy::start(server.address()).await,
            }),
            _ => None,
        };
        let url = |proxy: fn(&Links) -> &Proxy| {
            let address = links.as_ref().map(|links| proxy(links).address());
            address.map_or_else(|| topology.url(), |address| format!("redis://{address}"))
        };
        let history = dir.join(format!("history-{process}"));
        let order = Order {
            mode: plan.mode,
            process,
            processes: plan.processes,
            keys: plan.keys,
            rate: plan.rate,
            seed: plan.seed,
            data_url: url(|links| &links.data),
            bus_url: url(|links| &links.bus),
            history: history.clone(),
        };
        let mut command = bound_to_this_process(&plan.worker);
        command
            .arg(serde_json::to_string(&order).expect("an order is JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(bug) = plan.planted_bug {
            command.env("PLANTED_BUG", bug);
        }
        let mut process = spawn(command).expect("setpriv of util-linux is there");
        Self {
            input: process.stdin.take().expect("it is piped"),
            output: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
            history,
            links,
        }
    }

    /// Waits until the worker may read from its first tier.
    pub(crate) fn wait_until_ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe is read");
        assert_eq!(line.trim_end(), READY, "the worker has ended");
    }

    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.input, "{order}").expect("the worker lives");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the worker lives");
    }

    /// Waits for the end of the worker, and adds what it saw.
    pub(crate) fn finish(mut self, history: &mut History) {
        let status = self.process.wait().expect("a child is waited for");
        assert!(status.success(), "a worker failed: {status}");
        let file = File::open(&self.history).expect("the worker wrote its history");
        for line in BufReader::new(file).lines() {
            let line = line.expect("a file is read");
            match serde_json::from_str(&line).expect("a record is JSON") {
                Record::Operation(call) => history.operations.push(call),
                Record::Stall(stall) => history.stalls.push(stall),
                Record::Sample(sample) => history.samples.push(sample),
            }
        }
    }
}
