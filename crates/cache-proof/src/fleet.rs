//! The workers of a run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cache_testbed::{Proxy, bound_to_this_process, spawn};
use rustix::process::{Pid, Signal, kill_process};

use crate::Plan;
use crate::history::History;
use crate::plan::Order;
use crate::topology::Topology;
use crate::worker::READY;

/// How long a worker may take to write down its history when a run is torn down: its tasks end the calls
/// that they are in.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// A worker process, and its ways to the store.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    /// None once it was told that there is nothing more to come.
    input: Option<ChildStdin>,
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
        let mut process = spawn(command).expect("setpriv of util-linux is there");
        Self {
            input: process.stdin.take(),
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
        let input = self.input.as_mut().expect("it is piped");
        writeln!(input, "{order}").expect("the worker lives");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the worker lives");
    }

    /// Waits for the end of the worker, and adds what it saw.
    pub(crate) fn finish(mut self, history: &mut History) {
        let status = self.process.wait().expect("a child is waited for");
        self.input = None;
        assert!(status.success(), "a worker failed: {status}");
        let read = history.read(&self.history);
        read.expect("the worker wrote its history");
    }
}

/// A run that is torn down waits for its workers: they still write where it lets them.
impl Drop for Worker {
    fn drop(&mut self) {
        if self.input.take().is_none() {
            return;
        }
        // It may stand still.
        kill_process(Pid::from_child(&self.process), Signal::CONT).ok();
        let limit = Instant::now() + LAST_WORDS;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < limit {
            thread::sleep(Duration::from_millis(10));
        }
        // Both fail only for a process that has ended.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_dropped_has_written_its_last_words() {
        let dir = tempfile::tempdir().expect("a folder is made");
        let history = dir.path().join("history");
        let mut command = bound_to_this_process("sh".as_ref());
        command
            .args(["-c", "cat; sleep 0.3; echo done >\"$0\""])
            .arg(&history)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = spawn(command).expect("setpriv of util-linux is there");
        let worker = Worker {
            input: process.stdin.take(),
            output: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
            history: history.clone(),
            links: None,
        };
        worker.signal(Signal::STOP);
        drop(worker);
        let words = std::fs::read_to_string(history).expect("it was written");
        assert_eq!(words, "done\n");
    }
}
