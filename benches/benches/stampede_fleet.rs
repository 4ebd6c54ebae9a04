//! A stampede of four processes on one cold key of Redis: how often it is loaded, and how long that
//! takes, with load leases and without.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache_benches::is_trial;
use cache_benches::paired::interleave;
use cache_core::{Cache, EncodedBackend, LoadOptions, MsgPackCodec};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server, bound_to_this_process, spawn};
use tokio::runtime::Runtime;

const PROCESSES: usize = 4;
const TASKS: u64 = 250;
/// How long the loader takes.
const LOAD: Duration = Duration::from_millis(20);
/// What makes this program one of the four.
const CHILD: &str = "STAMPEDE_CHILD";

/// Does what one of the processes does: for each line `key lease_ms`, lets many tasks load the key,
/// and says how often it has run the loader.
fn child(url: &str) {
    let runtime = Runtime::new().expect("a runtime starts");
    let config = RedisConfig::from_url(url).expect("the URL is right");
    let store = runtime.block_on(RedisStore::connect(config));
    let store = store.expect("the server is there");
    let cache: Cache<u64> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    for line in stdin().lock().lines() {
        let line = line.expect("a pipe is read");
        let (key, lease) = line.split_once(' ').expect("two words");
        let lease = Duration::from_millis(lease.parse().expect("a number"));
        println!("{}", runtime.block_on(load(&cache, key, lease)));
    }
}

async fn load(cache: &Cache<u64>, key: &str, lease: Duration) -> u64 {
    let calls = Arc::new(AtomicU64::new(0));
    let tasks = (0..TASKS).map(|_| {
        let (cache, key, calls) = (cache.clone(), key.to_owned(), Arc::clone(&calls));
        tokio::spawn(async move {
            let load = async move |_| {
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(LOAD).await;
                Ok::<_, Infallible>(7)
            };
            let options = LoadOptions::new().lease_ttl(lease);
            cache.entry(key).options(options).or_load(load).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let found = task.await.expect("no panic").expect("the server is there");
        assert_eq!(found, Some(7));
    }
    calls.load(Ordering::Relaxed)
}

/// One of the processes.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(program: &Path, url: &str) -> Self {
        let mut command = bound_to_this_process(program);
        command
            .env(CHILD, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(command).expect("setpriv of util-linux is there");
        let output = child.stdout.take().expect("it is piped");
        Self {
            input: child.stdin.take().expect("it is piped"),
            output: BufReader::new(output),
            child,
        }
    }

    fn loads(&mut self) -> u64 {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe is read");
        line.trim_end().parse().expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its standard input ends with this one, so it ends anyway.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The four, and how many keys they have loaded.
struct Fleet {
    processes: Vec<Process>,
    keys: u64,
}

impl Fleet {
    /// Returns the milliseconds until all tasks of all processes have a new key, and the loads.
    fn stampede(&mut self, lease_ms: u64) -> [f64; 2] {
        self.keys += 1;
        let (key, start) = (self.keys, Instant::now());
        for process in &mut self.processes {
            writeln!(process.input, "key:{key} {lease_ms}").expect("the process lives");
        }
        let loads: u64 = self.processes.iter_mut().map(Process::loads).sum();
        [start.elapsed().as_secs_f64() * 1e3, loads as f64]
    }
}

fn main() {
    if let Ok(url) = std::env::var(CHILD) {
        return child(&url);
    }
    let program = std::env::current_exe().expect("this program has a path");
    let server = Server::builder(Flavor::Redis7).start();
    let start = |_| Process::start(&program, &server.url());
    let fleet = RefCell::new(Fleet {
        processes: (0..PROCESSES).map(start).collect(),
        keys: 0,
    });
    let turn = |lease_ms| fleet.borrow_mut().stampede(lease_ms);
    let rounds = if is_trial() { 2 } else { 51 };
    let mut rivals = [
        ("leases", Box::new(|| turn(5_000)) as Box<dyn FnMut() -> _>),
        ("each for itself", Box::new(|| turn(0))),
    ];
    let turns = interleave(rounds, &mut rivals);
    println!(
        "{PROCESSES} processes of {TASKS} tasks on one cold key, a loader of {LOAD:?}; medians of {rounds} \
         interleaved rounds"
    );
    println!("{:<18}{:>8}{:>14}", "", "loads", "ms until all");
    let (time, loads) = (turns.figure(|both| both[0]), turns.figure(|both| both[1]));
    for (at, name) in time.names().iter().enumerate() {
        println!("{name:<18}{:>8}{:>14.1}", loads.time(at), time.time(at));
    }
    assert!(
        (loads.time(0) - 1.0).abs() < f64::EPSILON,
        "more than one load"
    );
}
