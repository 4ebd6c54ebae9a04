//! Bounds: C26 and C27.

use std::sync::Arc;

use cache_core::{BackendWrite, CacheBackend, Condition, Error, ErrorKind, Expiry};

use super::concurrency::race;
use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped, TestValue};

const BOUNDS: [u64; 4] = [1, 2, 7, 64];

async fn bounded<F: Fixture>(fixture: &F, entries: u64) -> Result<Probe<'_, F>, Skipped> {
    let backend = fixture.bounded(entries).await.ok_or(Skipped::BOUND)?;
    assert!(
        backend.capabilities().bounded,
        "C26: a backend that is bounded says so in its capabilities"
    );
    Ok(Probe::of(fixture, backend))
}

/// Counts what is there of `keys`, and asserts that it and the backend's own count are in bounds.
async fn held<F: Fixture>(probe: &Probe<'_, F>, keys: &[String], bound: u64) -> u64 {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let held = probe.get_many(&keys).await.iter().flatten().count() as u64;
    assert!(
        held <= bound,
        "C26: a bound of {bound} entries, {held} are held"
    );
    if let Some(entries) = probe.backend().stats().entries {
        assert!(
            entries <= bound,
            "C26: a bound of {bound} entries, {entries} are counted"
        );
    }
    held
}

/// C26: no kind of write makes a bounded backend hold more than its bound.
pub async fn c26_a_bounded_backend_never_holds_more_than_its_bound<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    for bound in BOUNDS {
        let probe = bounded(fixture, bound).await?;
        let keys: Vec<String> = (0..bound * 4 + 3).map(|at| format!("key {at}")).collect();
        for (number, key) in keys.iter().enumerate() {
            match number % 4 {
                0 => probe.set(key, "value", Expiry::Never).await,
                1 => probe.set_many(&[(key, "value")], Expiry::After(LONG)).await,
                2 => drop(probe.swap(key, "value", Expiry::Never).await),
                _ => {
                    let condition = Condition::IfAbsent;
                    probe.set_if(key, "value", Expiry::Never, condition).await;
                }
            }
            held(&probe, &keys, bound).await;
        }
        let all: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "new")).collect();
        probe.set_many(&all, Expiry::Never).await;
        held(&probe, &keys, bound).await;
    }
    Ok(())
}

/// C26: the bound holds at every moment while many tasks write.
pub async fn c26_the_bound_holds_while_many_tasks_write<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    const TASKS: usize = 4;
    const WRITES: usize = 200;
    for bound in BOUNDS {
        let probe = bounded(fixture, bound).await?;
        race(TASKS, |task| {
            let backend = Arc::clone(probe.backend());
            async move {
                for write in 0..WRITES {
                    let value = F::Value::from_text("value");
                    let options = BackendWrite::new(Expiry::Never, Condition::Always);
                    let written = backend
                        .set(&format!("{task}.{write}"), value, options)
                        .await;
                    written.expect("a set into a full backend succeeds");
                    let entries = backend.stats().entries.unwrap_or(0);
                    assert!(
                        entries <= bound,
                        "C26: a bound of {bound} entries, {entries} are counted"
                    );
                }
            }
        })
        .await;
        let keys: Vec<String> = (0..TASKS * WRITES)
            .map(|at| format!("{}.{}", at / WRITES, at % WRITES))
            .collect();
        held(&probe, &keys, bound).await;
    }
    Ok(())
}

/// C26: a bound is no excuse: into an empty backend an entry fits, and can be overwritten.
pub async fn c26_an_entry_that_fits_is_held<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    for bound in BOUNDS {
        let probe = bounded(fixture, bound).await?;
        for value in ["one", "two", "three"] {
            probe.set("key", value, Expiry::Never).await;
            probe
                .assert_value("key", Some(value), "C26: an entry that fits is held")
                .await;
        }
    }
    Ok(())
}

/// C27: a value that can never fit is refused by every write, and the old entry stays.
pub async fn c27_what_never_fits_is_refused_and_the_old_entry_stays<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let (backend, value) = fixture.oversized().await.ok_or(Skipped::OVERSIZED)?;
    let probe = Probe::of(fixture, backend);
    let backend = probe.backend();
    let never = Expiry::Never;
    let set = async |key: &str, condition| {
        let options = BackendWrite::new(never, condition);
        backend.set(key, value.clone(), options).await.err()
    };
    let set_many = backend.set_many(vec![("key", value.clone())], never);
    let old = ("old", Expiry::After(LONG));
    probe.set("key", old.0, old.1).await;
    let refusals = [
        ("set", set("key", Condition::Always).await),
        ("set if present", set("key", Condition::IfPresent).await),
        ("set if absent", set("new", Condition::IfAbsent).await),
        (
            "swap",
            backend.swap("key", value.clone(), never).await.err(),
        ),
        ("set_many", set_many.await.err()),
    ];
    for (call, error) in refusals {
        assert_too_large(error.as_ref(), call);
    }
    probe
        .assert_entry("key", old, "C27: the old entry stays")
        .await;
    probe
        .assert_value("new", None, "C27: a refused value is not there")
        .await;
    probe.set("key", "new", Expiry::Never).await;
    probe
        .assert_value("key", Some("new"), "C27: a value that fits is taken")
        .await;
    Ok(())
}

fn assert_too_large(error: Option<&Error>, call: &str) {
    let kind = error.map(Error::kind);
    assert!(
        matches!(kind, Some(ErrorKind::TooLarge { weight, limit }) if weight > limit),
        "C27: {call} of a value that never fits is TooLarge, was {kind:?}"
    );
}
