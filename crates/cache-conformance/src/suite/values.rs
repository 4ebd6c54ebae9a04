//! Values: C01 to C04.

use cache_core::{CacheBackend, Expiry, MAX_KEY_BYTES, ReadNow};

use crate::Fixture;
use crate::probe::{LONG, Probe, text};

/// Keys that a careless backend takes for one another or for syntax.
pub(crate) const HOSTILE_KEYS: [&str; 30] = [
    "key",
    "Key",
    "KEY",
    " key",
    "key ",
    "key\n",
    "key\0",
    "\0",
    "\u{1}\u{1b}[2J",
    "k:e:y",
    ":",
    "::",
    "k/e/y",
    "../key",
    "k.e.y",
    "*",
    "k*",
    "k?y",
    "[a-z]",
    "\\*",
    "{key}1",
    "{key}2",
    "%d%s",
    "'; DROP",
    "\"",
    "é",
    "e\u{301}",
    "🔑",
    "@",
    "@key:key",
];

/// C01: reading finds the last of several writes, and nothing where nothing was written.
pub async fn c01_get_returns_the_value_that_was_written_last<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe
        .assert_value("key", None, "C01: a key never written is absent")
        .await;
    for value in ["first", "second", "first"] {
        probe.set("key", value, Expiry::Never).await;
        probe
            .assert_value("key", Some(value), "C01: the last write is read")
            .await;
    }
    probe.set("other", "third", Expiry::Never).await;
    probe
        .assert_value("key", Some("first"), "C01: other keys do not interfere")
        .await;
}

/// C01: a deleted key is absent until it is written again.
pub async fn c01_a_deleted_key_is_absent_until_it_is_written_again<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "old", Expiry::After(LONG)).await;
    probe.delete("key").await;
    probe
        .assert_value("key", None, "C01: a deleted key is absent")
        .await;
    probe.set("key", "new", Expiry::Never).await;
    probe
        .assert_entry(
            "key",
            ("new", Expiry::Never),
            "C01: a deleted key is written anew",
        )
        .await;
}

/// C01: the empty value is a value, and a large or strange one comes back as it was.
pub async fn c01_empty_large_and_strange_values_come_back_whole<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let large = "0123456789abcdef".repeat(1 << 16);
    for value in [
        "",
        "\0",
        "null",
        "nil",
        "\r\n",
        "🔑e\u{301}",
        "\"quoted\"",
        &large,
    ] {
        probe.set("key", value, Expiry::Never).await;
        let seen = probe.observe("key").await.map(|(value, _)| value);
        // Not assert_eq: it would print a megabyte.
        assert!(
            seen.as_deref() == Some(value),
            "C01: a value of {} bytes comes back as it was written",
            value.len()
        );
    }
}

/// C02: all reads agree, whatever wrote, changed or removed the entry.
pub async fn c02_all_reads_agree_after_every_kind_of_write<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let agree = "C02: all reads agree after";
    probe
        .assert_value("key", None, &format!("{agree} nothing"))
        .await;
    probe.set("key", "a", Expiry::Never).await;
    probe
        .assert_value("key", Some("a"), &format!("{agree} set"))
        .await;
    probe.swap("key", "b", Expiry::After(LONG)).await;
    probe
        .assert_value("key", Some("b"), &format!("{agree} swap"))
        .await;
    probe.set_many(&[("key", "c")], Expiry::Never).await;
    probe
        .assert_value("key", Some("c"), &format!("{agree} set_many"))
        .await;
    probe.set_expiry("key", Expiry::After(LONG)).await;
    probe
        .assert_value("key", Some("c"), &format!("{agree} set_expiry"))
        .await;
    probe.delete_many(&["key"]).await;
    probe
        .assert_value("key", None, &format!("{agree} delete_many"))
        .await;
    probe.expired(&["key"], "d").await;
    probe
        .assert_value("key", None, &format!("{agree} expiry"))
        .await;
}

