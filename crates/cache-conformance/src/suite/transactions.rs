//! Transactions: C36 and C37.
//!
//! The keys of a test have a hash tag in common, for stores that have transactions within one part of
//! their keys alone. Where such a tag means nothing, tests with several keys are skipped.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Result, Scope, TransactionWrite,
    Transactions, Watch,
};

use super::concurrency::race;
use crate::probe::{LONG, Probe, ok};
use crate::{Fixture, Skipped, TestValue};

pub(super) const A: &str = "{keys}a";
pub(super) const B: &str = "{keys}b";
pub(super) const TASKS: usize = 4;
pub(super) const ROUNDS: usize = 25;

/// The calls, for tests that have found that there are transactions.
pub(super) struct Calls<'p, F: Fixture>(pub(super) &'p dyn Transactions<F::Value>);

impl<'p, F: Fixture> Calls<'p, F> {
    pub(super) fn of(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        let transactions = probe.backend().abilities().transactions;
        transactions.map(Self).ok_or(Skipped::TRANSACTIONS)
    }

    /// Returns them if they can have several keys.
    pub(super) async fn of_many(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        let calls = Self::of(probe)?;
        match calls.0.watch(&[A, B]).await {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput { .. }) => {
                Err(Skipped::ONE_KEY)
            }
            other => other
                .map(|_| calls)
                .map_err(|error| panic!("watch: {error}")),
        }
    }

    pub(super) async fn watch(&self, keys: &[&str]) -> (Vec<Option<String>>, Watch) {
        let (found, watch) = ok("watch", self.0.watch(keys)).await;
        let text = |value: Option<F::Value>| value.map(|value| value.to_text());
        (found.into_iter().map(text).collect(), watch)
    }

    /// Commits, and tells whether there was no conflict.
    pub(super) async fn commit(
        &self,
        watch: Watch,
        writes: Vec<(&str, TransactionWrite<F::Value>)>,
    ) -> bool {
        match self.0.commit(watch, writes).await {
            Ok(()) => true,
            Err(error) if *error.kind() == ErrorKind::Conflict => false,
            Err(error) => panic!("commit: {error}"),
        }
    }
}

pub(super) fn set<V: TestValue>(value: &str) -> TransactionWrite<V> {
    set_for(value, Expiry::Never)
}

fn set_for<V: TestValue>(value: &str, expiry: Expiry) -> TransactionWrite<V> {
    TransactionWrite::Set(V::from_text(value), expiry)
}

/// C36: a watch answers as `get_many`, in the order of the keys and each time for a repeated one.
pub async fn c36_a_watch_answers_as_get_many<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of_many(&probe).await?;
    probe.set(A, "a", Expiry::Never).await;
    probe.set(B, "b", Expiry::After(LONG)).await;
    let (found, _) = calls.watch(&[B, "{keys}absent", A, B]).await;
    let expected = [Some("b"), None, Some("a"), Some("b")];
    let expected = expected.map(|text| text.map(str::to_owned));
    assert_eq!(found, expected, "C36: a watch answers as get_many");
    probe.set(B, "b", Expiry::After(probe.short())).await;
    probe.advance(probe.short() + fixture.granularity()).await;
    let (found, _) = calls.watch(&[B]).await;
    assert_eq!(found, [None], "C36: a watch finds no expired entry");
    Ok(())
}

/// C36: a commit writes as `set` without a condition and `delete` do, also keys that are not watched.
pub async fn c36_a_commit_makes_all_its_writes<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of_many(&probe).await?;
    for key in [A, B] {
        probe.set(key, "old", Expiry::After(LONG)).await;
    }
    let (_, watch) = calls.watch(&[A]).await;
    let (new, short) = ("{keys}new", Expiry::After(LONG / 2));
    let writes = vec![
        (A, set("a")),
        (B, TransactionWrite::Delete),
        (new, set_for("new", short)),
        ("{keys}absent", TransactionWrite::Delete),
    ];
    assert!(
        calls.commit(watch, writes).await,
        "C36: nothing has changed"
    );
    let promise = "C36: a commit makes all its writes";
    probe.assert_value(A, Some("a"), promise).await;
    probe.assert_value(B, None, promise).await;
    probe.assert_value(new, Some("new"), promise).await;
    let expiry = ok("expiry", probe.backend().expiry(A)).await;
    let promise = "C36: a commit replaces the expiry with the value";
    assert_eq!(expiry, Some(Expiry::Never), "{promise}");
    let left = ok("expiry", probe.backend().expiry(new)).await;
    let left = left.and_then(Expiry::remaining).unwrap_or_default();
    assert!(left > Duration::ZERO && left <= LONG / 2, "C36: {left:?}");
    Ok(())
}

