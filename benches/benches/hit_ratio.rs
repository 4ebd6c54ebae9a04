//! Hit ratios of textbook policies, the peers and ours over traces or generated workloads.
//!
//! `cargo bench -p cache-benches --bench hit_ratio -- --traces FOLDER --svg FILE`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use cache_benches::caches::{Contender, Foyer, Moka, Ours, Quick};
use cache_benches::chart::{Mark, Panel, Series, draw};
use cache_benches::is_trial;
use cache_benches::policies::{Sequence, fifo, lru, opt};
use cache_benches::trace::{Trace, load};
use cache_benches::workload::{Key, keys, looped, scan_zipf, shifting, zipf};

/// Sizes in thousandths of the footprint.
const SIZES: [u32; 3] = [1, 10, 100];

/// The columns of the table.
const POLICIES: [Series; 8] = [
    Series::new("FIFO", "#c9c9c9", Mark::Bar),
    Series::new("LRU", "#9a9a9a", Mark::Bar),
    Series::new("moka", "#f2b880", Mark::Bar),
    Series::new("moka (bound kept)", "#e07b39", Mark::Bar),
    Series::new("quick_cache", "#5a9bd4", Mark::Bar),
    Series::new("foyer (S3-FIFO)", "#79b473", Mark::Bar),
    Series::new("ours", "#b3202c", Mark::Bar),
    Series::new("OPT", "#222222", Mark::Line),
];
const OURS: usize = 6;
const OPT: usize = 7;
/// The peers that keep their bound; moka as it is holds more than it was allowed.
const PEERS: [usize; 3] = [3, 4, 5];

/// Counts the hits of a cache that is filled on misses, and what it holds at the end.
fn play<C: Contender<u64>>(
    trace: &Trace,
    keys: &[Key],
    capacity: usize,
    settle: bool,
) -> (u64, u64) {
    let cache = C::with_capacity(capacity);
    let mut hits = 0;
    for number in &trace.numbers {
        let key = &keys[*number as usize];
        if cache.get(key).is_some() {
            hits += 1;
            continue;
        }
        cache.insert(key, 1);
        if settle {
            cache.settle();
        }
    }
    (hits, cache.resident())
}

/// Returns the hit ratios of all policies in percent, and the entries that moka holds when nobody
/// asks it to keep its bound.
fn ratios(trace: &Trace, keys: &[Key], capacity: usize) -> (Vec<f64>, u64) {
    let sequence = Sequence::new(&trace.numbers, trace.footprint as usize);
    let (moka, held) = play::<Moka<u64>>(trace, keys, capacity, false);
    let hits = [
        fifo(sequence, capacity),
        lru(sequence, capacity),
        moka,
        play::<Moka<u64>>(trace, keys, capacity, true).0,
        play::<Quick<u64>>(trace, keys, capacity, false).0,
        play::<Foyer<u64>>(trace, keys, capacity, false).0,
        play::<Ours<u64>>(trace, keys, capacity, false).0,
        opt(sequence, capacity),
    ];
    let percent = |hits| 100.0 * hits as f64 / trace.numbers.len() as f64;
    (hits.map(percent).to_vec(), held)
}

/// Returns how far ours is above the best of the peers, in points.
fn lead(ratios: &[f64]) -> f64 {
    ratios[OURS]
        - PEERS
            .map(|peer| ratios[peer])
            .into_iter()
            .fold(0.0, f64::max)
}

fn generated() -> Vec<Trace> {
    let (count, length) = if is_trial() {
        (2_000, 20_000)
    } else {
        (100_000, 1_000_000)
    };
    let trace =
        |name: &str, numbers: Vec<u32>| Trace::new(name, numbers.into_iter().map(u64::from));
    vec![
        trace("zipf 0.9", zipf(count, 0.9, length, 1)),
        trace(
            "zipf + scans",
            scan_zipf(count, length, length / 100, length / 500, 2),
        ),
        trace("loop", looped(count / 8, length)),
        trace("shifting hot set", shifting(count, length, length / 8, 3)),
    ]
}

fn print_head() {
    print!("{:<18}{:>6}{:>9}", "trace", "size", "entries");
    POLICIES
        .iter()
        .for_each(|policy| print!("{:>1$}", policy.name, column(policy)));
    println!("{:>15}  moka holds", "lead (points)");
}

fn print_row(label: &str, ratios: &[f64]) {
    print!("{label}");
    for (policy, ratio) in POLICIES.iter().zip(ratios) {
        print!("{ratio:>0$.2}", column(policy));
    }
    print!("{:>15.2}", lead(ratios));
}

/// Returns the width of a column.
const fn column(policy: &Series) -> usize {
    let name = policy.name.len();
    2 + if name > 5 { name } else { 5 }
}

/// Prints the rows of a trace and returns them as a panel of the picture.
fn measure(trace: &Trace) -> Panel {
    let keys = keys(trace.footprint);
    let mut groups = Vec::new();
    for size in SIZES {
        let capacity = (u64::from(trace.footprint) * u64::from(size) / 1_000).max(1) as usize;
        let percent = format!("{}%", f64::from(size) / 10.0);
        let (ratios, held) = ratios(trace, &keys, capacity);
        print_row(
            &format!("{:<18}{percent:>6}{capacity:>9}", trace.name),
            &ratios,
        );
        println!("{held:>12}");
        groups.push((format!("{percent} ({capacity} entries)"), ratios));
    }
    let requests = trace.numbers.len();
    Panel::new(
        format!(
            "{} ({requests} requests, {} keys)",
            trace.name, trace.footprint
        ),
        groups,
    )
}

/// Prints means over all rows, and ours against each peer.
fn print_means(panels: &[Panel]) {
    let rows: Vec<&Vec<f64>> = panels
        .iter()
        .flat_map(|panel| &panel.groups)
        .map(|(_, ratios)| ratios)
        .collect();
    let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
    let means: Vec<f64> = (0..POLICIES.len()).map(mean).collect();
    print_row(&format!("{:<33}", "mean"), &means);
    println!("\n\nours on average, in points:");
    for (at, policy) in POLICIES.iter().enumerate().filter(|(at, _)| *at != OURS) {
        println!("  {:+.2} beside {}", means[OURS] - means[at], policy.name);
    }
    let worst = rows
        .iter()
        .map(|row| lead(row))
        .fold(f64::INFINITY, f64::min);
    println!(
        "ours at the worst: {worst:+.2} points beside the best of the peers that keep their bound"
    );
    println!(
        "share of the optimum that ours reaches: {:.1}%",
        100.0 * means[OURS] / means[OPT]
    );
}

/// Returns the folder with traces and the file for the picture. Cargo runs a bench in the folder of
/// its package; relative paths mean the folder above, where people call Cargo.
fn options() -> (Option<PathBuf>, Option<PathBuf>) {
    let arguments: Vec<String> = std::env::args().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(|path| root.join(path))
    };
    (value("--traces"), value("--svg"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (folder, picture) = options();
    let traces = match folder {
        Some(folder) => load(&folder)?,
        None => generated(),
    };
    if traces.is_empty() {
        return Err("the folder holds no *.trace.zst".into());
    }
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{cores} cores: caches choose their shards by them");
    print_head();
    let panels: Vec<Panel> = traces.iter().map(measure).collect();
    print_means(&panels);
    if let Some(file) = picture {
        let axes = ["capacity, share of all keys", "hit ratio, %"];
        std::fs::write(
            file,
            draw("Hit ratio by trace and capacity", axes, &POLICIES, &panels),
        )?;
    }
    Ok(())
}
