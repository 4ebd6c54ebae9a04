//! Several processes, of which one leads.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use cache_testbed::{Flavor, Server, bound_to_this_process, spawn};
use rustix::process::{Pid, Signal, kill_process};

/// How long a leader leads that nobody hears of.
const TTL: Duration = Duration::from_millis(1_000);
/// The longest time until a line has to come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Process {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(server: &Server, name: &'static str) -> Self {
        let mut command = bound_to_this_process(Path::new(env!("CARGO_BIN_EXE_leader")));
        command.arg(name).arg(TTL.as_millis().to_string());
        command.env("BUILDSCALE_CACHE_REDIS_URL", server.url());
        command.stdout(Stdio::piped());
        let mut child = spawn(command).expect("the program starts");
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name, child, lines }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for a line that starts with its name and this, and returns the rest.
    fn says(&self, start: &str) -> String {
        let (start, deadline) = (format!("{} {start}", self.name), Instant::now() + PATIENCE);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("nobody says {start:?}"));
            if let Some(rest) = line.strip_prefix(&start) {
                return rest.to_owned();
            }
        }
    }

    fn leads(&self) -> u64 {
        let token = self.says("leads with the token ");
        token.parse().expect("a token is a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Two processes, the first of which leads.
fn two(server: &Server) -> (Process, u64, Process) {
    let first = Process::start(server, "first");
    let token = first.leads();
    let second = Process::start(server, "second");
    second.says("campaigns");
    (first, token, second)
}

#[test]
fn a_leader_that_was_stopped_beyond_its_time_is_told_and_its_token_is_refused() {
    let server = Server::builder(Flavor::Redis7).start();
    let (first, old, second) = two(&server);
    first.signal(Signal::STOP);
    let new = second.leads();
    assert!(new > old);
    // From its first report on, the store knows the token of the new leader.
    let is_of_second = || {
        let report = server.command(&["GET", "cache:report"]).text();
        report.contains("second")
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_of_second() {
        assert!(Instant::now() < deadline, "the new leader writes");
        thread::sleep(Duration::from_millis(5));
    }
    first.signal(Signal::CONT);
    first.says("is too late to write");
    first.says("campaigns");
    assert!(is_of_second());
}

#[test]
fn the_next_one_leads_when_the_leader_is_killed_and_at_once_when_it_resigns() {
    let server = Server::builder(Flavor::Redis7).start();
    let (mut first, old, second) = two(&server);
    first.child.kill().expect("it runs");
    let start = Instant::now();
    let new = second.leads();
    assert!(new > old);
    assert!(start.elapsed() < TTL * 2, "{:?}", start.elapsed());

    let third = Process::start(&server, "third");
    third.says("campaigns");
    // It waits for the second one, whose time is renewed.
    thread::sleep(TTL / 4);
    let start = Instant::now();
    second.signal(Signal::INT);
    second.says("resigns");
    assert!(third.leads() > new);
    assert!(start.elapsed() < TTL / 2, "{:?}", start.elapsed());
}
