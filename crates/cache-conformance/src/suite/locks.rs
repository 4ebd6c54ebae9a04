//! Locks: C50 to C52.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::{Acquired, CacheBackend, LockToken, Locks, Scope};
use futures_util::future::join;
use tokio::time::timeout;

use super::concurrency::race;
use crate::linearizability::{Answer, Operation, Recorder, check};
use crate::probe::{LONG, Probe, ok};
use crate::random::Random;
use crate::{Fixture, Skipped};

const TASKS: usize = 8;
const ROUNDS: usize = 20;
const HISTORIES: u64 = 40;
const CALLS: usize = 8;
/// A name that every part of a key's grammar is in.
const NAME: &str = "@job:{a}*";
/// The longest time that news of a release may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The calls, for tests that have found that there are locks.
struct Calls<'p>(&'p dyn Locks);

impl<'p> Calls<'p> {
    fn of<F: Fixture>(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        let locks = probe.backend().abilities().locks;
        locks.map(Self).ok_or(Skipped::LOCKS)
    }

    async fn granted(&self, ttl: Duration, promise: &str) -> LockToken {
        match ok("acquire", self.0.acquire(NAME, ttl)).await {
            Acquired::Granted(token) => token,
            Acquired::Held(left) => panic!("{promise} (held for {left:?})"),
        }
    }

    /// Asserts that somebody has the lock, for no longer than this.
    async fn assert_held(&self, at_most: Duration, promise: &str) {
        match ok("acquire", self.0.acquire(NAME, LONG)).await {
            Acquired::Held(left) => assert!(left <= at_most, "{promise} ({left:?})"),
            Acquired::Granted(_) => panic!("{promise}"),
        }
    }

    async fn extend(&self, token: LockToken, ttl: Duration) -> bool {
        ok("extend", self.0.extend(NAME, token, ttl)).await
    }

    async fn release(&self, token: LockToken) -> bool {
        ok("release", self.0.release(NAME, token)).await
    }
}

/// C50: of concurrent acquires of a free lock one is granted, and the tokens of a lock grow.
pub async fn c50_one_of_concurrent_acquires_is_granted<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let mut last = 0;
    for _ in 0..ROUNDS {
        let acquired = race(TASKS, |_| {
            let backend = probe.backend().clone();
            async move {
                let locks = backend.abilities().locks.expect("it had some");
                ok("acquire", locks.acquire(NAME, LONG)).await
            }
        })
        .await;
        let mut granted = Vec::new();
        for answer in acquired {
            match answer {
                Acquired::Granted(token) => granted.push(token),
                Acquired::Held(left) => {
                    assert!(left <= LONG, "C50: a lock is held no longer than its time");
                }
            }
        }
        let [token] = granted[..] else {
            panic!("C50: one of concurrent acquires is granted ({granted:?})");
        };
        let grows = token.fencing_token() > last;
        assert!(grows, "C50: the fencing token of a lock grows");
        last = token.fencing_token();
        assert!(
            calls.release(token).await,
            "C51: a holder gives its lock up"
        );
    }
    Ok(())
}

/// C50: a lock ends with its time, and is then granted again with a higher token.
pub async fn c50_a_lock_ends_with_its_time<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let old = calls
        .granted(probe.short(), "C50: a free lock is granted")
        .await;
    calls
        .assert_held(probe.short(), "C50: a lock is held until its time is over")
        .await;
    probe.outlive(probe.short()).await;
    let promise = "C50: a lock whose time is over is granted again";
    let new = calls.granted(LONG, promise).await;
    let grows = new.fencing_token() > old.fencing_token();
    assert!(grows, "C50: the fencing token of a lock grows");
    Ok(())
}

/// C51: an extended lock lasts for the new time, longer or shorter.
pub async fn c51_an_extended_lock_lasts_for_its_new_time<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C51: an extended lock lasts for its new time";
    let token = calls
        .granted(probe.short(), "C50: a free lock is granted")
        .await;
    assert!(calls.extend(token, LONG).await, "{promise}");
    probe.outlive(probe.short()).await;
    calls.assert_held(LONG, promise).await;
    assert!(calls.extend(token, probe.short()).await, "{promise}");
    calls.assert_held(probe.short(), promise).await;
    probe.outlive(probe.short()).await;
    calls.granted(LONG, promise).await;
    Ok(())
}

/// C51: a lock that was released is free.
pub async fn c51_a_released_lock_is_free<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C51: a lock that was released is free";
    let token = calls.granted(LONG, "C50: a free lock is granted").await;
    assert!(calls.release(token).await, "{promise}");
    assert!(!calls.release(token).await, "C51: a lock is released once");
    calls.granted(LONG, promise).await;
    Ok(())
}

