//! Bytes for each resident entry, counted by the allocator: keys of 16 bytes, values of 8 bytes and of 64
//! on the heap.

use cache_benches::alloc::{Counting, INSTRUMENTED_SYSTEM, check_counting, counted};
use std::sync::Arc;

use cache_benches::caches::{Contender, Foyer, MiniMoka, Moka, Ours, Quick, Value};
use cache_benches::is_trial;
use cache_benches::workload::{Key, keys};

#[global_allocator]
static ALLOCATOR: Counting = &INSTRUMENTED_SYSTEM;

/// What a cache holds at one moment.
struct Held {
    entries: u64,
    bytes: isize,
    /// Calls of the allocator for each insert that led there.
    allocations: f64,
}

impl Held {
    fn bytes_per_entry(&self) -> f64 {
        self.bytes as f64 / self.entries as f64
    }
}

/// Fills a cache up to its capacity, then overfills it by half, and returns what it holds then.
fn fill<C: Contender<V>, V: Value>(capacity: usize, keys: &[Key]) -> [Held; 2] {
    let (first, more) = keys.split_at(capacity);
    let insert = |cache: &C, keys: &[Key]| {
        keys.iter().for_each(|key| cache.insert(key, V::of(1)));
        cache.settle();
    };
    let (cache, filled) = counted(|| {
        let cache = C::with_capacity(capacity);
        insert(&cache, first);
        cache
    });
    let full = Held {
        entries: cache.resident(),
        bytes: filled.held,
        allocations: filled.calls as f64 / first.len() as f64,
    };
    let ((), evicting) = counted(|| insert(&cache, more));
    let evicted = Held {
        entries: cache.resident(),
        bytes: filled.held + evicting.held,
        allocations: evicting.calls as f64 / more.len() as f64,
    };
    [full, evicted]
}

type Row = (&'static str, [Held; 2]);

fn row<C: Contender<V>, V: Value>(capacity: usize, keys: &[Key]) -> Row {
    (C::NAME, fill::<C, V>(capacity, keys))
}

fn print(title: &str, rows: &[Row], moment: usize) {
    println!("\n{title}");
    println!(
        "{:<12}{:>10}{:>14}{:>12}{:>20}",
        "", "entries", "bytes/entry", "ours/peer", "allocations/insert"
    );
    let ours = rows[0].1[moment].bytes_per_entry();
    for (name, held) in rows {
        let held = &held[moment];
        let each = held.bytes_per_entry();
        println!(
            "{name:<12}{:>10}{each:>14.1}{:>12.2}{:>20.2}",
            held.entries,
            ours / each,
            held.allocations
        );
    }
}

fn compare<V: Value>(capacity: usize, keys: &[Key]) {
    let rows = [
        row::<Ours<V>, V>(capacity, keys),
        row::<Quick<V>, V>(capacity, keys),
        row::<Moka<V>, V>(capacity, keys),
        row::<Foyer<V>, V>(capacity, keys),
        row::<MiniMoka<V>, V>(capacity, keys),
    ];
    let value = V::NAME;
    print(
        &format!("{value}, filled up to the capacity of {capacity}: nothing to remember yet"),
        &rows,
        0,
    );
    print(
        &format!("{value}, after half as many again: what was evicted is remembered"),
        &rows,
        1,
    );
}

fn main() {
    check_counting();
    let capacity = if is_trial() { 2_000 } else { 1_000_000 };
    let keys = keys(capacity as u32 / 2 * 3);
    compare::<u64>(capacity, &keys);
    compare::<Arc<str>>(capacity, &keys);
    compare::<String>(capacity, &keys);
}
