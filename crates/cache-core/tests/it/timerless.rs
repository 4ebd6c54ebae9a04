//! Waits in a runtime that was built without timers.

use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use cache_conformance::{Fault, FaultyBackend};
use cache_core::timer::timeout;
use cache_core::{Cache, Clock, ErrorKind, LoadError, LoadOptions, ManualClock, WarmOptions};
use cache_local::{LocalBackend, LocalConfig};
use futures_util::future::join;
use futures_util::stream;
use tokio::task::yield_now;

const SHORT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

type Loading = Result<u32, io::Error>;

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test)
}

fn cache() -> (Cache<u32>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let backend = LocalBackend::new(LocalConfig::new().clock(clock.clone())).unwrap();
    let builder = Cache::builder(backend).clock(clock).keep_stale(HOUR);
    (builder.build().unwrap(), hand)
}

async fn load(
    cache: &Cache<u32>,
    options: LoadOptions,
) -> Result<Option<u32>, LoadError<io::Error>> {
    let load = |_| pending::<Loading>();
    cache.entry("key").options(options).or_load(load).await
}

#[test]
fn a_load_and_who_waits_for_it_have_their_hard_timeout() {
    let (cache, _) = cache();
    let limit = LoadOptions::new().hard_timeout(SHORT);
    let start = Instant::now();
    let (one, two) = run(join(load(&cache, limit), load(&cache, limit)));
    assert!(start.elapsed() >= SHORT);
    for answer in [one, two] {
        let error = answer.unwrap_err();
        let kind = error.cache().unwrap().kind();
        assert_eq!(*kind, ErrorKind::LoadTimeout { limit: SHORT });
    }
}

#[test]
fn a_load_of_many_keys_and_who_waits_for_it_have_their_hard_timeout() {
    let backend = LocalBackend::default();
    let options = LoadOptions::new().hard_timeout(SHORT);
    let builder = Cache::<u32>::builder(backend).load_options(options);
    let cache = builder.build().unwrap();
    let load = || {
        let load = |_| pending::<Result<Vec<(String, u32)>, io::Error>>();
        cache.get_many_or_load(&["a", "b"], load)
    };
    let (one, two) = run(join(load(), load()));
    for answer in one.unwrap().into_iter().chain(two.unwrap()) {
        let error = answer.unwrap_err();
        let kind = error.cache().unwrap().kind();
        assert_eq!(*kind, ErrorKind::LoadTimeout { limit: SHORT });
    }
}

#[test]
fn a_load_that_takes_long_is_answered_with_the_last_value() {
    let (cache, hand) = cache();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    let answer = run(async {
        let first = cache.entry("key").options(options);
        first.or_load(async |_| Loading::Ok(7)).await.unwrap();
        hand.advance(Duration::from_secs(61));
        load(&cache, options.soft_timeout(SHORT)).await
    });
    assert_eq!(answer.unwrap(), Some(7));
}

#[test]
fn a_cache_is_warmed_at_the_rate_that_is_asked_for() {
    let (cache, _) = cache();
    let options = WarmOptions::new().batch(1).rate(100);
    let mut pairs = stream::iter((0..3u32).map(|row| (row.to_string(), row)));
    let start = Instant::now();
    assert_eq!(run(cache.warm(&mut pairs, options)).unwrap(), 3);
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn a_lock_is_waited_for_and_renewed_and_says_when_it_is_lost() {
    let (cache, hand) = cache();
    run(async {
        let held = cache.lock("job").ttl(SHORT * 3).acquire().await.unwrap();
        let held = held.expect("nobody has it");
        let full = format!("{held:?}");
        hand.advance(SHORT);
        assert_ne!(format!("{held:?}"), full);
        let waiting = cache.lock("job").wait(SHORT).acquire();
        assert!(waiting.await.unwrap().is_none());
        let start = Instant::now();
        while format!("{held:?}") != full && start.elapsed() < 60 * SECOND {
            yield_now().await;
        }
        assert_eq!(format!("{held:?}"), full, "it was not renewed");
        let late = timeout(SHORT, Box::pin(held.lost()));
        assert!(late.await.is_err());
        let next = cache.lock("job").wait_forever().acquire();
        let (next, released) = join(next, held.release()).await;
        assert!(released.unwrap() && next.unwrap().is_some());
    });
}

#[test]
fn who_campaigns_for_a_lock_leads_once_it_is_free() {
    let (cache, _) = cache();
    run(async {
        let held = cache.lock("leader").acquire().await.unwrap();
        let held = held.expect("nobody has it");
        let leadership = cache.leadership("leader");
        let (term, released) = join(leadership.campaign(), held.release()).await;
        assert!(released.unwrap() && term.unwrap().is_leader());
    });
}

#[test]
fn a_write_waits_for_a_value_that_is_being_stored() {
    let store = FaultyBackend::new(LocalBackend::<u32>::default());
    store.every(1, Fault::Yield);
    let cache = Cache::new(store);
    for turns in 0..12 {
        let delete = async {
            for _ in 0..turns {
                yield_now().await;
            }
            cache.delete("key").await
        };
        let load = cache.get_or_insert_with("key", async || turns);
        let (loaded, deleted) = run(join(load, delete));
        assert_eq!(loaded.unwrap(), turns);
        let found = run(cache.get("key")).unwrap();
        assert!(found.is_none(), "{turns}: {deleted:?}");
    }
}
