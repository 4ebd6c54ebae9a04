//! The bounded local backend beside its peers: reads, mixes and inserts, on 1 and 2 threads, with values
//! that are copied and with values that need `Drop`, as nearly all do.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use cache_benches::caches::{Contender, Foyer, Map, MiniMoka, Moka, Ours, Quick, Value};
use cache_benches::is_trial;
use cache_benches::paired::{Rival, Turns, interleave};
use cache_benches::workload::{Key, WRITE, marked, uniform, varied_keys, zipf};

/// How much is done.
#[derive(Clone, Copy)]
struct Size {
    capacity: u32,
    /// Operations of a turn that are timed, …
    operations: usize,
    /// … and that go before, since other caches have emptied the processor's caches meanwhile.
    lead: usize,
    rounds: usize,
}

const FULL: Size = Size {
    capacity: 100_000,
    operations: 150_000,
    lead: 75_000,
    rounds: 5,
};
const TRIAL: Size = Size {
    capacity: 1_000,
    operations: 2_000,
    lead: 1_000,
    rounds: 1,
};

/// What the threads do: key numbers with marks, one sequence for each of two threads.
///
/// It is long enough for all turns: one that starts over is a loop, which some policies love.
struct Workload {
    name: &'static str,
    /// Keys that are written before.
    filled: u32,
    sequences: [Vec<u32>; 2],
}

/// The keys of the smallest workload, with which a processor's nearest cache is enough.
const SMALL: u32 = 1_000;

fn workloads(size: Size) -> Vec<Workload> {
    let capacity = size.capacity;
    // Few enough to be resident in caches that cut their capacity into shards.
    let resident = capacity / 5 * 4;
    let length = (size.lead + size.operations) * (size.rounds + 1);
    let by_uniform = |count: u32| [1, 2].map(|seed| uniform(count, length, seed));
    let by_zipf = |count: u32| [1, 2].map(|seed| zipf(count, 1.0, length, seed));
    // They come again after five times the capacity of others, and not soon after the filling.
    let new_keys = |first: u32| {
        let keys = (first * capacity..(first + 5) * capacity).cycle();
        keys.skip(capacity as usize).take(length).collect()
    };
    let plain = |name, filled, sequences| Workload {
        name,
        filled,
        sequences,
    };
    let mix = |name, sequences: [Vec<u32>; 2], percent| {
        let marked = sequences.map(|numbers| marked(numbers, percent));
        plain(name, capacity, marked)
    };
    vec![
        plain(
            "read-hit small",
            SMALL.min(resident),
            by_uniform(SMALL.min(resident)),
        ),
        plain("read-hit uniform", resident, by_uniform(resident)),
        plain("read-hit zipf", resident, by_zipf(resident)),
        mix("95/5 uniform", by_uniform(2 * capacity), 5),
        mix("95/5 zipf", by_zipf(10 * capacity), 5),
        mix("50/50 uniform", by_uniform(2 * capacity), 50),
        mix("50/50 zipf", by_zipf(10 * capacity), 50),
        mix("insert-only", [0, 5].map(new_keys), 100),
    ]
}

/// A cache in the middle of a workload, whatever cache it is.
trait Play {
    /// Returns the nanoseconds for one operation of all threads together.
    fn turn(&self) -> f64;

    /// Tells whether the cache did the work: hits of reads, and the entries held at the end.
    fn account(&self) -> String;
}

/// A cache in the middle of a workload.
struct Player<'a, C, V> {
    cache: C,
    values: PhantomData<fn() -> V>,
    keys: &'a [Key],
    workload: &'a Workload,
    threads: usize,
    size: Size,
    reads: AtomicUsize,
    hits: AtomicUsize,
    turns: AtomicUsize,
}

/// Creates a cache and writes the keys that a workload wants there.
fn filled<'a, C: Contender<V>, V: Value>(
    size: Size,
    keys: &'a [Key],
    workload: &'a Workload,
    threads: usize,
) -> Box<dyn Play + 'a> {
    let cache = C::with_capacity(size.capacity as usize);
    for key in &keys[..workload.filled as usize] {
        cache.insert(key, V::of(1));
    }
    cache.settle();
    Box::new(Player {
        cache,
        values: PhantomData,
        keys,
        workload,
        threads,
        size,
        reads: 0.into(),
        hits: 0.into(),
        turns: 0.into(),
    })
}

impl<C: Contender<V>, V: Value> Player<'_, C, V> {
    /// Runs the sequence of one thread; a read that misses is followed by a write, as in a cache.
    fn play(&self, sequence: &[u32]) {
        let (mut reads, mut hits) = (0, 0);
        for number in sequence {
            let key = &self.keys[(number & !WRITE) as usize];
            if number & WRITE != 0 {
                self.cache.insert(key, V::of(*number));
                continue;
            }
            reads += 1;
            match black_box(self.cache.get(key)) {
                Some(_) => hits += 1,
                None => self.cache.insert(key, V::of(*number)),
            }
        }
        self.reads.fetch_add(reads, Ordering::Relaxed);
        self.hits.fetch_add(hits, Ordering::Relaxed);
    }
}

