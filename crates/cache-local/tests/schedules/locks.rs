//! Locks beside each other, and beside the passing of time.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Acquired, CacheBackend, LockToken};
use cache_local::LocalBackend;
use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use shuttle::thread;

use super::{backend, explore, now, on_threads};

const NAME: &str = "job";
const TTL: Duration = Duration::from_secs(10);

fn acquire(backend: &LocalBackend<u32>) -> Option<LockToken> {
    let locks = backend.abilities().locks.unwrap();
    match now(locks.acquire(NAME, TTL)).unwrap() {
        Acquired::Granted(token) => Some(token),
        Acquired::Held(_) => None,
    }
}

fn extend(backend: &LocalBackend<u32>, token: LockToken) -> bool {
    let locks = backend.abilities().locks.unwrap();
    now(locks.extend(NAME, token, TTL)).unwrap()
}

fn release(backend: &LocalBackend<u32>, token: LockToken) -> bool {
    let locks = backend.abilities().locks.unwrap();
    now(locks.release(NAME, token)).unwrap()
}

#[test]
fn a_lock_has_one_holder_at_a_time_and_each_token_is_above_the_last() {
    explore(|| {
        let (backend, _) = backend(10);
        let (holders, last) = (AtomicU32::new(0), AtomicU64::new(0));
        let state = Arc::new((holders, last));
        let shared = Arc::clone(&state);
        on_threads(3, &backend, move |backend, _| {
            let (holders, last) = &*shared;
            for _ in 0..2 {
                let Some(token) = acquire(backend) else {
                    thread::yield_now();
                    continue;
                };
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                let before = last.swap(token.fencing_token(), Ordering::SeqCst);
                assert!(token.fencing_token() > before);
                assert!(extend(backend, token));
                holders.fetch_sub(1, Ordering::SeqCst);
                assert!(release(backend, token));
            }
        });
        assert!(acquire(&backend).is_some());
    });
}

#[test]
fn a_lock_whose_time_is_over_goes_to_one_other_and_its_old_holder_changes_nothing() {
    explore(|| {
        let (backend, hand) = backend(10);
        let old = acquire(&backend).unwrap();
        hand.advance(TTL);
        let granted = on_threads(3, &backend, move |backend, thread| {
            if thread == 0 {
                assert!(!extend(backend, old));
                assert!(!release(backend, old));
                None
            } else {
                acquire(backend)
            }
        });
        let granted: Vec<LockToken> = granted.into_iter().flatten().collect();
        assert_eq!(granted.len(), 1);
        assert!(granted[0].fencing_token() > old.fencing_token());
        assert!(release(&backend, granted[0]));
    });
}

#[test]
fn of_two_releases_by_one_token_one_succeeds_and_the_next_holder_keeps_the_lock() {
    explore(|| {
        let (backend, _) = backend(10);
        let first = acquire(&backend).unwrap();
        let acquired = on_threads(3, &backend, move |backend, thread| {
            if thread < 2 {
                return (release(backend, first), None);
            }
            (false, acquire(backend))
        });
        let released = acquired.iter().filter(|(released, _)| *released).count();
        assert_eq!(released, 1);
        if let Some(next) = acquired[2].1 {
            assert!(extend(&backend, next));
        }
    });
}
