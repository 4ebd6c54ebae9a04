//! Transactions beside every other kind of write, and beside each other.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheBackend, Condition, ErrorKind, Expiry, Scope, TransactionWrite, Watch};
use cache_local::{LocalBackend, LocalConfig};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::{ALWAYS, SOON, backend, count_up, explore, is_sound, now, on_threads, read};

const A: &str = "key";
const B: &str = "other";

type Writes<'k> = Vec<(&'k str, TransactionWrite<u32>)>;

fn set(value: u32) -> TransactionWrite<u32> {
    TransactionWrite::Set(value, Expiry::Never)
}

fn watch(backend: &LocalBackend<u32>, keys: &[&str]) -> (Vec<Option<u32>>, Watch) {
    now(backend.abilities().transactions.unwrap().watch(keys)).unwrap()
}

/// Tells whether there was no conflict.
fn commit(backend: &LocalBackend<u32>, watch: Watch, writes: Writes<'_>) -> bool {
    let transactions = backend.abilities().transactions.unwrap();
    match now(transactions.commit(watch, writes)) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(*error.kind(), ErrorKind::Conflict);
            false
        }
    }
}

/// Adds to both keys, until nobody was faster. An absent key counts as none.
fn add(backend: &LocalBackend<u32>, keys: [&str; 2], more: u32) {
    loop {
        let (found, watch) = watch(backend, &keys);
        let sum = |place: usize| set(found[place].unwrap_or(0) + more);
        if commit(backend, watch, vec![(keys[0], sum(0)), (keys[1], sum(1))]) {
            return;
        }
        thread::yield_now();
    }
}

/// Runs a transaction that adds 10 to both keys, which hold 1, beside what `beside` does, and checks
/// what is then there.
fn beside(
    beside: impl Fn(&LocalBackend<u32>) + Copy + Send + Sync + 'static,
    check: impl Fn(Option<u32>, Option<u32>) -> bool + Send + Sync + 'static,
) {
    explore(move || {
        let (backend, _) = backend(10);
        add(&backend, [A, B], 1);
        on_threads(2, &backend, move |backend, thread| match thread {
            0 => add(backend, [A, B], 10),
            _ => beside(backend),
        });
        let (a, b) = (read(&backend, A), read(&backend, B));
        assert!(check(a, b), "{a:?} {b:?}");
        is_sound(&backend, 10);
    });
}

#[test]
fn a_transaction_beside_a_set_loses_neither() {
    beside(
        |backend| assert!(now(backend.set(A, 100, ALWAYS)).unwrap()),
        |a, b| matches!(a, Some(100 | 110)) && b == Some(11),
    );
}

#[test]
fn a_transaction_beside_a_delete_is_before_or_after_it() {
    beside(
        |backend| assert!(now(backend.delete(A, Condition::Always)).unwrap()),
        |a, b| matches!(a, None | Some(10)) && b == Some(11),
    );
}

#[test]
fn a_transaction_beside_a_take_is_before_or_after_it() {
    beside(
        |backend| {
            let taken = now(backend.take(A)).unwrap();
            assert!(matches!(taken, Some(1 | 11)));
        },
        |a, b| matches!(a, None | Some(10)) && b == Some(11),
    );
}

#[test]
fn a_transaction_beside_a_clear_leaves_of_each_key_what_came_last() {
    beside(
        |backend| {
            now(backend.clear(&Scope::root())).unwrap();
        },
        |a, b| {
            [a, b]
                .iter()
                .all(|left| matches!(left, None | Some(10 | 11)))
        },
    );
}

#[test]
fn a_transaction_and_updates_over_versions_lose_nothing() {
    beside(
        |backend| {
            count_up(backend);
            count_up(backend);
        },
        |a, b| a == Some(13) && b == Some(11),
    );
}

#[test]
fn a_transaction_beside_a_new_expiry_and_the_end_of_its_key_never_adds_to_what_has_ended() {
    explore(|| {
        let (backend, hand) = backend(10);
        add(&backend, [A, B], 1);
        let other = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                let changed = now(backend.set_expiry(A, SOON)).unwrap();
                hand.advance(Duration::from_millis(6));
                backend.sweep();
                changed
            })
        };
        add(&backend, [A, B], 10);
        assert!(other.join().unwrap());
        let a = read(&backend, A);
        // After the end, between the expiry and the end, or before the expiry.
        assert!(matches!(a, Some(10 | 11) | None), "{a:?}");
        assert_eq!(read(&backend, B), Some(11));
        is_sound(&backend, 10);
    });
}

#[test]
fn transactions_with_their_keys_in_another_order_all_come_to_an_end() {
    explore(|| {
        let (backend, _) = backend(10);
        on_threads(3, &backend, |backend, thread| match thread {
            0 => add(backend, [A, B], 1),
            1 => add(backend, [B, A], 10),
            _ => add(backend, [B, "third"], 100),
        });
        let found = watch(&backend, &[A, B, "third"]).0;
        assert_eq!(found, [Some(11), Some(111), Some(100)]);
        is_sound(&backend, 10);
    });
}

