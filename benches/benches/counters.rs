//! What an `add` to a counter with a window costs beside a plain `INCR` of the client below.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_benches::is_trial;
use cache_benches::paired::{Rival, Turns, interleave};
use cache_benches::remote::{
    Bulk, Counting, Fred, Incr, IncrAndExpire, Ours, Sample, Target, Windows, count,
};
use tokio::runtime::Runtime;

const KEYS: u32 = 1_000;
const TASKS: [usize; 4] = [1, 16, 64, 256];
const OURS: usize = 0;

fn main() {
    let (rounds, span) = match is_trial() {
        true => (1, Duration::from_millis(2)),
        false => (15, Duration::from_millis(200)),
    };
    let runtime = Runtime::new().expect("there are threads");
    let target = Target::start();
    let ours = runtime.block_on(Ours::connect(&target));
    let ours = Arc::new(Windows::of(&ours));
    let fred = runtime.block_on(Fred::<Bytes>::connect(&target, Bulk::Pipeline));
    let fred = Arc::new(fred);
    let (incr, both) = (
        Arc::new(Incr::new(Arc::clone(&fred))),
        Arc::new(IncrAndExpire::new(fred)),
    );
    let keys: Arc<[String]> = (0..KEYS)
        .map(|number| format!("10.0.{}.{}", number / 250, number % 250))
        .collect();
    println!("{KEYS} counters, medians of {rounds} interleaved rounds of {span:?}");
    println!("ours / others is throughput divided by throughput: above 1, ours is ahead\n");
    println!(
        "{:>6}{:>12}{:>12}{:>18}{:>16}{:>22}{:>14}",
        "tasks",
        "ours ops/s",
        "INCR ops/s",
        "INCR, EXPIRE ops/s",
        "ours / INCR",
        "ours / INCR, EXPIRE",
        "CPU / INCR"
    );
    for tasks in TASKS {
        let mut rivals: Vec<Rival<'_, Sample>> = vec![
            turn("ours", &runtime, &ours, tasks, &keys, span),
            turn("INCR", &runtime, &incr, tasks, &keys, span),
            turn("INCR, EXPIRE", &runtime, &both, tasks, &keys, span),
        ];
        print(tasks, &interleave(rounds, &mut rivals));
    }
}

fn turn<'a, C: Counting>(
    name: &'static str,
    runtime: &'a Runtime,
    client: &'a Arc<C>,
    tasks: usize,
    keys: &'a Arc<[String]>,
    span: Duration,
) -> Rival<'a, Sample> {
    let run = move || runtime.block_on(count(client, tasks, keys, span));
    (name, Box::new(run))
}

fn print(tasks: usize, turns: &Turns<Sample>) {
    let (wall, cpu) = (turns.figure(|it| it.wall), turns.figure(|it| it.cpu));
    let per_second = |rival| 1e9 / wall.time(rival);
    println!(
        "{tasks:>6}{:>12.0}{:>12.0}{:>18.0}{:>16.2}{:>22.2}{:>14.2}",
        per_second(OURS),
        per_second(1),
        per_second(2),
        wall.ratio(1, OURS),
        wall.ratio(2, OURS),
        cpu.ratio(OURS, 1),
    );
}
