//! Expiry as it is set and reported: C10 and C12 to C14.

use std::time::Duration;

use cache_core::{Condition, Expiry, MAX_TTL};

use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped};

/// C10: an entry is present before its deadline and absent from then on, for every read.
pub async fn c10_an_entry_is_absent_from_its_deadline_on<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let ttl = probe.short();
    probe.set("key", "value", Expiry::After(ttl)).await;
    probe
        .assert_lives(
            "key",
            "value",
            ttl,
            "C10: an entry lives until its deadline",
        )
        .await;
}

/// C10: the deadline holds whichever call has set it.
pub async fn c10_the_deadline_holds_whichever_call_has_set_it<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let expiry = Expiry::After(probe.short());
    let keys = ["if absent", "if present", "swap", "set_many", "set_expiry"];
    for key in &keys[1..] {
        probe.set(key, "old", Expiry::Never).await;
    }
    let conditions = [Condition::IfAbsent, Condition::IfPresent];
    for (key, condition) in keys.iter().zip(conditions) {
        probe.set_if(key, "new", expiry, condition).await;
    }
    probe.swap(keys[2], "new", expiry).await;
    probe.set_many(&[(keys[3], "new")], expiry).await;
    probe.set_expiry(keys[4], expiry).await;
    probe.set("bystander", "stays", Expiry::Never).await;
    if probe.exact() {
        let before = "C10: present before the deadline, however it was set";
        let tick = Duration::from_millis(1);
        probe.advance(probe.short() - tick).await;
        for key in keys {
            assert!(probe.observe(key).await.is_some(), "{before} ({key})");
        }
        probe.advance(tick).await;
    } else {
        probe.outlive(probe.short()).await;
    }
    let from = "C10: absent from the deadline on, however it was set";
    for key in keys {
        probe.assert_value(key, None, from).await;
    }
    let stays = Some("stays");
    probe
        .assert_value("bystander", stays, "C10: others stay")
        .await;
}

/// C12: an entry without expiry says so, however long it has been there.
pub async fn c12_an_entry_without_expiry_reports_never<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::Never).await;
    let (never, promise) = (("value", Expiry::Never), "C12: no expiry is Never");
    probe.assert_entry("key", never, promise).await;
    probe.advance(probe.short()).await;
    probe.assert_entry("key", never, promise).await;
}

/// C12: the remaining time is above zero, not above the one set, and shrinks as time passes.
pub async fn c12_the_remaining_time_shrinks_as_time_passes<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let step = probe.short();
    probe.set("key", "value", Expiry::After(LONG)).await;
    for steps in 0..3 {
        if steps > 0 {
            probe.advance(step).await;
        }
        let left = ("value", Expiry::After(LONG - step * steps));
        let promise = "C12: the time that is left";
        probe.assert_entry("key", left, promise).await;
    }
}

/// C12: even in its last millisecond an entry has time left.
pub async fn c12_an_entry_in_its_last_millisecond_has_time_left<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    if !probe.exact() {
        return Err(Skipped::EXACT_TIME);
    }
    let ttl = probe.short();
    probe.set("key", "value", Expiry::After(ttl)).await;
    probe.advance(ttl - Duration::from_micros(1)).await;
    let seen = probe.observe("key").await.map(|(_, expiry)| expiry);
    let Some(Expiry::After(left)) = seen else {
        panic!("C12: an entry is present one microsecond before its deadline, was {seen:?}");
    };
    assert!(
        !left.is_zero() && left <= Duration::from_millis(1),
        "C12: above zero and at most one millisecond is left, was {left:?}"
    );
    Ok(())
}

/// C13: `set_expiry` changes the expiry, in every direction, and not the value.
pub async fn c13_set_expiry_changes_the_expiry_and_nothing_else<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::Never).await;
    let steps = [LONG, LONG * 2, LONG].map(Expiry::After);
    for expiry in steps {
        let changed = probe.set_expiry("key", expiry).await;
        assert!(changed, "C13: set_expiry of a present key returns true");
        probe
            .assert_entry("key", ("value", expiry), "C13: set_expiry keeps the value")
            .await;
    }
}

/// C13: removing an expiry returns `true` once, and `false` where there is none to remove.
pub async fn c13_an_expiry_is_removed_once<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::After(LONG)).await;
    let removed = probe.set_expiry("key", Expiry::Never).await;
    assert!(removed, "C13: an expiry was there to remove");
    for _ in 0..2 {
        let never = ("value", Expiry::Never);
        probe
            .assert_entry("key", never, "C13: the expiry is removed")
            .await;
        let removed = probe.set_expiry("key", Expiry::Never).await;
        assert!(!removed, "C13: no expiry was there to remove");
    }
}

/// C13: `set_expiry` of an absent key returns `false` and writes nothing.
pub async fn c13_set_expiry_of_an_absent_key_does_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for expiry in [Expiry::Never, Expiry::After(LONG)] {
        let changed = probe.set_expiry("key", expiry).await;
        assert!(!changed, "C13: set_expiry of an absent key returns false");
        probe
            .assert_value("key", None, "C13: set_expiry writes no entry")
            .await;
    }
}

/// C13: after `set_expiry` the new deadline counts, earlier or later than the old one.
pub async fn c13_the_new_deadline_counts_and_not_the_old_one<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let short = probe.short();
    probe.set("sooner", "value", Expiry::After(LONG)).await;
    for key in ["later", "never"] {
        probe.set(key, "value", Expiry::After(short)).await;
    }
    probe.set_expiry("sooner", Expiry::After(short)).await;
    probe.set_expiry("later", Expiry::After(LONG * 60)).await;
    probe.set_expiry("never", Expiry::Never).await;
    probe
        .assert_lives("sooner", "value", short, "C13: an earlier deadline counts")
        .await;
    probe
        .assert_value("later", Some("value"), "C13: a later deadline counts")
        .await;
    probe
        .assert_value("never", Some("value"), "C13: a removed deadline is gone")
        .await;
}

/// C14: one millisecond is a time to live like any other.
pub async fn c14_one_millisecond_is_kept<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let ttl = Duration::from_millis(1);
    probe.set("key", "value", Expiry::After(ttl)).await;
    if probe.exact() {
        let left = ("value", Expiry::After(ttl));
        probe
            .assert_entry("key", left, "C14: 1 ms is not zero")
            .await;
    }
    probe.outlive(ttl).await;
    probe
        .assert_value("key", None, "C14: 1 ms is no more than that")
        .await;
}

/// C14: times are kept to the millisecond, around whole seconds too.
pub async fn c14_times_are_kept_to_the_millisecond<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    if !probe.exact() {
        return Err(Skipped::EXACT_TIME);
    }
    for millis in [2, 999, 1_000, 1_001, 1_500, 59_999, 86_400_001] {
        let ttl = Duration::from_millis(millis);
        probe.set("key", "value", Expiry::After(ttl)).await;
        let left = ("value", Expiry::After(ttl));
        probe
            .assert_entry("key", left, "C14: kept to the millisecond")
            .await;
        probe
            .assert_lives("key", "value", ttl, "C14: kept to the millisecond")
            .await;
    }
    Ok(())
}

/// C14: a century is kept: it neither overflows nor means "never".
pub async fn c14_a_century_is_kept<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::After(MAX_TTL)).await;
    let left = ("value", Expiry::After(MAX_TTL));
    probe
        .assert_entry("key", left, "C14: 100 years are kept")
        .await;
    if probe.exact() {
        probe
            .assert_lives("key", "value", MAX_TTL, "C14: 100 years are kept")
            .await;
    }
}
