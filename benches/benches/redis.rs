//! What the Redis backend costs beside the client that it is made of, another client, and none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_benches::is_trial;
use cache_benches::paired::{Rival, Turns, interleave};
use cache_benches::remote::{
    Bulk, Fred, Load, Operation, Ours, Record, RedisRs, Sample, Target, Wire, fill, run,
};
use tokio::runtime::Runtime;

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// How long a turn takes.
    span: Duration,
}

const FULL: Effort = Effort {
    rounds: 7,
    span: Duration::from_millis(100),
};
const TRIAL: Effort = Effort {
    rounds: 1,
    span: Duration::from_millis(2),
};

const KEYS: u32 = 1_000;
const SIZES: [usize; 2] = [100, 4_096];
const TASKS: [usize; 4] = [1, 16, 64, 256];

/// The places of the rivals that others are compared with.
const OURS: usize = 0;
const FRED: usize = 1;
const REDIS_RS: usize = 3;
const NO_CLIENT: usize = 4;

/// Everybody, connected.
struct Clients {
    ours: Arc<Ours>,
    fred: Arc<Fred<Record>>,
    fred_script: Arc<Fred<Record>>,
    fred_bytes: Arc<Fred<Bytes>>,
    redis_rs: Arc<RedisRs>,
    target: Target,
    keys: Arc<[String]>,
}

impl Clients {
    async fn connect() -> Self {
        let target = Target::start();
        Self {
            ours: Arc::new(Ours::connect(&target).await),
            fred: Arc::new(Fred::connect(&target, Bulk::Pipeline).await),
            fred_script: Arc::new(Fred::connect(&target, Bulk::Script).await),
            fred_bytes: Arc::new(Fred::connect(&target, Bulk::Pipeline).await),
            redis_rs: Arc::new(RedisRs::connect(&target).await),
            target,
            keys: (0..KEYS)
                .map(|number| format!("user:{number:08}"))
                .collect(),
        }
    }

    fn compare(&self, runtime: &Runtime, load: Load, effort: Effort) -> Turns<Sample> {
        // Again for each load, as what is written does not live longer than a minute.
        runtime.block_on(fill(&*self.ours, &self.keys, load.size));
        runtime.block_on(fill(&*self.fred, &self.keys, load.size));
        let (keys, span) = (&self.keys, effort.span);
        let mut wire = runtime.block_on(Wire::connect(&self.target, load, keys));
        let mut rivals: Vec<Rival<'_, Sample>> = vec![
            (
                "ours",
                Box::new(|| runtime.block_on(run(&self.ours, load, keys, span))),
            ),
            (
                "fred",
                Box::new(|| runtime.block_on(run(&self.fred, load, keys, span))),
            ),
            (
                "fred, bytes",
                Box::new(|| runtime.block_on(run(&self.fred_bytes, load, keys, span))),
            ),
            (
                "redis-rs",
                Box::new(|| runtime.block_on(run(&self.redis_rs, load, keys, span))),
            ),
            ("no client", Box::new(|| runtime.block_on(wire.run(span)))),
        ];
        if load.operation == Operation::SetMany {
            rivals.push((
                "fred, EVALSHA",
                Box::new(|| runtime.block_on(run(&self.fred_script, load, keys, span))),
            ));
        }
        interleave(effort.rounds, &mut rivals)
    }
}

/// The operations, sizes and numbers of tasks that the command line asks for: all, or `-- mget 64`.
struct Wanted(Vec<String>);

impl Wanted {
    fn from_arguments() -> Self {
        let arguments = std::env::args().skip(1);
        Self(arguments.filter(|word| !word.starts_with("--")).collect())
    }

    fn name(&self, name: &str) -> bool {
        let mut words = self.0.iter().filter(|word| word.parse::<usize>().is_err());
        words.all(|word| name.split(' ').any(|part| part == word))
    }

    fn tasks(&self, tasks: usize) -> bool {
        let mut counts = self.0.iter().filter_map(|word| word.parse::<usize>().ok());
        counts.all(|wanted| wanted == tasks)
    }
}

fn print(load: Load, turns: &Turns<Sample>) {
    let (wall, cpu) = (turns.figure(|it| it.wall), turns.figure(|it| it.cpu));
    let Load {
        operation,
        size,
        tasks,
        ..
    } = load;
    println!("\n{}, {size} B, {tasks} task(s)", operation.name());
    for (at, name) in wall.names().iter().enumerate() {
        println!(
            "  {name:<14}{:>10.0}{:>9.2}{:>12.2}{:>9.2}{:>11.2}",
            1e9 / wall.time(at),
            wall.ratio(FRED, at),
            cpu.time(at) / 1e3,
            cpu.ratio(at, FRED),
            cpu.difference(at, FRED) / 1e3,
        );
    }
}

/// Prints ours beside each of the others.
fn summary(table: &[(Load, Turns<Sample>)]) {
    println!(
        "\nours beside others: throughput (above 1: ours is ahead), CPU time (below 1: ours takes less)\n\
         {:<10}{:>6}{:>7}{:>13}{:>13}{:>13}{:>13}{:>13}",
        "", "bytes", "tasks", "/ fred", "/ redis-rs", "/ no client", "CPU / fred", "+ CPU, us"
    );
    for (load, turns) in table {
        let (wall, cpu) = (turns.figure(|it| it.wall), turns.figure(|it| it.cpu));
        println!(
            "{:<10}{:>6}{:>7}{:>13.2}{:>13.2}{:>13.2}{:>13.2}{:>13.2}",
            load.operation.name(),
            load.size,
            load.tasks,
            wall.ratio(FRED, OURS),
            wall.ratio(REDIS_RS, OURS),
            wall.ratio(NO_CLIENT, OURS),
            cpu.ratio(OURS, FRED),
            cpu.difference(OURS, FRED) / 1e3,
        );
    }
}

fn main() {
    let (effort, wanted) = (
        if is_trial() { TRIAL } else { FULL },
        Wanted::from_arguments(),
    );
    let runtime = Runtime::new().expect("there are threads");
    let clients = runtime.block_on(Clients::connect());
    println!(
        "{KEYS} keys, medians of {} interleaved rounds of {:?}",
        effort.rounds, effort.span
    );
    println!(
        "  {:<14}{:>10}{:>9}{:>12}{:>9}{:>11}",
        "", "ops/s", "x fred", "CPU us/op", "x fred", "less fred"
    );
    let mut table = Vec::new();
    for operation in Operation::ALL {
        for size in SIZES {
            for tasks in TASKS {
                if wanted.name(operation.name()) && wanted.tasks(tasks) {
                    let load = Load::new(operation, size, tasks);
                    let turns = clients.compare(&runtime, load, effort);
                    print(load, &turns);
                    table.push((load, turns));
                }
            }
        }
    }
    summary(&table);
}
