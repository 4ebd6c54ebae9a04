//! Bulk calls: C15 to C18.

use cache_core::{CacheBackend, Expiry};

use crate::Fixture;
use crate::probe::{LONG, Probe, ok};

/// How many keys a large bulk call takes: more than a page or a batch of most stores.
const MANY: usize = 1_500;

/// C15: the answers come in the order of the keys, present or absent.
pub async fn c15_get_many_answers_in_the_order_of_the_keys<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe
        .set_many(&[("a", "1"), ("b", "2"), ("c", "3")], Expiry::Never)
        .await;
    let cases: [(&[&str], &[Option<&str>]); 3] = [
        (&["a", "b", "c"], &[Some("1"), Some("2"), Some("3")]),
        (&["c", "a", "b"], &[Some("3"), Some("1"), Some("2")]),
        (&["x", "b", "y", "a"], &[None, Some("2"), None, Some("1")]),
    ];
    for (keys, expected) in cases {
        let answer = probe.get_many(keys).await;
        let answer: Vec<Option<&str>> = answer.iter().map(Option::as_deref).collect();
        assert_eq!(answer, expected, "C15: get_many of {keys:?} in their order");
    }
}

/// C15: a repeated key is answered each time, present or absent.
pub async fn c15_get_many_answers_a_repeated_key_each_time<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe
        .set_many(&[("a", "1"), ("b", "2")], Expiry::Never)
        .await;
    let answer = probe.get_many(&["a", "a", "x", "b", "x", "a"]).await;
    let answer: Vec<Option<&str>> = answer.iter().map(Option::as_deref).collect();
    let (one, two) = (Some("1"), Some("2"));
    assert_eq!(
        answer,
        [one, one, None, two, None, one],
        "C15: a repeated key is answered each time"
    );
}

/// C12, C15: `get_entries` tells each value and the time that it has left, in the order of the keys.
pub async fn c15_get_entries_tells_the_time_that_each_has_left<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("a", "1", Expiry::Never).await;
    probe.set("b", "2", Expiry::After(LONG)).await;
    let answer = probe.get_entries(&["b", "x", "a", "b"]).await;
    let values: Vec<Option<&str>> = answer
        .iter()
        .map(|entry| entry.as_ref().map(|(value, _)| value.as_str()))
        .collect();
    let (one, two) = (Some("1"), Some("2"));
    assert_eq!(values, [two, None, one, two], "C15: in the order of keys");
    let left: Vec<Option<Expiry>> = answer
        .iter()
        .map(|entry| entry.as_ref().map(|(_, expiry)| *expiry))
        .collect();
    assert_eq!(
        left[2],
        Some(Expiry::Never),
        "C12, C15: no expiry is reported"
    );
    for left in [left[0], left[3]] {
        let left = left.and_then(Expiry::remaining);
        assert!(
            left.is_some_and(|left| !left.is_zero() && left <= LONG && left > LONG / 2),
            "C12, C15: get_entries reports the time that is left, not {left:?}"
        );
    }
}

/// C15, C16, C17: more keys than fit one batch of a store are all written, read and deleted.
pub async fn c15_bulk_calls_take_more_keys_than_a_batch<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let pairs: Vec<(String, String)> = (0..MANY)
        .map(|number| (format!("key {number}"), format!("value {number}")))
        .collect();
    let entries: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    // Backwards, so that neither the order of writing nor that of the store helps.
    let keys: Vec<&str> = entries.iter().rev().map(|(key, _)| *key).collect();
    probe.set_many(&entries, Expiry::Never).await;
    let answer = probe.get_many(&keys).await;
    let expected = pairs.iter().rev().map(|(_, value)| Some(value.clone()));
    assert!(
        answer.iter().cloned().eq(expected),
        "C15: {MANY} keys are answered in their order"
    );
    let deleted = probe.delete_many(&keys).await;
    assert_eq!(
        deleted, MANY as u64,
        "C17: {MANY} keys are deleted and counted"
    );
    let left = probe.get_many(&keys).await;
    assert!(
        left.iter().all(Option::is_none),
        "C17: nothing is left of {MANY} keys"
    );
}

/// C16: every pair is written, with the expiry, over whatever was there.
pub async fn c16_set_many_writes_every_pair_with_the_expiry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for expiry in [Expiry::After(LONG), Expiry::Never, Expiry::After(LONG * 2)] {
        let value = format!("{expiry:?}");
        let entries = ["a", "b", "c"].map(|key| (key, value.as_str()));
        probe.set_many(&entries, expiry).await;
        for key in ["a", "b", "c"] {
            probe
                .assert_entry(
                    key,
                    (&value, expiry),
                    "C16: set_many replaces value and expiry",
                )
                .await;
        }
        probe.delete("b").await;
    }
}

/// C16: of a repeated key the last pair stays.
pub async fn c16_the_last_pair_of_a_repeated_key_stays<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let entries = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5")];
    probe.set_many(&entries, Expiry::Never).await;
    for (key, value) in [("a", "5"), ("b", "2"), ("c", "4")] {
        probe
            .assert_value(
                key,
                Some(value),
                "C16: of a repeated key the last pair stays",
            )
            .await;
    }
}

/// C17: `delete_many` counts the entries that it removed and removes no others.
pub async fn c17_delete_many_counts_the_entries_that_it_removed<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe
        .set_many(&[("a", "1"), ("b", "2"), ("c", "3")], Expiry::Never)
        .await;
    let deleted = probe.delete_many(&["a", "x", "c", "y"]).await;
    assert_eq!(deleted, 2, "C17: two of the four keys were there");
    for (key, left) in [("a", None), ("b", Some("2")), ("c", None)] {
        probe
            .assert_value(key, left, "C17: the named keys are deleted")
            .await;
    }
    let again = probe.delete_many(&["a", "c"]).await;
    assert_eq!(again, 0, "C17: what was deleted is not counted again");
}

/// C17: a repeated key counts once.
pub async fn c17_a_repeated_key_counts_once<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe
        .set_many(&[("a", "1"), ("b", "2")], Expiry::Never)
        .await;
    let deleted = probe.delete_many(&["a", "b", "a", "x", "x", "a"]).await;
    assert_eq!(deleted, 2, "C17: a repeated key counts once");
}

/// C18: bulk calls with nothing do nothing and do not fail.
pub async fn c18_bulk_calls_with_nothing_do_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "value", Expiry::After(LONG)).await;
    let backend = probe.backend();
    let answer = ok("C18: get_many of nothing", backend.get_many(&[])).await;
    assert_eq!(answer.len(), 0, "C18: no keys, no answers");
    let answer = ok("C18: get_entries of nothing", backend.get_entries(&[])).await;
    assert_eq!(answer.len(), 0, "C18: no keys, no answers");
    ok(
        "C18: set_many of nothing",
        backend.set_many(Vec::new(), Expiry::Never),
    )
    .await;
    let deleted = ok("C18: delete_many of nothing", backend.delete_many(&[])).await;
    assert_eq!(deleted, 0, "C18: no keys, nothing deleted");
    let kept = ("value", Expiry::After(LONG));
    probe
        .assert_entry("key", kept, "C18: the entries stay")
        .await;
}
