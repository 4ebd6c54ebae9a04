//! Load leases: C29 to C31.

use std::time::Duration;

use cache_core::{CacheBackend, Claim, Condition, Expiry, LoadLease, LoadLeases, Scope};

use super::concurrency::race;
use crate::probe::{LONG, Probe, ok, text};
use crate::{Fixture, Skipped, TestValue};

const TASKS: usize = 8;
const ROUNDS: usize = 50;

/// The calls, for tests that have found that there are leases.
struct Leases<'p, F: Fixture>(&'p dyn LoadLeases<F::Value>);

impl<'p, F: Fixture> Leases<'p, F> {
    fn of(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        probe
            .backend()
            .abilities()
            .leases
            .map(Self)
            .ok_or(Skipped::LEASES)
    }

    async fn claim(&self, key: &str, ttl: Duration) -> Claim<F::Value> {
        ok("claim", self.0.claim(key, ttl)).await
    }

    async fn granted(&self, key: &str, ttl: Duration, promise: &str) -> LoadLease {
        match self.claim(key, ttl).await {
            Claim::Granted(lease) => lease,
            other => panic!("{promise} (key {key:?}: {other:?})"),
        }
    }

    async fn fill(&self, key: &str, lease: LoadLease, value: &str, expiry: Expiry) -> bool {
        let value = F::Value::from_text(value);
        ok("fill", self.0.fill(key, lease, value, expiry)).await
    }
}

/// C29: of concurrent claims of an absent key one is granted, and the others are told for how long.
pub async fn c29_one_of_concurrent_claims_is_granted<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Leases::of(&probe)?;
    for round in 0..ROUNDS {
        let claims = race(TASKS, |_| {
            let (backend, key) = (probe.backend().clone(), format!("key {round}"));
            async move {
                let leases = backend.abilities().leases.expect("it had some");
                match ok("claim", leases.claim(&key, LONG)).await {
                    Claim::Granted(_) => true,
                    Claim::Held { left, .. } => {
                        assert!(left <= LONG, "C29: a lease lasts no longer than its time");
                        false
                    }
                    other => panic!("C29: {key:?} is absent: {other:?}"),
                }
            }
        })
        .await;
        let granted = claims.iter().filter(|granted| **granted).count();
        assert_eq!(granted, 1, "C29: one of concurrent claims is granted");
    }
    Ok(())
}

/// C29: a claim of a key that is there finds its value.
pub async fn c29_a_claim_finds_the_value_of_a_present_key<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    probe.set("key", "value", Expiry::After(LONG)).await;
    match leases.claim("key", LONG).await {
        Claim::Found(value) => assert_eq!(text(value), "value", "C29: a claim finds the value"),
        other => panic!("C29: a claim of a present key finds its value: {other:?}"),
    }
    let entry = ("value", Expiry::After(LONG));
    probe
        .assert_entry("key", entry, "C29: a claim changes no entry")
        .await;
    Ok(())
}

/// C29: a lease ends with its time, and is then granted again with a higher token.
pub async fn c29_a_lease_ends_with_its_time<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    let promise = "C29: a lease whose time is over is granted again";
    let old = leases.granted("key", probe.short(), promise).await;
    probe.outlive(probe.short()).await;
    let new = leases.granted("key", LONG, promise).await;
    let grows = new.fencing_token() > old.fencing_token();
    assert!(grows, "C29: the fencing token of a key grows");
    let filled = leases.fill("key", old, "late", Expiry::Never).await;
    assert!(!filled, "C31: a lease that has ended fills nothing");
    probe
        .assert_value("key", None, "C31: a late fill stores nothing")
        .await;
    let extended = ok("extend", leases.0.extend("key", old, LONG)).await;
    assert!(!extended, "C29: a lease that has ended is not extended");
    let extended = ok("extend", leases.0.extend("key", new, probe.short())).await;
    assert!(extended, "C29: a lease that is held is extended");
    probe.outlive(probe.short()).await;
    leases.granted("key", LONG, promise).await;
    Ok(())
}