#[test]
fn no_watch_sees_a_commit_in_part() {
    explore(|| {
        let (backend, _) = backend(10);
        on_threads(3, &backend, |backend, thread| {
            if thread == 0 {
                add(backend, [A, B], 1);
                add(backend, [B, A], 1);
            }
            let (found, _) = watch(backend, &[A, B]);
            assert_eq!(found[0], found[1]);
        });
        is_sound(&backend, 10);
    });
}

#[test]
fn of_transactions_that_find_a_key_absent_one_claims_it() {
    explore(|| {
        let (backend, _) = backend(10);
        let won = on_threads(3, &backend, |backend, thread| {
            let (found, watch) = watch(backend, &["claimed"]);
            found == [None] && commit(backend, watch, vec![("claimed", set(thread))])
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).map(|winner| winner as u32);
        assert_eq!(read(&backend, "claimed"), winner);
        is_sound(&backend, 10);
    });
}

#[test]
fn a_key_that_came_and_went_is_no_longer_the_absent_key_that_was_watched() {
    explore(|| {
        let (backend, _) = backend(10);
        let (has_come, has_gone) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        let has_gone = Arc::new(has_gone);
        let other = {
            let backend = Arc::clone(&backend);
            let (has_come, has_gone) = (Arc::clone(&has_come), Arc::clone(&has_gone));
            thread::spawn(move || {
                has_come.store(true, Ordering::SeqCst);
                now(backend.set(A, 99, ALWAYS)).unwrap();
                now(backend.delete(A, Condition::Always)).unwrap();
                has_gone.store(true, Ordering::SeqCst);
            })
        };
        let (_, watch) = watch(&backend, &[A]);
        let before = !has_come.load(Ordering::SeqCst);
        // It gets the time to come and to go, and does not always take it.
        let has_gone = || has_gone.load(Ordering::SeqCst);
        (0..20)
            .take_while(|_| !has_gone())
            .for_each(|_| thread::yield_now());
        let after = has_gone();
        let committed = commit(&backend, watch, vec![(B, set(1))]);
        assert!(!(before && after && committed));
        other.join().unwrap();
        is_sound(&backend, 10);
    });
}

#[test]
fn transactions_beside_evictions_keep_the_bound_and_come_to_an_end() {
    explore(|| {
        let (backend, _) = backend(2);
        on_threads(3, &backend, |backend, thread| {
            if thread == 2 {
                for key in ["c", "d", "e"] {
                    now(backend.set(key, 7, ALWAYS)).unwrap();
                    assert!(backend.stats().weight <= Some(2));
                }
                return;
            }
            add(backend, [["a", "b"], ["b", "c"]][thread as usize], 1);
            assert!(backend.stats().weight <= Some(2));
        });
        is_sound(&backend, 2);
    });
}

#[test]
fn a_full_cache_gives_up_even_what_is_watched_in_the_step_that_compares_it() {
    explore(|| {
        let (backend, _) = backend(2);
        now(backend.set(A, 1, ALWAYS)).unwrap();
        now(backend.set(B, 1, ALWAYS)).unwrap();
        on_threads(2, &backend, |backend, thread| {
            if thread == 1 {
                let _ = read(backend, A);
                backend.sweep();
                return;
            }
            let (found, watch) = watch(backend, &[A, B]);
            assert_eq!(found, [Some(1), Some(1)]);
            assert!(commit(backend, watch, vec![("c", set(2)), ("d", set(3))]));
        });
        let found = watch(&backend, &[A, B, "c", "d"]).0;
        assert_eq!(found, [None, None, Some(2), Some(3)]);
        is_sound(&backend, 2);
    });
}

#[test]
fn heavy_transactions_share_a_budget_that_is_too_small_for_all() {
    explore(|| {
        let weigh = |_: &str, value: &u32| *value;
        let config = LocalConfig::new().max_weight(10, weigh).shards(2);
        let backend = Arc::new(LocalBackend::new(config).unwrap());
        now(backend.set("grows", 4, ALWAYS)).unwrap();
        on_threads(3, &backend, |backend, thread| {
            let set_both = |keys: [&str; 2], values: [u32; 2]| {
                let writes = || keys.into_iter().zip(values.map(set)).collect();
                // Another key may look like this one, which is absent.
                while !commit(backend, watch(backend, &["unwritten"]).1, writes()) {}
            };
            match thread {
                0 => set_both(["a", "b"], [5, 5]),
                1 => set_both(["grows", "c"], [6, 3]),
                _ => drop(now(backend.swap("a", 9, Expiry::Never)).unwrap()),
            }
            assert!(backend.stats().weight <= Some(10));
        });
        now(backend.clear(&Scope::root())).unwrap();
        assert!(now(backend.set("whole", 10, ALWAYS)).unwrap());
        assert_eq!(backend.stats().weight, Some(10));
    });
}

#[test]
fn a_transaction_beside_a_resize_stays_within_the_new_bound() {
    explore(|| {
        let (backend, _) = backend(4);
        now(backend.set("there", 1, ALWAYS)).unwrap();
        let writer = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                let (_, watch) = watch(&backend, &[A]);
                commit(&backend, watch, vec![(A, set(2)), (B, set(3))])
            })
        };
        backend.resize(2).unwrap();
        assert!(backend.stats().weight <= Some(2));
        assert!(writer.join().unwrap());
        is_sound(&backend, 2);
    });
}
