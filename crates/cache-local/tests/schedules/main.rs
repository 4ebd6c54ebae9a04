//! Every interleaving that shuttle can think of, at each lock and each shared counter. Alone in
//! its program, which is built in another way:
//!
//! `RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/steered-rustc cargo test -p cache-local --test schedules`
#![cfg(shuttle)]

mod commits;
mod locks;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_core::{
    BackendWrite, CacheBackend, Clock, Condition, Cursor, Expiry, ManualClock, ReadNow, Scope,
    Tagging,
};
use cache_local::{LocalBackend, LocalConfig};
use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::thread;

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const IF_ABSENT: BackendWrite = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
const SOON: Expiry = Expiry::After(Duration::from_millis(5));

/// Polls once: in this process every answer is there at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local operation never waits"),
    }
}

fn read(backend: &LocalBackend<u32>, key: &str) -> Option<u32> {
    match backend.read_now(key) {
        ReadNow::Answer(found) => found.unwrap(),
        ReadNow::WouldWait => panic!("a local read never waits"),
    }
}

fn backend(bound: u64) -> (Arc<LocalBackend<u32>>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new().max_entries(bound).shards(2).clock(clock);
    (Arc::new(LocalBackend::new(config).unwrap()), hand)
}

/// Runs a scenario under many schedules; `SCHEDULES` sets how many.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok());
    shuttle::check_random(scenario, schedules.unwrap_or(10_000));
}