/// C30: a key under a lease is absent for every read, and for every write that changes nothing.
pub async fn c30_a_key_under_a_lease_is_absent<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    let lease = leases.granted("key", LONG, "C29: an absent key").await;
    probe
        .assert_value("key", None, "C30: a key under a lease is absent")
        .await;
    let expiry = Expiry::After(LONG);
    assert!(
        !probe.set_expiry("key", expiry).await && !probe.set_expiry("key", Expiry::Never).await,
        "C30: set_expiry finds no entry under a lease"
    );
    let written = probe
        .set_if("key", "value", expiry, Condition::IfPresent)
        .await;
    assert!(!written, "C30: IfPresent finds no entry under a lease");
    let found = probe.get_ex("key", expiry).await;
    assert_eq!(found, None, "C30: get_ex finds no entry under a lease");
    let found = probe.versioned("key").await;
    assert_eq!(found, (None, None), "C30: a lease has no version");
    let filled = leases.fill("key", lease, "value", expiry).await;
    assert!(filled, "C30: none of these revokes the lease");
    Ok(())
}

/// C30: nothing counts or returns what stands under a key while it is leased.
pub async fn c30_writes_find_nothing_under_a_lease<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    for key in ["delete", "many", "take", "absent", "swap", "clear"] {
        leases.granted(key, LONG, "C29: an absent key").await;
    }
    let found = probe.delete("delete").await;
    assert!(!found, "C30: delete finds no entry under a lease");
    let found = probe.delete_many(&["many"]).await;
    assert_eq!(found, 0, "C30: delete_many counts no leases");
    let taken = probe.take("take").await;
    assert_eq!(taken, None, "C30: take finds no entry under a lease");
    let written = probe
        .set_if("absent", "value", Expiry::Never, Condition::IfAbsent)
        .await;
    assert!(written, "C30: IfAbsent succeeds on a key under a lease");
    let replaced = probe.swap("swap", "value", Expiry::Never).await;
    assert_eq!(replaced, None, "C30: swap replaces no entry under a lease");
    if probe.can_scan() {
        let cleared = probe.clear(&Scope::root()).await;
        assert_eq!(cleared, 2, "C30: clear counts no leases");
    }
    Ok(())
}

/// C31: a fill stores the value and its expiry, once.
pub async fn c31_a_fill_stores_the_value_and_its_expiry<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    for (key, expiry) in [("never", Expiry::Never), ("after", Expiry::After(LONG))] {
        let lease = leases.granted(key, LONG, "C29: an absent key").await;
        let filled = leases.fill(key, lease, "value", expiry).await;
        assert!(filled, "C31: a lease that is held fills");
        probe
            .assert_entry(key, ("value", expiry), "C31: a fill stores")
            .await;
        let again = leases.fill(key, lease, "again", Expiry::Never).await;
        assert!(!again, "C31: a lease fills once");
        probe
            .assert_entry(key, ("value", expiry), "C31: a lease fills once")
            .await;
    }
    Ok(())
}

/// C31: whatever writes or deletes a key revokes its lease.
pub async fn c31_a_write_or_delete_revokes_the_lease<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    for write in ["set", "set_many", "swap", "delete", "delete_many", "clear"] {
        let lease = leases.granted(write, LONG, "C29: an absent key").await;
        let mut stays = Some("new");
        match write {
            "set" => probe.set(write, "new", Expiry::Never).await,
            "set_many" => probe.set_many(&[(write, "new")], Expiry::Never).await,
            "swap" => drop(probe.swap(write, "new", Expiry::Never).await),
            _ => stays = None,
        }
        match write {
            "delete" => drop(probe.delete(write).await),
            "delete_many" => drop(probe.delete_many(&[write]).await),
            "clear" if probe.can_scan() => drop(probe.clear(&Scope::root()).await),
            "clear" => continue,
            _ => {}
        }
        let filled = leases.fill(write, lease, "old", Expiry::Never).await;
        assert!(!filled, "C31: {write} revokes the lease of its key");
        let promise = "C31: a late fill changes nothing";
        probe.assert_value(write, stays, promise).await;
    }
    Ok(())
}

/// C31: a lease that was released is granted again, and fills nothing.
pub async fn c31_a_released_lease_is_over<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let leases = Leases::of(&probe)?;
    let promise = "C31: a released lease is granted again";
    let old = leases.granted("key", LONG, promise).await;
    ok("release", leases.0.release("key", old)).await;
    leases.0.ended("key", Duration::ZERO).await;
    let new = leases.granted("key", LONG, promise).await;
    let filled = leases.fill("key", old, "old", Expiry::Never).await;
    assert!(!filled, "C31: a released lease fills nothing");
    // Not ours any more: nothing happens.
    ok("release", leases.0.release("key", old)).await;
    let filled = leases.fill("key", new, "new", Expiry::Never).await;
    assert!(filled, "C31: only its holder releases a lease");
    Ok(())
}
