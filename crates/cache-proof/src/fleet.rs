//! The workers of a run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cache_testbed::{Proxy, bound_to_this_process, spawn};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::Plan;
use crate::history::{Death, History, now};
use crate::plan::Order;
use crate::topology::Topology;
use crate::worker::READY;

/// How long a worker may take to write down its history when a run is torn down: its tasks end the calls
/// that they are in.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// How often it is looked whether a worker has said something.
const TICK: Duration = Duration::from_millis(5);

/// A place among the workers: a process, those before it that have died, and their ways to the store.
#[derive(Debug)]
pub(crate) struct Worker {
    life: Mutex<Life>,
    dead: Mutex<Vec<Dead>>,
    program: PathBuf,
    /// What the first process was told.
    order: Order,
    /// None to servers that tell clients their own addresses.
    pub(crate) links: Option<Links>,
}

/// A process that is running.
#[derive(Debug)]
struct Life {
    process: Child,
    number: u32,
    /// None once it was told that there is nothing more to come.
    input: Option<ChildStdin>,
    /// The lines that it says.
    output: Receiver<String>,
    history: PathBuf,
}

/// A process that was killed.
#[derive(Debug)]
struct Dead {
    death: Death,
    history: PathBuf,
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
        let order = Order {
            mode: plan.mode,
            process,
            processes: plan.processes,
            keys: plan.keys,
            rate: plan.rate,
            seed: plan.seed,
            data_url: url(|links| &links.data),
            bus_url: url(|links| &links.bus),
            source: source_in(dir),
            history: dir.join(format!("history-{process}")),
            before: Vec::new(),
        };
        Self {
            life: Mutex::new(Life::start(&plan.worker, &order)),
            dead: Mutex::default(),
            program: plan.worker.clone(),
            order,
            links,
        }
    }

    /// Waits until the worker may read from its first tier.
    pub(crate) async fn wait_until_ready(&self) {
        loop {
            let said = self.life().output.try_recv();
            match said {
                Ok(line) => return assert_eq!(line, READY),
                Err(TryRecvError::Empty) => sleep(TICK).await,
                Err(TryRecvError::Disconnected) => panic!("the worker has ended"),
            }
        }
    }

    pub(crate) fn tell(&self, order: &str) {
        let mut life = self.life();
        let input = life.input.as_mut().expect("it is piped");
        writeln!(input, "{order}").expect("the worker lives");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.life().signal(signal).expect("the worker lives");
    }

    /// Kills the process, whatever it does.
    pub(crate) fn kill(&self) {
        let mut life = self.life();
        life.process.kill().expect("the worker lives");
        life.process.wait().expect("a child is waited for");
        let death = Death {
            process: life.number,
            at: now(),
        };
        let history = life.history.clone();
        self.dead().push(Dead { death, history });
    }

    /// Starts another process in the place of one that was killed, which takes over its keys.
    pub(crate) fn replace(&self) {
        let before: Vec<PathBuf> = self
            .dead()
            .iter()
            .map(|dead| dead.history.clone())
            .collect();
        let lives = u32::try_from(before.len()).expect("few have died");
        let process = self.order.process + lives * self.order.processes;
        let history = self
            .order
            .history
            .with_file_name(format!("history-{process}"));
        let order = Order {
            process,
            history,
            before,
            ..self.order.clone()
        };
        *self.life() = Life::start(&self.program, &order);
    }

    /// Waits for the end of the worker, and adds what it and those before it saw.
    pub(crate) fn finish(self, history: &mut History) {
        let mut life = self.life();
        let status = life.process.wait().expect("a child is waited for");
        life.input = None;
        assert!(status.success(), "a worker failed: {status}");
        let read = history.read(&life.history, None);
        read.expect("the worker wrote its history");
        for Dead {
            death,
            history: path,
        } in self.dead().drain(..)
        {
            let read = history.read(&path, Some(death.at));
            read.expect("the worker wrote its history");
            history.deaths.push(death);
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dead(&self) -> MutexGuard<'_, Vec<Dead>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    fn start(program: &Path, order: &Order) -> Self {
        let mut command = bound_to_this_process(program);
        command
            .arg(serde_json::to_string(order).expect("an order is JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Self::of(command, order.process, order.history.clone())
    }

    fn of(command: Command, number: u32, history: PathBuf) -> Self {
        let mut process = spawn(command).expect("setpriv of util-linux is there");
        Self {
            input: process.stdin.take(),
            output: lines_of(process.stdout.take().expect("it is piped")),
            process,
            number,
            history,
        }
    }

    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        kill_process(Pid::from_child(&self.process), signal)
    }
}

fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Returns where what is loaded comes from, of a run with its files in this folder.
pub(crate) fn source_in(dir: &Path) -> PathBuf {
    dir.join("source")
}

/// A run that is torn down waits for its workers: they still write where it lets them.
impl Drop for Life {
    fn drop(&mut self) {
        if self.input.take().is_none() {
            return;
        }
        // It may stand still.
        self.signal(Signal::CONT).ok();
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
        let life = Life::of(command, 0, history.clone());
        life.signal(Signal::STOP).expect("it lives");
        drop(life);
        let words = std::fs::read_to_string(history).expect("it was written");
        assert_eq!(words, "done\n");
    }
}
