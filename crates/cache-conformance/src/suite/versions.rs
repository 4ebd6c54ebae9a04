//! Versions, and the verbs that are built on them: C38 to C43.
//!
//! These need a multi-threaded tokio runtime, because they spawn tasks.

use std::sync::Arc;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry, Version};
use tokio::sync::Barrier;

use super::concurrency::{ROUNDS, TASKS, race, wins};
use super::tags::Tagger;
use crate::probe::{LONG, Probe, ok, text};
use crate::{Fixture, Skipped, TestValue};

/// C38: a read of the truth finds the entry and a version, and nothing of an absent key.
pub async fn c38_get_versioned_finds_the_entry_and_its_version<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C38: get_versioned finds what get_entry finds";
    let expiry = Expiry::After(LONG);
    probe.set("key", "value", expiry).await;
    let found = ok("get_versioned", probe.backend().get_versioned("key")).await;
    let entry = found.entry.expect(promise);
    assert_eq!(text(entry.value), "value", "{promise}");
    probe.assert_left(Some(entry.expiry), expiry, promise);
    assert!(found.version.is_some(), "C38: what is there has a version");

    probe.delete("key").await;
    probe.expired(&["expired"], "old").await;
    for key in ["key", "expired", "never written"] {
        let found = ok("get_versioned", probe.backend().get_versioned(key)).await;
        assert!(found.entry.is_none(), "{promise} ({key})");
        assert_eq!(
            found.version, None,
            "C38: an absent key has no version ({key})"
        );
    }
}

/// C38: another value is another version, whichever write has brought it.
pub async fn c38_a_write_of_another_value_changes_the_version<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let mut seen: Vec<Version> = Vec::new();
    for write in 0..5 {
        let value = format!("value {write}");
        match write {
            0 | 1 => probe.set("key", &value, Expiry::Never).await,
            2 => drop(probe.swap("key", &value, Expiry::Never).await),
            3 => probe.set_many(&[("key", &value)], Expiry::Never).await,
            _ => {
                probe.delete("key").await;
                probe.set("key", &value, Expiry::Never).await;
            }
        }
        let version = version(&probe, "key").await;
        let promise = "C38: another value has another version";
        assert!(!seen.contains(&version), "{promise} (write {write})");
        seen.push(version);
    }
}

/// C38: a change of the expiry is no write of the value.
pub async fn c38_set_expiry_leaves_the_version<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::Never).await;
    let before = version(&probe, "key").await;
    probe.set_expiry("key", Expiry::After(LONG)).await;
    let promise = "C38: set_expiry leaves the version as it is";
    assert_eq!(version(&probe, "key").await, before, "{promise}");
}

/// C39: a write over the version that is there takes place.
pub async fn c39_a_write_over_the_present_version_takes_place<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C39: a write over the version that is there takes place";
    probe.set("key", "old", Expiry::Never).await;
    let unchanged = Condition::IfVersion(version(&probe, "key").await);
    let expiry = Expiry::After(LONG);
    let written = probe.set_if("key", "new", expiry, unchanged).await;
    assert!(written, "{promise}");
    probe.assert_entry("key", ("new", expiry), promise).await;

    let unchanged = Condition::IfVersion(version(&probe, "key").await);
    let deleted = ok("delete", probe.backend().delete("key", unchanged)).await;
    assert!(deleted, "C39: so does a delete");
    probe
        .assert_value("key", None, "C39: so does a delete")
        .await;
}

/// C39: over any other version, or where nothing is, it changes nothing.
pub async fn c39_a_write_over_another_version_changes_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C39: a write over another version changes nothing";
    let short = Expiry::After(probe.short());
    for key in ["written", "deleted", "expired"] {
        let expiry = if key == "expired" {
            short
        } else {
            Expiry::Never
        };
        probe.set(key, "old", expiry).await;
    }
    let mut old = Vec::new();
    for key in ["written", "deleted", "expired"] {
        old.push((key, Condition::IfVersion(version(&probe, key).await)));
    }
    probe.set("written", "newer", Expiry::Never).await;
    probe.delete("deleted").await;
    probe.outlive(probe.short()).await;
    for (key, outdated) in old {
        let there = (key == "written").then_some("newer");
        let written = probe.set_if(key, "late", Expiry::Never, outdated.clone());
        assert!(!written.await, "{promise} ({key})");
        probe.assert_value(key, there, promise).await;
        let deleted = ok("delete", probe.backend().delete(key, outdated)).await;
        assert!(!deleted, "C39: nor does a delete ({key})");
        probe
            .assert_value(key, there, "C39: nor does a delete")
            .await;
    }
}