/// Runs the same steps on several threads and returns what each found.
fn on_threads<T: Send + 'static>(
    count: u32,
    backend: &Arc<LocalBackend<u32>>,
    steps: impl Fn(&LocalBackend<u32>, u32) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let steps = Arc::new(steps);
    let threads: Vec<_> = (0..count)
        .map(|thread| {
            let (backend, steps) = (Arc::clone(backend), Arc::clone(&steps));
            thread::spawn(move || steps(&backend, thread))
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// Asserts that counts agree with what is there, and that the whole budget can be used again.
fn is_sound(backend: &LocalBackend<u32>, bound: u64) {
    let stats = backend.stats();
    assert!(stats.weight <= Some(bound));
    let mut keys = 0;
    let mut cursor = Some(Cursor::Start);
    while let Some(from) = cursor {
        let page = now(backend.scan(&Scope::root(), from, 512)).unwrap();
        keys += page.keys.len() as u64;
        cursor = page.next;
    }
    assert_eq!(stats.entries, Some(keys));
    now(backend.clear(&Scope::root())).unwrap();
    for i in 0..bound as u32 {
        now(backend.set(&format!("refill:{i}"), i, ALWAYS)).unwrap();
    }
    assert_eq!(backend.stats().weight, Some(bound));
}

#[test]
fn of_concurrent_if_absent_writes_one_wins_also_on_an_expired_entry() {
    explore(|| {
        let (backend, hand) = backend(10);
        now(backend.set("key", 99, BackendWrite::new(SOON, Condition::Always))).unwrap();
        hand.advance(Duration::from_millis(6));
        let won = on_threads(3, &backend, |backend, thread| {
            now(backend.set("key", thread, IF_ABSENT)).unwrap()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).map(|winner| winner as u32);
        assert_eq!(read(&backend, "key"), winner);
        is_sound(&backend, 10);
    });
}

#[test]
fn concurrent_swaps_and_deletes_hand_every_value_out_once() {
    explore(|| {
        let (backend, _) = backend(10);
        now(backend.set("key", 99, ALWAYS)).unwrap();
        let mut seen = on_threads(3, &backend, |backend, thread| {
            now(backend.swap("key", thread, Expiry::Never)).unwrap()
        });
        seen.push(read(&backend, "key"));
        seen.sort_unstable();
        assert_eq!(seen, [Some(0), Some(1), Some(2), Some(99)]);
        let deleted = on_threads(2, &backend, |backend, _| {
            now(backend.delete("key", Condition::Always)).unwrap()
        });
        assert_eq!(deleted.iter().filter(|deleted| **deleted).count(), 1);
    });
}

/// Counts up over the version that was read, until nobody was faster.
fn count_up(backend: &LocalBackend<u32>) {
    loop {
        let found = now(backend.get_versioned("key")).unwrap();
        let count = found.entry.map_or(0, |entry| entry.value);
        let options = BackendWrite::new(Expiry::Never, Condition::unchanged(found.version));
        if now(backend.set("key", count + 1, options)).unwrap() {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn no_update_over_a_version_is_lost_beside_a_take_a_new_expiry_and_evictions_of_others() {
    explore(|| {
        let (backend, _) = backend(2);
        let taken = on_threads(3, &backend, |backend, thread| match thread {
            0 | 1 => {
                count_up(backend);
                count_up(backend);
                0
            }
            _ => {
                now(backend.set_expiry("key", SOON)).unwrap();
                let found = now(backend.get_ex("key", Expiry::Never)).unwrap();
                let taken = now(backend.take("key")).unwrap().unwrap_or(0);
                assert!(found.is_none_or(|found| found <= taken));
                now(backend.set("other", 7, ALWAYS)).unwrap();
                taken
            }
        });
        let left = read(&backend, "key").unwrap_or(0);
        assert_eq!(taken.iter().sum::<u32>() + left, 4);
        is_sound(&backend, 2);
    });
}

#[test]
fn of_concurrent_writes_and_deletes_over_one_version_one_takes_place() {
    explore(|| {
        let (backend, _) = backend(10);
        now(backend.set("key", 99, ALWAYS)).unwrap();
        let version = now(backend.get_versioned("key")).unwrap().version;
        let unchanged = Condition::unchanged(version);
        let won = on_threads(3, &backend, move |backend, thread| {
            if thread == 0 {
                return now(backend.delete("key", unchanged.clone())).unwrap();
            }
            let options = BackendWrite::new(Expiry::Never, unchanged.clone());
            now(backend.set("key", thread, options)).unwrap()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).unwrap() as u32;
        let left = (winner > 0).then_some(winner);
        assert_eq!(read(&backend, "key"), left);
        is_sound(&backend, 10);
    });
}

#[test]
fn writers_that_evict_each_other_keep_the_bound_and_come_to_an_end() {
    explore(|| {
        let (backend, _) = backend(2);
        on_threads(3, &backend, |backend, thread| {
            for i in 0..3 {
                now(backend.set(&format!("key:{thread}:{i}"), i, ALWAYS)).unwrap();
                assert!(backend.stats().weight <= Some(2));
            }
        });
        is_sound(&backend, 2);
    });
}

#[test]
fn a_cache_of_one_entry_is_fought_over_across_shards() {
    explore(|| {
        let (backend, _) = backend(1);
        on_threads(2, &backend, |backend, thread| {
            for i in 0..4 {
                now(backend.set(&format!("key:{thread}:{i}"), i, ALWAYS)).unwrap();
            }
        });
        assert_eq!(backend.stats().entries, Some(1));
        is_sound(&backend, 1);
    });
}

#[test]
fn sweeping_never_takes_an_entry_that_was_written_again() {
    explore(|| {
        let (backend, hand) = backend(10);
        now(backend.set("key", 1, BackendWrite::new(SOON, Condition::Always))).unwrap();
        hand.advance(Duration::from_millis(10));
        on_threads(2, &backend, |backend, thread| match thread {
            0 => drop(backend.sweep()),
            _ => assert!(now(backend.set("key", 2, ALWAYS)).unwrap()),
        });
        assert_eq!(read(&backend, "key"), Some(2));
        is_sound(&backend, 10);
    });
}

#[test]
fn extending_an_entry_races_its_sweep_to_one_of_two_ends() {
    explore(|| {
        let (backend, hand) = backend(10);
        now(backend.set("key", 1, BackendWrite::new(SOON, Condition::Always))).unwrap();
        let sweeper = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                hand.advance(Duration::from_millis(10));
                backend.sweep()
            })
        };
        let extended = now(backend.set_expiry("key", Expiry::Never)).unwrap();
        sweeper.join().unwrap();
        assert_eq!(read(&backend, "key"), extended.then_some(1));
        is_sound(&backend, 10);
    });
}

#[test]
fn resizing_and_clearing_race_writers_and_leave_counts_that_agree() {
    explore(|| {
        let (backend, _) = backend(4);
        on_threads(3, &backend, |backend, thread| match thread {
            0 => backend.resize(2).unwrap(),
            1 => drop(now(backend.clear(&Scope::root())).unwrap()),
            _ => {
                for i in 0..5 {
                    now(backend.set(&format!("key:{i}"), i, ALWAYS)).unwrap();
                }
            }
        });
        is_sound(&backend, 2);
    });
}

#[test]
fn a_write_beside_a_resize_stays_within_the_new_bound() {
    explore(|| {
        let (backend, _) = backend(2);
        now(backend.set("there", 1, ALWAYS)).unwrap();
        let writer = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || now(backend.set("new", 2, ALWAYS)).unwrap())
        };
        backend.resize(1).unwrap();
        assert!(backend.stats().weight <= Some(1));
        assert!(writer.join().unwrap());
        assert_eq!(backend.stats().entries, Some(1));
        is_sound(&backend, 1);
    });
}

#[test]
fn a_read_beside_an_overwrite_an_eviction_or_a_delete_sees_a_value_of_its_key() {
    explore(|| {
        let (backend, _) = backend(1);
        now(backend.set("a", 1, ALWAYS)).unwrap();
        let seen = on_threads(3, &backend, |backend, thread| match thread {
            0 => read(backend, "a"),
            1 => {
                now(backend.set("a", 2, ALWAYS)).unwrap();
                None
            }
            _ => {
                now(backend.set("b", 3, ALWAYS)).unwrap();
                None
            }
        });
        assert!(matches!(seen[0], None | Some(1 | 2)));
        is_sound(&backend, 1);
    });
}

#[test]
fn heavy_writers_and_growing_entries_share_a_budget_that_is_too_small_for_all() {
    explore(|| {
        let weigh = |_: &str, value: &u32| *value;
        let config = LocalConfig::new().max_weight(10, weigh).shards(2);
        let backend = Arc::new(LocalBackend::new(config).unwrap());
        now(backend.set("grows", 4, ALWAYS)).unwrap();
        on_threads(3, &backend, |backend, thread| match thread {
            0 => assert!(now(backend.set("heavy:0", 9, ALWAYS)).unwrap()),
            1 => assert!(now(backend.set("heavy:1", 7, ALWAYS)).unwrap()),
            _ => drop(now(backend.swap("grows", 8, Expiry::Never)).unwrap()),
        });
        assert!(backend.stats().weight <= Some(10));
        now(backend.clear(&Scope::root())).unwrap();
        assert!(now(backend.set("whole", 10, ALWAYS)).unwrap());
        assert_eq!(backend.stats().weight, Some(10));
    });
}

#[test]
fn a_shared_value_is_swapped_beside_its_readers_and_handed_out_once() {
    explore(|| {
        let backend = Arc::new(LocalBackend::<String>::new(LocalConfig::new()).unwrap());
        now(backend.set("key", "first".to_string(), ALWAYS)).unwrap();
        let reader = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || now(backend.get("key")).unwrap())
        };
        let swapper = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                now(backend.swap("key", "second".to_string(), Expiry::Never)).unwrap()
            })
        };
        let mut handed_out = vec![
            now(backend.swap("key", "third".to_string(), Expiry::Never)).unwrap(),
            swapper.join().unwrap(),
            now(backend.get("key")).unwrap(),
        ];
        handed_out.sort();
        assert!(handed_out.iter().flatten().eq(["first", "second", "third"]));
        assert!(reader.join().unwrap().is_some());
    });
}

#[test]
fn a_value_that_was_read_before_an_invalidation_is_not_seen_after_it() {
    explore(|| {
        let (backend, _hand) = backend(8);
        let source = Arc::new(AtomicU32::new(1));
        let invalidator = {
            let (backend, source) = (Arc::clone(&backend), Arc::clone(&source));
            thread::spawn(move || {
                source.store(2, Ordering::SeqCst);
                now(backend.abilities().tags.unwrap().invalidate(&["tag"])).unwrap();
                // Whatever is seen from here on was read from the source after the invalidation.
                let seen = read(&backend, "key");
                assert!(seen != Some(1), "{seen:?}");
            })
        };
        on_threads(2, &backend, move |backend, _| {
            let tags = backend.abilities().tags.unwrap();
            let ticket = now(tags.ticket()).unwrap();
            let value = source.load(Ordering::SeqCst);
            let tagging = Tagging::new(&["tag"], Some(&ticket));
            assert!(now(tags.set("key", value, ALWAYS, tagging)).unwrap());
        });
        invalidator.join().unwrap();
        assert!(read(&backend, "key") != Some(1));
    });
}
