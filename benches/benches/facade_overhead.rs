//! What the facade adds to a read: static and erased, in time and in allocations.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cache_benches::alloc::{Counting, INSTRUMENTED_SYSTEM, check_counting, counted};
use cache_benches::caches::{Contender, Map, Ours};
use cache_benches::is_trial;
use cache_benches::paired::{Rival, interleave};
use cache_benches::ready::ready;
use cache_benches::workload::{Key, keys};
use cache_core::{Cache, CacheBackend, ReadNow};
use cache_local::LocalBackend;
use criterion::{Criterion, Throughput};

#[global_allocator]
static ALLOCATOR: Counting = &INSTRUMENTED_SYSTEM;

const RESIDENT: u32 = 1_000;
const ROUNDS: usize = 51;

/// The same entries in every form.
struct Forms {
    keys: Vec<Key>,
    map: Map<u64>,
    fixed: Ours<u64>,
    erased: Cache<u64>,
}

impl Forms {
    fn filled() -> Self {
        let keys = keys(RESIDENT);
        let forms = Self {
            map: Map::with_capacity(0),
            fixed: Cache::with_backend(LocalBackend::default()),
            erased: Cache::new(LocalBackend::default()),
            keys,
        };
        for (number, key) in (0u64..).zip(&forms.keys) {
            forms.map.insert((**key).into(), number);
            ready(forms.fixed.set(&**key, number)).expect("it fits");
            ready(forms.erased.set(&**key, number)).expect("it fits");
        }
        forms
    }

    /// Reads every key once and returns the sum of the values.
    fn pass(&self, mut read: impl FnMut(&str) -> Option<u64>) -> u64 {
        let values = self.keys.iter().map(|key| read(black_box(key)));
        values.map(Option::unwrap_or_default).sum()
    }

    fn by_map(&self) -> u64 {
        self.pass(|key| self.map.get(key).map(|value| *value))
    }

    fn by_call(&self) -> u64 {
        let backend = self.fixed.backend();
        self.pass(|key| match backend.read_now(key) {
            ReadNow::Answer(found) => found.unwrap_or_default(),
            ReadNow::WouldWait => None,
        })
    }

    fn by_static(&self) -> u64 {
        self.pass(|key| ready(self.fixed.get(key)).unwrap_or_default())
    }

    fn by_erased(&self) -> u64 {
        self.pass(|key| ready(self.erased.get(key)).unwrap_or_default())
    }
}

type Form = (&'static str, fn(&Forms) -> u64);

const FORMS: [Form; 4] = [
    ("raw DashMap", Forms::by_map),
    ("LocalBackend::read_now", Forms::by_call),
    ("static facade", Forms::by_static),
    ("erased facade", Forms::by_erased),
];
/// The form that the others are compared with.
const CALL: usize = 1;

/// Returns the nanoseconds of one read, over `passes` passes.
fn nanos_per_read(forms: &Forms, form: fn(&Forms) -> u64, passes: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..passes {
        black_box(form(forms));
    }
    start.elapsed().as_nanos() as f64 / f64::from(passes * RESIDENT)
}

fn print_ratios(forms: &Forms, rounds: usize, passes: u32) {
    let rival = |(name, form): Form| -> Rival<'_> {
        (name, Box::new(move || nanos_per_read(forms, form, passes)))
    };
    let turns = interleave(rounds, &mut FORMS.map(rival));
    println!("\nread of 1 of {RESIDENT} resident keys; medians of {rounds} interleaved rounds");
    println!(
        "{:<24}{:>10}{:>12}{:>12}{:>14}",
        "", "ns/read", "added ns", "x of call", "allocations"
    );
    for (at, (name, form)) in FORMS.iter().enumerate() {
        let time = turns.time(at);
        let (_, allocated) = counted(|| black_box(form(forms)));
        println!(
            "{name:<24}{time:>10.1}{:>12.1}{:>12.2}{:>14}",
            time - turns.time(CALL),
            turns.ratio(at, CALL),
            allocated.calls
        );
        assert_eq!(allocated.calls, 0, "{name} allocates");
    }
    println!("\"added\" by the static facade is all it does: key check, future and counters.");
}

fn main() {
    check_counting();
    let forms = Forms::filled();
    let expected = u64::from(RESIDENT * (RESIDENT - 1) / 2);
    for (name, form) in FORMS {
        assert_eq!(form(&forms), expected, "{name} misses");
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("facade_overhead");
    group.throughput(Throughput::Elements(RESIDENT.into()));
    for (name, form) in FORMS {
        group.bench_function(name, |bencher| bencher.iter(|| form(&forms)));
    }
    group.finish();
    match is_trial() {
        true => print_ratios(&forms, 3, 1),
        false => print_ratios(&forms, ROUNDS, 200),
    }
    criterion.final_summary();
}