/// C03: a read that answers at once gives the answer of `get`; it may always say that it waits.
pub async fn c03_read_now_agrees_with_get_or_would_wait<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for key in ["absent", "present", "expiring"] {
        match key {
            "present" => probe.set(key, "value", Expiry::Never).await,
            "expiring" => probe.expired(&[key], "value").await,
            _ => {}
        }
        // `get` may warm a tier, so ask before and after.
        let before = probe.backend().read_now(key);
        let expected = probe.get(key).await;
        for answer in [before, probe.backend().read_now(key)] {
            if let ReadNow::Answer(found) = answer {
                let found = found.expect("read_now failed on a healthy backend");
                let found = found.map(text);
                assert_eq!(found, expected, "C03: read_now of {key:?} agrees with get");
            }
        }
    }
}

/// C03: a read that asks for some time left answers only for entries that have it, and then as `get` does.
pub async fn c03_read_now_lasting_answers_for_what_has_the_time_left<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let least = LONG / 2;
    let cases = [
        ("forever", Expiry::Never, true),
        ("long", Expiry::After(LONG), true),
        ("short", Expiry::After(LONG / 4), false),
    ];
    for (key, expiry, has_it) in cases {
        probe.set(key, "value", expiry).await;
        let before = probe.backend().read_now_lasting(key, least);
        // `get` may warm a tier, so ask before and after.
        let expected = probe.get(key).await;
        for answer in [before, probe.backend().read_now_lasting(key, least)] {
            if let ReadNow::Answer(found) = answer {
                let found = found.expect("read_now_lasting failed on a healthy backend");
                let found = found.map(text);
                assert_eq!(
                    found, expected,
                    "C03: read_now_lasting of {key:?} agrees with get"
                );
                assert!(has_it, "C03: {key:?} has less time left than was asked for");
            }
        }
    }
    if let ReadNow::Answer(found) = probe.backend().read_now_lasting("absent", least) {
        let found = found.expect("read_now_lasting failed on a healthy backend");
        assert_eq!(found.map(text), None, "C03: an absent key has no value");
    }
}

/// C04: keys that look alike or like syntax are different keys.
pub async fn c04_no_character_of_a_key_is_special<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for (number, key) in HOSTILE_KEYS.iter().enumerate() {
        let absent = "C04: a key is not there because another one is";
        assert_eq!(probe.get(key).await, None, "{absent} ({key:?})");
        probe
            .set(key, &format!("value {number}"), Expiry::Never)
            .await;
    }
    for (number, key) in HOSTILE_KEYS.iter().enumerate() {
        let value = format!("value {number}");
        probe
            .assert_value(key, Some(&value), "C04: each key has its own value")
            .await;
    }
    for (number, key) in HOSTILE_KEYS.iter().enumerate() {
        assert!(probe.delete(key).await, "C04: {key:?} is deleted alone");
        for later in &HOSTILE_KEYS[number + 1..] {
            let left = probe.get(later).await;
            assert!(left.is_some(), "C04: {later:?} stays when {key:?} goes");
        }
    }
}

/// C04: long keys that differ in their last byte are different keys.
pub async fn c04_long_keys_count_to_their_last_byte<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let (one, two) = (long_key('1'), long_key('2'));
    probe.set(&one, "one", Expiry::Never).await;
    let absent = probe.get(&two).await.is_none();
    assert!(
        absent,
        "C04: two keys of {MAX_KEY_BYTES} bytes differ in the last"
    );
    probe.set(&two, "two", Expiry::Never).await;
    let seen = [probe.get(&one).await, probe.get(&two).await];
    let expected = ["one", "two"].map(|value| Some(value.to_owned()));
    assert_eq!(seen, expected, "C04: each long key has its own value");
}

fn long_key(last: char) -> String {
    let mut key = "k".repeat(MAX_KEY_BYTES - 1);
    key.push(last);
    key
}
