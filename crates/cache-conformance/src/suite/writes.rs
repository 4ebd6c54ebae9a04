//! Writes: C05 to C09.

use cache_core::{Condition, Expiry};

use crate::Fixture;
use crate::probe::{LONG, Probe};

/// Every pair of an old and a new expiry that a careless backend could mix up.
const CHANGES: [(Expiry, Expiry); 4] = [
    (Expiry::After(LONG), Expiry::Never),
    (Expiry::Never, Expiry::After(LONG)),
    (Expiry::After(LONG), Expiry::After(TWICE)),
    (Expiry::After(TWICE), Expiry::After(LONG)),
];
const TWICE: std::time::Duration = LONG.saturating_mul(2);

/// C05: `set` replaces value and expiry, from any expiry to any other.
pub async fn c05_set_replaces_the_value_and_the_expiry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for (old, new) in CHANGES {
        probe.set("key", "old", old).await;
        probe.set("key", "new", new).await;
        probe
            .assert_entry("key", ("new", new), "C05: set replaces value and expiry")
            .await;
    }
}

/// C05: the old deadline passes without a trace once a `set` has replaced it.
pub async fn c05_the_old_deadline_is_gone_after_a_set<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let short = probe.short();
    probe.set("forever", "old", Expiry::After(short)).await;
    probe.set("longer", "old", Expiry::After(short)).await;
    probe.set("forever", "new", Expiry::Never).await;
    probe.set("longer", "new", Expiry::After(LONG * 60)).await;
    probe.outlive(short).await;
    let gone = "C05: the old deadline is gone";
    probe.assert_value("forever", Some("new"), gone).await;
    probe.assert_value("longer", Some("new"), gone).await;
}

/// C06: `IfAbsent` writes an absent key: one never written and one deleted.
pub async fn c06_if_absent_writes_an_absent_key<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for expiry in [Expiry::Never, Expiry::After(LONG)] {
        let written = probe
            .set_if("key", "new", expiry, Condition::IfAbsent)
            .await;
        assert!(written, "C06: IfAbsent on an absent key returns true");
        probe
            .assert_entry("key", ("new", expiry), "C06: IfAbsent writes an absent key")
            .await;
        probe.delete("key").await;
    }
}

/// C06: `IfAbsent` leaves value and expiry of an existing entry as they are.
pub async fn c06_if_absent_leaves_an_existing_entry_as_it_is<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for (old, new) in CHANGES {
        probe.set("key", "old", old).await;
        let written = probe.set_if("key", "new", new, Condition::IfAbsent).await;
        assert!(!written, "C06: IfAbsent on a present key returns false");
        probe
            .assert_entry(
                "key",
                ("old", old),
                "C06: IfAbsent leaves an entry as it is",
            )
            .await;
    }
}

/// C07: `IfPresent` replaces value and expiry of an existing entry.
pub async fn c07_if_present_replaces_an_existing_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for (old, new) in CHANGES {
        probe.set("key", "old", old).await;
        let written = probe.set_if("key", "new", new, Condition::IfPresent).await;
        assert!(written, "C07: IfPresent on a present key returns true");
        probe
            .assert_entry("key", ("new", new), "C07: IfPresent replaces an entry")
            .await;
    }
}

/// C07: `IfPresent` writes nothing for a key that was never written or is deleted.
pub async fn c07_if_present_writes_nothing_for_an_absent_key<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for _ in 0..2 {
        let written = probe
            .set_if("key", "new", Expiry::Never, Condition::IfPresent)
            .await;
        assert!(!written, "C07: IfPresent on an absent key returns false");
        probe
            .assert_value("key", None, "C07: IfPresent writes nothing")
            .await;
        probe.set("key", "old", Expiry::Never).await;
        probe.delete("key").await;
    }
}

/// C08: `swap` returns the value that it replaces and stores value and expiry.
pub async fn c08_swap_returns_the_old_value_and_stores_the_new_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for (old, new) in CHANGES {
        probe.set("key", "old", old).await;
        let replaced = probe.swap("key", "new", new).await;
        assert_eq!(
            replaced.as_deref(),
            Some("old"),
            "C08: swap returns the old value"
        );
        probe
            .assert_entry("key", ("new", new), "C08: swap stores value and expiry")
            .await;
    }
}

/// C08: `swap` of an absent key returns nothing and stores.
pub async fn c08_swap_of_an_absent_key_stores_and_returns_none<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for expiry in [Expiry::Never, Expiry::After(LONG)] {
        let replaced = probe.swap("key", "new", expiry).await;
        assert_eq!(replaced, None, "C08: swap of an absent key returns None");
        probe
            .assert_entry("key", ("new", expiry), "C08: swap of an absent key stores")
            .await;
        probe.delete("key").await;
    }
}

/// C09: `delete` tells whether there was an entry, and removes that one alone.
pub async fn c09_delete_tells_whether_there_was_an_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    assert!(
        !probe.delete("key").await,
        "C09: nothing was there to delete"
    );
    probe.set("other", "stays", Expiry::Never).await;
    for expiry in [Expiry::Never, Expiry::After(LONG)] {
        probe.set("key", "value", expiry).await;
        assert!(
            probe.delete("key").await,
            "C09: an entry was there to delete"
        );
        assert!(!probe.delete("key").await, "C09: it is there no longer");
        probe
            .assert_value("key", None, "C09: delete removes the entry")
            .await;
    }
    probe
        .assert_value("other", Some("stays"), "C09: delete removes one key")
        .await;
}