impl<C: Contender<V>, V: Value> Play for Player<'_, C, V> {
    fn turn(&self) -> f64 {
        let barrier = Barrier::new(self.threads);
        let Size {
            lead, operations, ..
        } = self.size;
        let first = self.turns.fetch_add(1, Ordering::Relaxed) * (lead + operations);
        let part = first..first + lead + operations;
        let sequences = &self.workload.sequences[..self.threads];
        let sequences: Vec<&[u32]> = sequences.iter().map(|all| &all[part.clone()]).collect();
        let timed = |sequence: &[u32]| {
            let (lead, timed) = sequence.split_at(lead);
            self.play(lead);
            barrier.wait();
            let start = Instant::now();
            self.play(timed);
            start.elapsed()
        };
        let slowest = thread::scope(|scope| {
            let timed = &timed;
            let others = sequences[1..].iter();
            let others: Vec<_> = others.map(|own| scope.spawn(move || timed(own))).collect();
            let mine = timed(sequences[0]);
            let others = others
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            others.fold(mine, Ord::max)
        });
        slowest.as_nanos() as f64 / (operations * self.threads) as f64
    }

    fn account(&self) -> String {
        let (hits, reads) = (
            self.hits.load(Ordering::Relaxed),
            self.reads.load(Ordering::Relaxed),
        );
        let held = self.cache.resident();
        self.cache.settle();
        let settled = self.cache.resident();
        let rate = match reads {
            0 => "-".to_owned(),
            _ => format!("{:.1}%", 100.0 * hits as f64 / reads as f64),
        };
        let held = match held == settled {
            true => held.to_string(),
            false => format!("{held}→{settled}"),
        };
        format!("{rate:>7} {held:>15}")
    }
}

fn print(title: &str, turns: &Turns, accounts: &[String]) {
    println!("\n{title}");
    let names = turns.names().iter().zip(accounts).enumerate();
    for (at, (name, account)) in names {
        let ratio = match at {
            0 => String::new(),
            _ => format!("{:.2}", turns.ratio(at, 0)),
        };
        println!("  {name:<12}{:>8.1}{ratio:>11} {account}", turns.time(at));
    }
}

type Fill = for<'a> fn(Size, &'a [Key], &'a Workload, usize) -> Box<dyn Play + 'a>;

const fn player<C: Contender<V>, V: Value>() -> (&'static str, Fill) {
    (C::NAME, filled::<C, V>)
}

/// Our cache comes first.
const fn players<V: Value>() -> [(&'static str, Fill); 6] {
    [
        player::<Ours<V>, V>(),
        player::<Quick<V>, V>(),
        player::<Moka<V>, V>(),
        player::<Foyer<V>, V>(),
        player::<MiniMoka<V>, V>(),
        player::<Map<V>, V>(),
    ]
}

/// The values, and the caches that hold them.
const VALUES: [(&str, [(&str, Fill); 6]); 3] = [
    (u64::NAME, players::<u64>()),
    (<Arc<str>>::NAME, players::<Arc<str>>()),
    (String::NAME, players::<String>()),
];

/// One line of the last table.
struct Row {
    title: String,
    threads: usize,
    turns: Turns,
}

fn compare(
    size: Size,
    keys: &[Key],
    workload: &Workload,
    threads: usize,
    (value, players): (&str, [(&'static str, Fill); 6]),
) -> Row {
    let caches = players.map(|(_, fill)| fill(size, keys, workload, threads));
    let rivals = players.iter().zip(&caches);
    let rivals = rivals.map(|((name, _), cache)| (*name, Box::new(|| cache.turn()) as _));
    let turns = interleave(size.rounds, &mut rivals.collect::<Vec<Rival<'_>>>());
    let accounts: Vec<String> = caches.iter().map(|cache| cache.account()).collect();
    let title = format!("{} {value}", workload.name);
    print(&format!("{title}, {threads} thread(s)"), &turns, &accounts);
    Row {
        title,
        threads,
        turns,
    }
}

/// The workloads and thread counts that the command line asks for: all, or `-- insert-only 2`.
struct Wanted(Vec<String>);

impl Wanted {
    fn from_arguments() -> Self {
        let arguments = std::env::args().skip(1);
        Self(arguments.filter(|word| !word.starts_with("--")).collect())
    }

    fn name(&self, name: &str) -> bool {
        let mut words = self.0.iter().filter(|word| word.parse::<usize>().is_err());
        words.all(|word| name.contains(word.as_str()))
    }

    fn threads(&self, count: usize) -> bool {
        let mut counts = self.0.iter().filter_map(|word| word.parse::<usize>().ok());
        counts.all(|wanted| wanted == count)
    }
}

fn main() {
    let (size, wanted) = (
        if is_trial() { TRIAL } else { FULL },
        Wanted::from_arguments(),
    );
    println!(
        "capacity {}, {} operations a turn and thread, medians of {} interleaved rounds",
        size.capacity, size.operations, size.rounds
    );
    println!(
        "  {:<12}{:>8}{:>11} {:>7} {:>15}",
        "", "ns/op", "ours/peer", "hits", "resident"
    );
    let (keys, mut table) = (varied_keys(10 * size.capacity), Vec::new());
    for workload in workloads(size) {
        for (value, players) in VALUES {
            for threads in [1, 2] {
                let name = format!("{} {value}", workload.name);
                if wanted.name(&name) && wanted.threads(threads) {
                    let players = (value, players);
                    table.push(compare(size, &keys, &workload, threads, players));
                }
            }
        }
    }
    summary(&table);
}

/// Prints throughput of ours divided by that of each peer: above 1, ours is ahead.
fn summary(table: &[Row]) {
    let Some(first) = table.first() else {
        return;
    };
    let peers = &first.turns.names()[1..];
    print!(
        "\nours/peer, throughput (above 1: ours is ahead)\n{:<26}{:>8}",
        "", "threads"
    );
    peers.iter().for_each(|name| print!("{name:>13}"));
    for row in table {
        print!("\n{:<26}{:>8}", row.title, row.threads);
        (1..=peers.len()).for_each(|peer| print!("{:>13.2}", row.turns.ratio(peer, 0)));
    }
    println!();
}
