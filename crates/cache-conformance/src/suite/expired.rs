//! Expired entries are absent for every write: C11.

use std::collections::BTreeSet;

use cache_core::{Condition, Expiry, Scope};

use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped};

/// C11: `IfAbsent` succeeds on an expired entry.
pub async fn c11_if_absent_succeeds_on_an_expired_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["one", "two"], "old").await;
    for (key, expiry) in [("one", Expiry::Never), ("two", Expiry::After(LONG))] {
        let written = probe.set_if(key, "new", expiry, Condition::IfAbsent).await;
        assert!(written, "C11: IfAbsent succeeds on an expired entry");
        probe
            .assert_entry(
                key,
                ("new", expiry),
                "C11: IfAbsent replaces an expired entry",
            )
            .await;
    }
}

/// C11: `IfPresent` returns `false` for an expired entry and writes nothing.
pub async fn c11_if_present_fails_on_an_expired_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["key"], "old").await;
    let written = probe
        .set_if("key", "new", Expiry::Never, Condition::IfPresent)
        .await;
    assert!(
        !written,
        "C11: IfPresent returns false for an expired entry"
    );
    probe
        .assert_value("key", None, "C11: IfPresent revives nothing")
        .await;
}

/// C11: `swap` returns `None` for an expired entry and stores the new one.
pub async fn c11_swap_returns_none_for_an_expired_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["key"], "old").await;
    let replaced = probe.swap("key", "new", Expiry::Never).await;
    assert_eq!(
        replaced, None,
        "C11: swap returns None for an expired entry"
    );
    probe
        .assert_entry(
            "key",
            ("new", Expiry::Never),
            "C11: swap stores over an expired entry",
        )
        .await;
}

/// C11: there is nothing to delete in an expired entry, singly or in bulk.
pub async fn c11_delete_of_an_expired_entry_finds_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["one", "two"], "old").await;
    assert!(
        !probe.delete("one").await,
        "C11: delete returns false for an expired entry"
    );
    let deleted = probe.delete_many(&["one", "two"]).await;
    assert_eq!(
        deleted, 0,
        "C11: delete_many does not count expired entries"
    );
}

/// C11: `set_expiry` returns `false` for an expired entry and does not revive it.
pub async fn c11_set_expiry_does_not_revive_an_expired_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["one", "two"], "old").await;
    for (key, expiry) in [("one", Expiry::Never), ("two", Expiry::After(LONG))] {
        let changed = probe.set_expiry(key, expiry).await;
        assert!(
            !changed,
            "C11: set_expiry returns false for an expired entry"
        );
        probe
            .assert_value(key, None, "C11: set_expiry revives nothing")
            .await;
    }
}

/// C11: nothing of an expired entry is left in the entry that a `set` writes over it.
pub async fn c11_set_over_an_expired_entry_starts_anew<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.expired(&["one", "two", "three", "four"], "old").await;
    let anew = "C11: a write over an expired entry starts anew";
    let expiries = [Expiry::Never, Expiry::After(LONG)];
    for (keys, expiry) in [["one", "two"], ["three", "four"]]
        .into_iter()
        .zip(expiries)
    {
        probe.set(keys[0], "new", expiry).await;
        probe.set_many(&[(keys[1], "new")], expiry).await;
        for key in keys {
            probe.assert_entry(key, ("new", expiry), anew).await;
        }
    }
}

/// C11: `scan` lists and `clear` counts no expired entry.
pub async fn c11_scan_and_clear_pass_over_expired_entries<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let root = Scope::root();
    probe.set("live", "value", Expiry::Never).await;
    probe.expired(&["one", "two"], "old").await;
    let listed = probe.scan(&root, 100).await;
    assert_eq!(
        listed,
        BTreeSet::from(["live".to_owned()]),
        "C11: scan lists no expired entry"
    );
    let cleared = probe.clear(&root).await;
    assert_eq!(cleared, 1, "C11: clear counts no expired entry");
    Ok(())
}