/// C36: what a commit writes is seen together.
pub async fn c36_no_watch_sees_a_commit_in_part<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Calls::of_many(&probe).await?;
    let task = |number| {
        let backend = Arc::clone(probe.backend());
        async move {
            let calls = Calls::<F>(backend.abilities().transactions.expect("it had some"));
            for round in 0..ROUNDS {
                let (found, watch) = calls.watch(&[A, B]).await;
                let promise = "C36: no watch sees a commit in part";
                assert_eq!(found[0], found[1], "{promise}");
                if number % 2 == 0 {
                    let value = format!("{number}-{round}");
                    let writes = vec![(A, set(&value)), (B, set(&value))];
                    calls.commit(watch, writes).await;
                }
            }
        }
    };
    race(TASKS, task).await;
    Ok(())
}

/// Changes a key in one of the ways that there are.
async fn change<F: Fixture>(probe: &Probe<'_, F>, way: &str, key: &str) {
    let backend = probe.backend();
    let value = || F::Value::from_text("same");
    match way {
        "set" => probe.set(key, "same", Expiry::Never).await,
        "set if present" => {
            let options = BackendWrite::new(Expiry::Never, Condition::IfPresent);
            ok("set", backend.set(key, value(), options)).await;
        }
        "swap" => {
            ok("swap", backend.swap(key, value(), Expiry::Never)).await;
        }
        "delete" => {
            ok("delete", backend.delete(key, Condition::Always)).await;
        }
        "set many" => {
            ok(
                "set_many",
                backend.set_many(vec![(key, value())], Expiry::Never),
            )
            .await;
        }
        "delete many" => {
            ok("delete_many", backend.delete_many(&[key])).await;
        }
        "clear" if probe.can_scan() => {
            ok("clear", backend.clear(&Scope::root())).await;
        }
        "commit" => {
            let calls = Calls::of(probe).expect("it had some");
            let (_, watch) = calls.watch(&[key]).await;
            assert!(calls.commit(watch, vec![(key, set("same"))]).await);
        }
        _ => probe.set(key, "same", Expiry::Never).await,
    }
}

/// C37: a commit changes nothing if a watched key has changed, be it to the same value.
pub async fn c37_a_change_of_a_watched_key_is_a_conflict<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let ways = [
        "set",
        "set if present",
        "swap",
        "delete",
        "set many",
        "delete many",
        "clear",
        "commit",
    ];
    for way in ways {
        probe.set(A, "same", Expiry::Never).await;
        let (found, watch) = calls.watch(&[A]).await;
        assert_eq!(found[0].as_deref(), Some("same"));
        change(&probe, way, A).await;
        let after = ok("get", probe.backend().get(A)).await;
        let after = after.map(|value| value.to_text());
        let promise = format!("C37: a change of a watched key is a conflict ({way})");
        assert!(
            !calls.commit(watch, vec![(A, set("mine"))]).await,
            "{promise}"
        );
        let promise = format!("C37: a conflict changes nothing ({way})");
        probe.assert_value(A, after.as_deref(), &promise).await;
    }
    // An absent key is watched too.
    probe.set(A, "same", Expiry::Never).await;
    ok("delete", probe.backend().delete(A, Condition::Always)).await;
    let (found, watch) = calls.watch(&[A]).await;
    assert_eq!(found, [None]);
    probe.set(A, "theirs", Expiry::Never).await;
    let promise = "C37: a write of a watched absent key is a conflict";
    assert!(
        !calls.commit(watch, vec![(A, set("mine"))]).await,
        "{promise}"
    );
    probe.assert_value(A, Some("theirs"), promise).await;
    Ok(())
}

