//! Locks and leadership as the facade gives them.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Cache, CacheBackend, MAX_LOCK_NAME_BYTES, MAX_TTL, Ttl};
use tokio::time::timeout;

use super::errors::assert_invalid;
use super::value;
use crate::probe::{LONG, Probe, ok};
use crate::suite::concurrency::race;
use crate::{Fixture, Skipped, TestValue};

const TASKS: usize = 8;
const ROUNDS: usize = 10;
/// The longest time that news of a release may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns a cache over a backend that has locks.
async fn locking<F: Fixture>(fixture: &F) -> Result<Cache<F::Value>, Skipped> {
    let probe = Probe::fresh(fixture).await;
    let has_locks = probe.backend().abilities().locks.is_some();
    has_locks.then(|| probe.cache()).ok_or(Skipped::LOCKS)
}

/// No change that is made under a lock is lost, however many tasks make one at once.
pub async fn work_under_a_lock_is_done_by_one_at_a_time<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let cache = Arc::new(locking(fixture).await?);
    race(TASKS, |_| {
        let cache = Arc::clone(&cache);
        async move {
            let mut last = 0;
            for _ in 0..ROUNDS {
                let lock = cache.lock("count").ttl(LONG).wait(LONG);
                let lock = ok("acquire", lock.acquire()).await;
                let lock = lock.expect("a lock is given back long before the end of the wait");
                assert!(lock.fencing_token() > last, "the fencing token grows");
                last = lock.fencing_token();
                let count = value(&cache, "count").await.unwrap_or_default();
                let next = F::Value::from_text(&format!("{count}."));
                ok("set", cache.set("count", next)).await;
                assert!(ok("release", lock.release()).await, "it was held until now");
            }
        }
    })
    .await;
    let count = value(&cache, "count").await.unwrap_or_default();
    assert_eq!(count.len(), TASKS * ROUNDS, "one at a time has the lock");
    Ok(())
}

/// A dropped lock is released, and the next waiter gets it.
pub async fn a_dropped_lock_is_given_back<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = locking(fixture).await?;
    let held = ok("acquire", cache.lock("job").ttl(LONG).acquire()).await;
    let held = held.expect("a free lock is granted");
    assert!(held.is_held());
    let refused = ok("acquire", cache.lock("job").acquire()).await;
    assert!(refused.is_none(), "one holder at a time");
    let waits = tokio::spawn(cache.lock("job").wait(LONG).acquire());
    drop(held);
    let next = timeout(PATIENCE, waits)
        .await
        .expect("a dropped lock is given back");
    let next = ok("acquire", async { next.expect("no panic") }).await;
    assert!(next.is_some(), "a dropped lock is given back");
    Ok(())
}

/// One leads at a time, and the next as soon as the leader resigns.
pub async fn one_leads_until_it_resigns<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = locking(fixture).await?;
    let leadership = cache.leadership("scheduler").ttl(LONG);
    let first = ok("campaign", leadership.campaign()).await;
    assert!(first.is_leader() && ok("renew", first.renew()).await);
    let campaign = leadership.campaign();
    tokio::pin!(campaign);
    let waits = timeout(Duration::from_millis(20), &mut campaign).await;
    assert!(waits.is_err(), "one leads at a time");
    let token = first.fencing_token();
    assert!(ok("resign", first.resign()).await, "it led until now");
    let second = timeout(PATIENCE, campaign)
        .await
        .expect("the next one leads");
    let second = ok("campaign", async { second }).await;
    assert!(second.fencing_token() > token, "the fencing token grows");
    Ok(())
}

/// Each namespace has locks of its own, which no entry and no `clear` touches.
pub async fn locks_belong_to_their_namespace<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = locking(fixture).await?;
    let inner = cache.namespace("inner").expect("a good name");
    let held = ok("acquire", cache.lock("job").ttl(LONG).acquire()).await;
    let other = ok("acquire", inner.lock("job").ttl(LONG).acquire()).await;
    assert!(
        held.is_some() && other.is_some(),
        "two namespaces, two locks"
    );
    assert_eq!(value(&cache, "job").await, None);
    // Without a scan there is no `clear`.
    let _ = cache.clear().await;
    for cache in [&cache, &inner] {
        let again = ok("acquire", cache.lock("job").acquire()).await;
        assert!(again.is_none(), "a lock is held until it is released");
    }
    Ok(())
}

/// A bad name and a bad time to live are refused, with the limit.
pub async fn a_bad_lock_is_invalid_input<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = locking(fixture).await?;
    let long = "n".repeat(MAX_LOCK_NAME_BYTES);
    let too_long = format!("{long}n");
    for name in ["", &too_long] {
        let refused = cache.lock(name).acquire().await;
        assert_invalid(refused, "lock", "name");
    }
    for ttl in [
        Ttl::from(0),
        Ttl::from(MAX_TTL + Duration::from_secs(1)),
        Ttl::NEVER,
    ] {
        let refused = cache.lock("job").ttl(ttl).acquire().await;
        assert_invalid(refused, "lock", "ttl");
    }
    let acquired = ok("acquire", cache.lock(&*long).ttl(LONG).acquire()).await;
    assert!(acquired.is_some(), "the longest name is taken");
    Ok(())
}