/// C51: who has lost a lock can neither extend nor release it.
pub async fn c51_a_lock_of_somebody_else_stays_as_it_is<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C51: a lock of somebody else stays as it is";
    let old = calls
        .granted(probe.short(), "C50: a free lock is granted")
        .await;
    probe.outlive(probe.short()).await;
    assert!(
        !calls.extend(old, LONG).await,
        "C51: a lock whose time is over is not extended"
    );
    let new = calls.granted(LONG, promise).await;
    assert!(!calls.extend(old, LONG * 2).await, "{promise}");
    assert!(!calls.release(old).await, "{promise}");
    calls.assert_held(LONG, promise).await;
    assert!(calls.release(new).await, "{promise}");
    Ok(())
}

/// C51: who waits is told of a release long before the time is over.
pub async fn c51_who_waits_is_told_of_a_release<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let token = calls.granted(LONG, "C50: a free lock is granted").await;
    let waits = async {
        loop {
            calls.0.released(NAME, LONG).await;
            if let Acquired::Granted(token) = ok("acquire", calls.0.acquire(NAME, LONG)).await {
                return token;
            }
        }
    };
    let (released, next) = join(calls.release(token), timeout(PATIENCE, waits)).await;
    assert!(released, "C51: a holder gives its lock up");
    let next = next.expect("C51: who waits is told of a release");
    assert!(next.fencing_token() > token.fencing_token());
    Ok(())
}

/// The grants of one history: a number that no other of its grants has, and the token.
type Grants = Mutex<Vec<(u64, LockToken)>>;

/// C50, C51: what several tasks do with one lock has an order in which every answer is right.
pub async fn c50_the_history_of_a_lock_is_linearizable<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Calls::of(&probe)?;
    for seed in 0..HISTORIES {
        let history = Arc::new(History {
            name: format!("lock {seed}"),
            recorder: Recorder::default(),
            grants: Grants::default(),
        });
        race(TASKS / 2, |task| {
            let (backend, history) = (Arc::clone(probe.backend()), Arc::clone(&history));
            async move {
                let locks = backend.abilities().locks.expect("it had some");
                let mut random = Random::new(seed * TASKS as u64 + task as u64);
                for call in 0..CALLS {
                    let number = (task * CALLS + call) as u64;
                    history.act(locks, number, &mut random).await;
                }
            }
        })
        .await;
        if let Err(error) = check(None, &history.recorder.history()) {
            panic!("C50: history with seed {seed}: {error}");
        }
    }
    Ok(())
}

/// The calls of several tasks for one lock.
struct History {
    name: String,
    recorder: Recorder,
    grants: Grants,
}

impl History {
    fn grants(&self) -> MutexGuard<'_, Vec<(u64, LockToken)>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires the lock, or extends or releases it by one of the last tokens, whoever was granted it.
    async fn act(&self, locks: &dyn Locks, number: u64, random: &mut Random) {
        let at = random.below(2) as usize;
        let granted = self.grants().iter().rev().nth(at).copied();
        match (random.below(3), granted) {
            (0, Some((holder, token))) => {
                let call = self.recorder.call(Operation::Holds(holder));
                let did = ok("extend", locks.extend(&self.name, token, LONG)).await;
                self.recorder.returned(call, Answer::Did(did));
            }
            (1, Some((holder, token))) => {
                let call = self.recorder.call(Operation::DeleteIf(holder));
                let did = ok("release", locks.release(&self.name, token)).await;
                self.recorder.returned(call, Answer::Did(did));
            }
            _ => self.acquire(locks, number).await,
        }
    }

    async fn acquire(&self, locks: &dyn Locks, number: u64) {
        let earlier = self
            .grants()
            .last()
            .map_or(0, |(_, token)| token.fencing_token());
        let call = self.recorder.call(Operation::SetIfAbsent(number));
        // A refusal changes nothing, and may be one too many: a lock that is being granted is held.
        if let Acquired::Granted(token) = ok("acquire", locks.acquire(&self.name, LONG)).await {
            self.recorder.returned(call, Answer::Did(true));
            let grows = token.fencing_token() > earlier;
            assert!(grows, "C50: the fencing token of a lock grows");
            self.grants().push((number, token));
        }
    }
}

/// C52: a lock is no entry, and other names are other locks.
pub async fn c52_a_lock_is_no_entry<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let token = calls.granted(LONG, "C50: a free lock is granted").await;
    let promise = "C52: a lock is no entry";
    probe.assert_value(NAME, None, promise).await;
    probe.set(NAME, "value", cache_core::Expiry::Never).await;
    if probe.can_scan() {
        let keys = probe.scan(&Scope::root(), 100).await;
        assert!(keys.iter().all(|key| key == NAME), "{promise}: {keys:?}");
        probe.clear(&Scope::root()).await;
    }
    probe.delete(NAME).await;
    calls.assert_held(LONG, promise).await;
    assert!(calls.extend(token, LONG).await, "{promise}");
    for other in ["@job:{a}", "@job:{a}*?", "job", "@JOB:{a}*"] {
        let acquired = ok("acquire", calls.0.acquire(other, LONG)).await;
        let is_granted = matches!(acquired, Acquired::Granted(_));
        assert!(is_granted, "C52: {other:?} is another lock than {NAME:?}");
    }
    Ok(())
}