/// C37: an absent key that came and went has been written.
pub async fn c37_a_watched_absent_key_that_came_and_went_is_a_conflict<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    for ends_by_itself in [false, true] {
        let (found, watch) = calls.watch(&[A]).await;
        assert_eq!(found, [None]);
        if ends_by_itself {
            probe.set(A, "theirs", Expiry::After(probe.short())).await;
            probe.advance(probe.short() + fixture.granularity()).await;
        } else {
            probe.set(A, "theirs", Expiry::Never).await;
            ok("delete", probe.backend().delete(A, Condition::Always)).await;
        }
        let promise = "C37: an absent key that came and went is a conflict";
        assert!(
            !calls.commit(watch, vec![(A, set("mine"))]).await,
            "{promise}"
        );
        probe.assert_value(A, None, promise).await;
    }
    Ok(())
}

/// C37: one changed key of several is enough, and then none of the writes takes place.
pub async fn c37_a_conflict_stops_all_writes<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of_many(&probe).await?;
    for changed in [A, B] {
        for key in [A, B] {
            probe.set(key, "old", Expiry::Never).await;
        }
        let (_, watch) = calls.watch(&[A, B]).await;
        probe.set(changed, "old", Expiry::Never).await;
        let writes = vec![(A, set("mine")), (B, TransactionWrite::Delete)];
        let promise = "C37: one changed key is a conflict";
        assert!(!calls.commit(watch, writes).await, "{promise}");
        for key in [A, B] {
            let promise = "C37: a conflict stops all writes";
            probe.assert_value(key, Some("old"), promise).await;
        }
    }
    // Keys that are not watched do not matter.
    let (_, watch) = calls.watch(&[A]).await;
    probe.set(B, "theirs", Expiry::Never).await;
    let promise = "C37: a key that is not watched is no conflict";
    assert!(
        calls.commit(watch, vec![(A, set("mine"))]).await,
        "{promise}"
    );
    probe.assert_value(A, Some("mine"), promise).await;
    Ok(())
}

/// C37: what was true when the key was there may not be so when it has expired.
pub async fn c37_a_watched_key_that_expires_is_a_conflict<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    probe.set(A, "old", Expiry::After(probe.short())).await;
    let (found, watch) = calls.watch(&[A]).await;
    assert_eq!(found[0].as_deref(), Some("old"));
    probe.advance(probe.short() + fixture.granularity()).await;
    let promise = "C37: a watched key that expires is a conflict";
    assert!(
        !calls.commit(watch, vec![(A, set("mine"))]).await,
        "{promise}"
    );
    probe.assert_value(A, None, promise).await;
    Ok(())
}

/// C37: a watch that is dropped changes nothing, and is in nobody's way.
pub async fn c37_a_dropped_watch_changes_nothing<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    probe.set(A, "old", Expiry::Never).await;
    let (_, dropped) = calls.watch(&[A]).await;
    drop(dropped);
    // It may have what the first one had, but not what that has watched.
    let (_, watch) = calls.watch(&["{keys}other"]).await;
    probe.set(A, "new", Expiry::Never).await;
    let promise = "C37: what a dropped watch has watched does not matter";
    let committed = calls.commit(watch, vec![("{keys}other", set("mine"))]);
    assert!(committed.await, "{promise}");
    probe.assert_value(A, Some("new"), promise).await;
    Ok(())
}

/// C37: of concurrent read-modify-writes none is lost.
pub async fn c37_no_update_is_lost<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Calls::of(&probe)?;
    let task = |_| {
        let backend = Arc::clone(probe.backend());
        async move {
            let calls = Calls::<F>(backend.abilities().transactions.expect("it had some"));
            let mut done = 0;
            while done < ROUNDS {
                let (found, watch) = calls.watch(&[A]).await;
                let count = found[0].as_deref().unwrap_or("0");
                let count: usize = count.parse().expect("C37: a number");
                let next = (count + 1).to_string();
                done += usize::from(calls.commit(watch, vec![(A, set(&next))]).await);
            }
        }
    };
    race(TASKS, task).await;
    let all = (TASKS * ROUNDS).to_string();
    let promise = "C37: no update is lost";
    probe.assert_value(A, Some(&all), promise).await;
    Ok(())
}