/// C39: an entry of which a tag was invalidated has no version that a write could be over.
pub async fn c39_an_invalidated_entry_has_no_version<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let promise = "C39: a write over an invalidated entry changes nothing";
    tagger.set("key", "old", &["tag"]).await;
    let outdated = Condition::IfVersion(version(&probe, "key").await);
    tagger.invalidate(&["tag"]).await;
    let written = probe.set_if("key", "late", Expiry::Never, outdated.clone());
    assert!(!written.await, "{promise}");
    let deleted = ok("delete", probe.backend().delete("key", outdated)).await;
    assert!(!deleted, "C39: nor does a delete");
    let found = ok("get_versioned", probe.backend().get_versioned("key")).await;
    assert!(found.entry.is_none(), "{promise}");
    let written = probe.set_if(
        "key",
        "new",
        Expiry::Never,
        Condition::unchanged(found.version),
    );
    assert!(written.await, "C39: what is found there can be replaced");
    probe.assert_value("key", Some("new"), promise).await;
    Ok(())
}

/// C40: of writes over one version one takes place.
pub async fn c40_one_of_concurrent_writes_over_a_version_takes_place<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let mut versions = Vec::new();
    for round in 0..ROUNDS {
        let key = format!("key {round}");
        probe.set(&key, "first", Expiry::Never).await;
        versions.push(version(&probe, &key).await);
    }
    let (versions, line) = (Arc::new(versions), Arc::new(Barrier::new(TASKS)));
    let results = race(TASKS, |task| {
        let backend = Arc::clone(probe.backend());
        let (versions, line) = (Arc::clone(&versions), Arc::clone(&line));
        async move {
            let mut won = Vec::new();
            for (round, version) in versions.iter().enumerate() {
                line.wait().await;
                let (key, unchanged) = (
                    format!("key {round}"),
                    Condition::IfVersion(version.clone()),
                );
                won.push(if task == 0 {
                    ok("delete", backend.delete(&key, unchanged)).await
                } else {
                    let value = F::Value::from_text(&format!("of task {task}"));
                    let options = BackendWrite::new(Expiry::Never, unchanged);
                    ok("set", backend.set(&key, value, options)).await
                });
            }
            won
        }
    })
    .await;
    let one = "C40: one of concurrent writes over a version takes place";
    for round in 0..ROUNDS {
        let winners = results.iter().filter(|won| won[round]).count();
        assert_eq!(winners, 1, "{one} (round {round})");
    }
}

/// C40: tasks that count up, each over the version that it has read, count every step.
pub async fn c40_no_write_over_a_version_is_lost<F: Fixture>(fixture: &F) {
    const EACH: usize = 25;
    let probe = Probe::fresh(fixture).await;
    race(TASKS, |_| {
        let backend = Arc::clone(probe.backend());
        async move {
            let mut counted = 0;
            while counted < EACH {
                let found = ok("get_versioned", backend.get_versioned("count")).await;
                let count = found.entry.map(|entry| text(entry.value));
                let count = count.map_or(0, |count| count.parse::<usize>().expect("a number"));
                let unchanged = Condition::unchanged(found.version);
                let options = BackendWrite::new(Expiry::Never, unchanged);
                let more = F::Value::from_text(&(count + 1).to_string());
                counted += usize::from(ok("set", backend.set("count", more, options)).await);
            }
        }
    })
    .await;
    let total = (TASKS * EACH).to_string();
    let promise = "C40: no write over a version is lost";
    probe.assert_value("count", Some(&total), promise).await;
}

/// C41: `take` returns the value and leaves nothing.
pub async fn c41_take_removes_the_entry_and_returns_its_value<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C41: take removes the entry and returns its value";
    probe.set("key", "value", Expiry::Never).await;
    assert_eq!(
        probe.take("key").await.as_deref(),
        Some("value"),
        "{promise}"
    );
    probe.assert_value("key", None, promise).await;
    probe.expired(&["expired"], "old").await;
    for key in ["key", "expired", "never written"] {
        assert_eq!(probe.take(key).await, None, "C41: {key} is absent");
    }
}

/// C41: of takes and deletes of one entry one gets it.
pub async fn c41_one_of_concurrent_takes_and_deletes_gets_the_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for round in 0..ROUNDS {
        let key = format!("key {round}");
        probe.set(&key, "value", Expiry::Never).await;
    }
    let wins = wins(&probe, |backend, key, task| async move {
        if task % 2 == 0 {
            return ok("take", backend.take(&key)).await.is_some();
        }
        ok("delete", backend.delete(&key, Condition::Always)).await
    });
    let one = "C41: one of concurrent takes and deletes gets the entry";
    assert!(wins.await.into_iter().all(|wins| wins == 1), "{one}");
}

