//! H9: of many processes that want one key at the same time, one loads it, whatever happens to it.
//!
//! `PROOF_SEED` repeats a run.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cache_proof::{LEASE, Mode};
use cache_testbed::{Flavor, Server, bound_to_this_process, spawn};
use fastrand::Rng;

const LOADER: &str = env!("CARGO_BIN_EXE_cache-proof-loader");
const PROCESSES: usize = 4;
const ROUNDS: u32 = 50;
/// How much later than the end of the lease of a dead process its successor begins, in the median: a busy
/// machine delays some.
const SLACK: Duration = Duration::from_millis(100);

/// What a process says, and which one.
type Line = (usize, String);

struct Loader {
    process: Child,
    input: ChildStdin,
}

impl Loader {
    fn start(number: usize, mode: Mode, server: &Server, lines: &Sender<Line>) -> Self {
        let mut command = bound_to_this_process(LOADER.as_ref());
        command
            .arg(serde_json::to_string(&mode).expect("a mode is JSON"))
            .arg(server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = spawn(command).expect("setpriv of util-linux is there");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut loader = Self {
            input: process.stdin.take().expect("it is piped"),
            process,
        };
        loader.listen(number, output, lines.clone());
        loader
    }

    /// Hands on what it says; returns when it is ready.
    fn listen(&mut self, number: usize, mut output: BufReader<ChildStdout>, lines: Sender<Line>) {
        let mut ready = String::new();
        output.read_line(&mut ready).expect("a pipe is read");
        assert_eq!(ready, "ready\n");
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if lines.send((number, line)).is_err() {
                    return;
                }
            }
        });
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.input, "{order}").expect("the process lives");
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child is waited for");
    }
}

/// A call of a loader.
#[derive(Debug)]
struct Load {
    process: usize,
    begin: u64,
    end: Option<u64>,
}

/// What has happened with one key.
#[derive(Debug, Default)]
struct Round {
    loads: Vec<Load>,
    got: usize,
}

impl Round {
    /// Takes in what a process says.
    fn hear(&mut self, process: usize, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let time = || words[2].parse().expect("a time");
        match words[0] {
            "begin" => self.loads.push(Load {
                process,
                begin: time(),
                end: None,
            }),
            "end" => {
                let mut of_process = self.loads.iter_mut().filter(|load| load.process == process);
                of_process.next_back().expect("it has begun").end = Some(time());
            }
            "got" => {
                assert_eq!(
                    words.len(),
                    3,
                    "all tasks of a process have one value: {line}"
                );
                self.got += 1;
            }
            _ => panic!("{line}"),
        }
    }

    /// H9: no two loads of the key ran at the same time, but for those of processes that died.
    fn check(&self) {
        let ended = self
            .loads
            .iter()
            .filter_map(|load| Some((load.begin, load.end?)));
        let mut ended: Vec<_> = ended.collect();
        ended.sort_unstable();
        for pair in ended.windows(2) {
            assert!(
                pair[0].1 <= pair[1].0,
                "two loads at the same time: {self:?}"
            );
        }
    }
}

/// Lets all processes load a key; kills the first one that begins if it is to die, and returns how much
/// later its successor began.
fn play(
    loaders: &mut [Loader],
    lines: &Receiver<Line>,
    key: &str,
    dies: bool,
    rng: &mut Rng,
) -> Option<Duration> {
    let takes = if dies { 300 } else { rng.u64(0..60) };
    for loader in loaders.iter_mut() {
        loader.tell(&format!("{key} {} {takes}", rng.u32(1..250)));
    }
    let (mut round, mut killed, mut later) = (Round::default(), None, None);
    while round.got < PROCESSES - usize::from(dies) {
        let line = lines.recv_timeout(Duration::from_secs(30));
        let (process, line) = line.expect("all get their value in time");
        round.hear(process, &line);
        if dies && killed.is_none() && !round.loads.is_empty() {
            loaders[process]
                .process
                .kill()
                .expect("a child can be killed");
            killed = Some(Instant::now());
        } else if line.starts_with("begin") && later.is_none() {
            later = killed.map(|at: Instant| at.elapsed());
        }
    }
    let in_time = later.is_none_or(|later| later < LEASE * 2);
    assert!(in_time, "loaded again after {later:?}: {round:?}");
    round.check();
    let most = if dies { 2 } else { 1 };
    assert_eq!(round.loads.len(), most, "{round:?}");
    later
}

fn stampede(mode: Mode) {
    let seed = std::env::var("PROOF_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("PROOF_SEED={seed}");
    let _load = crate::beside_others();
    let mut rng = Rng::with_seed(seed);
    let server = Server::builder(Flavor::Redis7).start();
    let (sender, lines) = channel();
    let start = |number| Loader::start(number, mode, &server, &sender);
    let mut loaders: Vec<Loader> = (0..PROCESSES).map(start).collect();
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let dies = rng.u8(..5) == 0;
        let key = format!("key:{round}");
        delays.extend(play(&mut loaders, &lines, &key, dies, &mut rng));
        for (number, loader) in loaders.iter_mut().enumerate() {
            if loader
                .process
                .try_wait()
                .expect("a child is looked at")
                .is_some()
            {
                *loader = start(number);
            }
        }
    }
    delays.sort_unstable();
    if let Some(median) = delays.get(delays.len() / 2) {
        assert!(*median <= LEASE + SLACK, "loaded again after {delays:?}");
    }
}

#[test]
fn four_processes_load_each_key_once_or_twice_if_the_first_is_killed_on_redis() {
    stampede(Mode::Redis);
}

#[test]
fn four_processes_load_each_key_once_or_twice_if_the_first_is_killed_on_two_tiers() {
    stampede(Mode::Tracking);
}
