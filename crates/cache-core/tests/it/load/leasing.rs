//! Loads on a store whose leases are lost, or are never granted.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{
    Abilities, BackendEntry, BackendWrite, Cache, CacheBackend, CacheBuilder, Claim, Clock,
    Condition, Cursor, ErrorKind, Expiry, LoadError, LoadLease, LoadLeases, LoadOptions,
    ManualClock, Page, Result, Scope,
};
use cache_local::{LocalBackend, LocalConfig};
use tokio::time::Instant;

use super::{MS, SECOND, failing, not_called};

const HOUR: Duration = Duration::from_secs(3600);

/// What becomes of the leases of a store.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Their claim takes a second, and fails.
    Refused,
    /// They are over when they are filled; the key is absent, or somebody else's value is there.
    Lost(Option<u32>),
    /// They are over when they are extended for the first time.
    Taken,
    /// Nothing is known of them once they are granted.
    Unknown,
    /// Somebody has them, however often they are released.
    Denied,
}

#[derive(Debug)]
struct Leasing(LocalBackend<u32>, Fate);

impl CacheBackend<u32> for Leasing {
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<u32>>> {
        self.0.get_entry(key).await
    }
    async fn set(&self, key: &str, value: u32, options: BackendWrite) -> Result<bool> {
        CacheBackend::set(&self.0, key, value, options).await
    }
    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.0.delete(key, condition).await
    }
    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.0.set_expiry(key, expiry).await
    }
    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.0.scan(scope, cursor, limit).await
    }
    fn abilities(&self) -> Abilities<'_, u32> {
        Abilities::none().with_leases(self)
    }
}

#[async_trait]
impl LoadLeases<u32> for Leasing {
    async fn claim(&self, _key: &str, _ttl: Duration) -> Result<Claim<u32>> {
        match self.1 {
            Fate::Refused => {
                tokio::time::sleep(SECOND).await;
                Err(ErrorKind::Timeout.into())
            }
            Fate::Denied => Ok(Claim::Held {
                left: HOUR,
                lease: Some(LoadLease::new(2, 2)),
            }),
            _ => Ok(Claim::Granted(LoadLease::new(1, 1))),
        }
    }
    async fn extend(&self, _key: &str, _lease: LoadLease, _ttl: Duration) -> Result<bool> {
        match self.1 {
            Fate::Taken => Ok(false),
            Fate::Unknown => Err(ErrorKind::Timeout.into()),
            _ => Ok(true),
        }
    }
    async fn fill(
        &self,
        key: &str,
        _lease: LoadLease,
        _value: u32,
        _expiry: Expiry,
    ) -> Result<bool> {
        if let Fate::Lost(Some(other)) = self.1 {
            let options = BackendWrite::new(Expiry::Never, Condition::Always);
            CacheBackend::set(&self.0, key, other, options).await?;
        }
        Ok(false)
    }
    async fn release(&self, _key: &str, _lease: LoadLease) -> Result<()> {
        Ok(())
    }
    async fn discard(&self, _key: &str, _value: u32) -> Result<()> {
        Ok(())
    }
    async fn ended(&self, _key: &str, at_most: Duration) {
        tokio::time::sleep(at_most).await;
    }
}

fn leasing(fate: Fate) -> (Cache<u32, Leasing>, ManualClock) {
    leasing_with(fate, LoadOptions::new())
}

fn leasing_with(fate: Fate, options: LoadOptions) -> (Cache<u32, Leasing>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new().clock(clock.clone());
    let local = LocalBackend::new(config).expect("the configuration is right");
    let builder = CacheBuilder::with_backend(Leasing(local, fate)).clock(clock);
    let builder = builder.keep_stale(HOUR).load_options(options.ttl(60));
    (builder.build().expect("good options"), hand)
}