/// C42: `get_ex` returns the value and changes the expiry, and nothing else.
pub async fn c42_get_ex_returns_the_value_and_changes_the_expiry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C42: get_ex returns the value and changes the expiry";
    probe.set("key", "value", Expiry::Never).await;
    for expiry in [Expiry::After(LONG), Expiry::After(LONG * 2), Expiry::Never] {
        let found = probe.get_ex("key", expiry).await;
        assert_eq!(found.as_deref(), Some("value"), "{promise}");
        probe.assert_entry("key", ("value", expiry), promise).await;
    }
    probe.expired(&["expired"], "old").await;
    for key in ["expired", "never written"] {
        let absent = "C42: get_ex leaves an absent key absent";
        let found = probe.get_ex(key, Expiry::After(LONG)).await;
        assert_eq!(found, None, "{absent} ({key})");
        probe.assert_value(key, None, absent).await;
    }
}

/// C42: tags stay, and an invalidated entry is absent for `get_ex` and `take`.
pub async fn c42_get_ex_keeps_the_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let promise = "C42: get_ex leaves the tags as they are";
    for key in ["key", "taken"] {
        tagger.set(key, "value", &["tag"]).await;
        let found = probe.get_ex(key, Expiry::After(LONG)).await;
        assert_eq!(found.as_deref(), Some("value"), "{promise}");
    }
    tagger.invalidate(&["tag"]).await;
    probe.assert_value("key", None, promise).await;
    let found = probe.get_ex("key", Expiry::Never).await;
    assert_eq!(found, None, "C42: an invalidated entry is absent");
    let taken = probe.take("taken").await;
    assert_eq!(taken, None, "C41: an invalidated entry is absent");
    Ok(())
}

/// C43: a write that keeps the expiry changes the value alone.
pub async fn c43_a_kept_expiry_stays_under_a_new_value<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let promise = "C43: a write that keeps the expiry leaves it as it is";
    for old in [Expiry::After(LONG), Expiry::Never] {
        for condition in ["none", "if present", "if version"] {
            probe.set("key", "old", old).await;
            let condition = match condition {
                "none" => Condition::Always,
                "if present" => Condition::IfPresent,
                _ => Condition::IfVersion(version(&probe, "key").await),
            };
            assert!(keep(&probe, "key", condition).await, "{promise}");
            probe.assert_entry("key", ("kept", old), promise).await;
        }
    }
    probe.expired(&["expired"], "old").await;
    for key in ["expired", "never written"] {
        let new = "C43: a new entry gets its own expiry";
        assert!(keep(&probe, key, Condition::Always).await, "{new}");
        probe.assert_entry(key, ("kept", OWN), new).await;
    }
}

/// C43: so does a write with tags.
pub async fn c43_a_kept_expiry_stays_under_new_tags<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let promise = "C43: a write with tags keeps the expiry";
    let old = Expiry::After(LONG);
    for (key, is_invalidated) in [("live", false), ("invalidated", true)] {
        let options = BackendWrite::new(old, Condition::Always);
        let tags = [key, "both"];
        assert!(tagger.set_with(key, "old", options, (&tags, None)).await);
        if is_invalidated {
            tagger.invalidate(&[key]).await;
        }
        let options = BackendWrite::new(OWN, Condition::Always).with_kept_expiry(true);
        let written = tagger.set_with(key, "kept", options, (&["both"], None));
        assert!(written.await, "{promise}");
        let expected = if is_invalidated { OWN } else { old };
        probe.assert_entry(key, ("kept", expected), promise).await;
        assert!(keep(&probe, key, Condition::Always).await, "{promise}");
        probe.assert_entry(key, ("kept", expected), promise).await;
    }
    Ok(())
}

/// The expiry that the tests of C43 give to a new entry.
const OWN: Expiry = Expiry::After(LONG.saturating_mul(3));

async fn keep<F: Fixture>(probe: &Probe<'_, F>, key: &str, condition: Condition) -> bool {
    let options = BackendWrite::new(OWN, condition).with_kept_expiry(true);
    probe.set_with(key, "kept", options).await
}

async fn version<F: Fixture>(probe: &Probe<'_, F>, key: &str) -> Version {
    let (_, version) = probe.versioned(key).await;
    version.expect("C38: what is there has a version")
}