fn get(
    cache: &Cache<u32, Leasing>,
    fails: bool,
    value: Option<u32>,
) -> tokio::task::JoinHandle<Option<u32>> {
    let cache = cache.clone();
    tokio::spawn(async move {
        let options = LoadOptions::new().fail_on_outage(fails);
        let load = async move |_| match value {
            Some(value) => Ok::<_, io::Error>(value),
            None => not_called().await,
        };
        let found = cache.entry("key").options(options).or_load(load).await;
        found
            .map_err(|error| {
                let error = error.cache().expect("the cache fails").clone();
                assert_eq!(error.kind(), &ErrorKind::Timeout);
                assert_eq!(error.operation(), Some("or_load"));
            })
            .ok()
            .flatten()
    })
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_claim_that_fails_get_its_error() {
    let (cache, _hand) = leasing(Fate::Refused);
    let start = Instant::now();
    let tasks: Vec<_> = (0..20).map(|_| get(&cache, true, None)).collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), None);
    }
    assert_eq!(start.elapsed(), SECOND);
    let loads = cache.stats().loads;
    assert_eq!((loads.loads, loads.failures, loads.pending), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_goes_past_outages_loads_though_the_claim_of_another_has_failed() {
    let (cache, _hand) = leasing(Fate::Refused);
    let start = Instant::now();
    let fails = get(&cache, true, None);
    tokio::task::yield_now().await;
    let passes: Vec<_> = (0..20).map(|_| get(&cache, false, Some(7))).collect();
    assert_eq!(fails.await.unwrap(), None);
    for task in passes {
        assert_eq!(task.await.unwrap(), Some(7));
    }
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(cache.stats().loads.loads, 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_a_lease_leaves_no_older_copy_but_that_of_the_winner() {
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, MS);
    for (winner, served) in [(None, None), (Some(3), Some(1))] {
        let (cache, hand) = leasing(Fate::Lost(winner));
        // Loaded without a lease, it has a copy.
        let load = async |_| Ok::<_, io::Error>(1);
        let alone = LoadOptions::new().lease_ttl(Duration::ZERO);
        let first = cache.entry("key").options(alone).or_load(load).await;
        assert_eq!(first.unwrap(), Some(1));
        cache.expire("key", 1).await.unwrap();
        hand.advance(2 * SECOND);
        let load = async |_| Ok::<_, io::Error>(2);
        let second = cache.entry("key").options(options).or_load(load).await;
        assert_eq!(second.unwrap(), Some(2));
        assert_eq!(cache.get("key").await.unwrap(), winner);
        // It is evicted.
        cache
            .backend()
            .0
            .delete("key", Condition::Always)
            .await
            .unwrap();
        let then = cache
            .entry("key")
            .options(options)
            .or_load(|_| failing())
            .await;
        assert_eq!(then.ok().flatten(), served);
    }
}

/// Loads 1, which takes a minute.
fn slow(cache: &Cache<u32, Leasing>) -> tokio::task::JoinHandle<u32> {
    let cache = cache.clone();
    tokio::spawn(async move {
        let load = async || {
            tokio::time::sleep(60 * SECOND).await;
            1
        };
        let loaded = cache.get_or_insert_with("key", load).await;
        loaded.expect("the loader cannot fail")
    })
}

/// Asks for the key after so long; tells what it got, and how long that took.
async fn asks_after(fate: Fate, time: Duration) -> (u32, Duration) {
    let (cache, _hand) = leasing(fate);
    let first = slow(&cache);
    tokio::time::sleep(time).await;
    let start = Instant::now();
    let found = cache.get_or_insert_with("key", async || 2).await;
    let took = start.elapsed();
    assert_eq!(first.await.unwrap(), 1);
    (found.expect("the loader cannot fail"), took)
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_lease_was_lost_is_not_joined() {
    let joined = asks_after(Fate::Lost(None), 30 * SECOND).await;
    assert_eq!(joined, (1, 30 * SECOND), "a lease that is extended is held");
    assert_eq!(
        asks_after(Fate::Taken, 340 * MS).await,
        (2, Duration::ZERO),
        "it is looked at three times a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_whose_lease_was_not_seen_for_a_second_is_not_joined() {
    let joined = asks_after(Fate::Unknown, SECOND).await;
    assert_eq!(joined, (1, 59 * SECOND));
    assert_eq!(
        asks_after(Fate::Unknown, SECOND + MS).await,
        (2, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_past_an_outage_is_joined_for_no_more_than_a_second() {
    // It begins after the second that its claim takes.
    let joined = asks_after(Fate::Refused, 2 * SECOND).await;
    assert_eq!(joined, (1, 59 * SECOND));
    let alone = asks_after(Fate::Refused, 2 * SECOND + MS).await;
    assert_eq!(alone, (2, SECOND), "a claim of its own");
}

/// Loads 1 for each of a hundred keys, which takes a minute.
fn slow_bulk(
    cache: &Cache<u32, Leasing>,
) -> tokio::task::JoinHandle<Vec<Result<Option<u32>, LoadError<io::Error>>>> {
    let cache = cache.clone();
    tokio::spawn(async move {
        let keys: Vec<String> = (0..100).map(|number| format!("key {number}")).collect();
        let load = async |keys: Vec<String>| {
            tokio::time::sleep(60 * SECOND).await;
            Ok::<_, io::Error>(keys.into_iter().map(|key| (key, 1)))
        };
        let answers = cache.get_many_or_load(&keys, load).await;
        answers.expect("memory does not fail")
    })
}

/// Asks for a key of a bulk load after so long; tells what it got, and how long that took.
async fn asks_bulk_after(fate: Fate, time: Duration) -> (u32, Duration) {
    let (cache, _hand) = leasing(fate);
    let bulk = slow_bulk(&cache);
    tokio::time::sleep(time).await;
    let start = Instant::now();
    let found = cache.get_or_insert_with("key 99", async || 2).await;
    let took = start.elapsed();
    let answers = bulk.await.unwrap();
    let found = found.expect("the loader cannot fail");
    let is_one = |answer: &Result<Option<u32>, _>| matches!(answer, Ok(Some(1)));
    assert!(answers.iter().all(is_one));
    (found, took)
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_is_joined_for_as_long_as_its_leases_are_known_to_be_held() {
    let joined = asks_bulk_after(Fate::Lost(None), 30 * SECOND).await;
    assert_eq!(
        joined,
        (1, 30 * SECOND),
        "leases that are extended are held"
    );
    assert_eq!(
        asks_bulk_after(Fate::Taken, 340 * MS).await,
        (2, Duration::ZERO),
        "they are looked at three times a second"
    );
    let joined = asks_bulk_after(Fate::Unknown, SECOND).await;
    assert_eq!(joined, (1, 59 * SECOND));
    assert_eq!(
        asks_bulk_after(Fate::Unknown, SECOND + MS).await,
        (2, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_past_an_outage_asks_for_few_leases_and_is_joined_for_a_second() {
    // The claims that are made at the same time fail after a second; no others are made.
    let joined = asks_bulk_after(Fate::Refused, 2 * SECOND).await;
    assert_eq!(joined, (1, 59 * SECOND));
    let alone = asks_bulk_after(Fate::Refused, 2 * SECOND + MS).await;
    assert_eq!(alone, (2, SECOND), "a claim of its own");
    let (cache, _hand) = leasing(Fate::Refused);
    let start = Instant::now();
    assert_eq!(slow_bulk(&cache).await.unwrap().len(), 100);
    assert_eq!(start.elapsed(), 61 * SECOND);
    assert_eq!(cache.get("key 0").await.unwrap(), None, "it is not stored");
    let loads = cache.stats().loads;
    assert_eq!((loads.loads, loads.past_outage, loads.pending), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_wants_errors_gets_that_of_a_claim_for_each_key_of_a_bulk_load() {
    let (cache, _hand) = leasing_with(Fate::Refused, LoadOptions::new().fail_on_outage(true));
    let start = Instant::now();
    let answers = slow_bulk(&cache).await.unwrap();
    assert_eq!((answers.len(), start.elapsed()), (100, SECOND));
    for answer in answers {
        let error = answer.unwrap_err();
        let error = error.cache().expect("the cache fails");
        assert_eq!(error.kind(), &ErrorKind::Timeout);
        assert_eq!(error.operation(), Some("get_many_or_load"));
    }
    let loads = cache.stats().loads;
    assert_eq!((loads.loads, loads.past_outage, loads.pending), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_that_has_lost_its_leases_stores_nothing() {
    let (cache, _hand) = leasing(Fate::Lost(None));
    let answers = slow_bulk(&cache).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(cache.get("key 0").await.unwrap(), None);
    assert_eq!(cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_without_the_lease_that_it_needs_leaves_no_older_copy() {
    let options = LoadOptions::new().fail_safe(HOUR, MS);
    for fate in [Fate::Lost(None), Fate::Denied] {
        let (cache, hand) = leasing(fate);
        let load = async |_| Ok::<_, io::Error>(1);
        let alone = options.lease_ttl(Duration::ZERO);
        let first = cache.entry("key").options(alone).or_load(load).await;
        assert_eq!(first.unwrap(), Some(1));
        hand.advance(61 * SECOND);
        let load = async |_| Ok::<_, io::Error>(2);
        let start = Instant::now();
        assert_eq!(cache.entry("key").refresh(load).await.unwrap(), Some(2));
        assert_eq!(start.elapsed(), Duration::ZERO, "it waits for nobody");
        assert_eq!(cache.get("key").await.unwrap(), None, "{fate:?}");
        let then = cache
            .entry("key")
            .options(alone)
            .or_load(|_| failing())
            .await;
        assert!(then.is_err(), "{fate:?}");
    }
}
