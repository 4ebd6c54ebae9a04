//! Entries of invalidated tags are absent for every read and every write: C32.

use cache_core::{
    BackendWrite, CacheBackend, Condition, Expiry, MAX_TAG_BYTES, ReadNow, Scope, tag_keys,
};

use super::tags::{Tagger, granted};
use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped};

/// C32: no read sees an entry once its tag was invalidated.
pub async fn c32_an_invalidated_entry_is_absent_for_every_read<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("key", "value", &["tag"]).await;
    let promise = "C33: an entry with a tag is present";
    probe.assert_value("key", Some("value"), promise).await;
    tagger.invalidate(&["tag"]).await;
    // First, and one by one: any of them may be the one that finds the entry invalidated.
    if let ReadNow::Answer(answer) = probe.backend().read_now("key") {
        let found = answer.expect("read_now failed").is_some();
        assert!(!found, "C32: read_now sees no invalidated entry");
    }
    assert_eq!(probe.get("key").await, None, "C32: get");
    assert_eq!(probe.entry("key").await, None, "C32: get_entry");
    assert_eq!(probe.get_many(&["key"]).await, [None], "C32: get_many");
    let entries = probe.get_entries(&["key"]).await;
    assert_eq!(entries, [None], "C32: get_entries");
    assert_eq!(probe.expiry("key").await, None, "C32: expiry");
    let promise = "C32: an invalidated entry is absent for every read";
    probe.assert_value("key", None, promise).await;
    Ok(())
}

/// C32: entries with other tags and without tags stay as they are.
pub async fn c32_entries_without_the_tag_are_not_concerned<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("gone", "value", &["tag"]).await;
    tagger.set("other", "value", &["other"]).await;
    probe.set("plain", "value", Expiry::After(LONG)).await;
    // The name of a tag is not the key of an entry.
    probe.set("tag", "value", Expiry::Never).await;
    tagger.invalidate(&["tag", "unused"]).await;
    let promise = "C32: entries without the tag are not concerned";
    for (key, expiry) in [
        ("other", Expiry::Never),
        ("plain", Expiry::After(LONG)),
        ("tag", Expiry::Never),
    ] {
        probe.assert_entry(key, ("value", expiry), promise).await;
    }
    let promise = "C32: an entry is absent once its tag was invalidated";
    probe.assert_value("gone", None, promise).await;
    Ok(())
}

/// C32: no two tags are taken for one, whatever their names are.
pub async fn c32_no_character_of_a_tag_is_special<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let long = "t".repeat(MAX_TAG_BYTES - 1);
    let [long, longer] = ["1", "2"].map(|last| format!("{long}{last}"));
    let tags = [
        "tag", "TAG", "tag ", "t*", "*", "@tag", ":", "{tag}", "[a-z]", "\0", "é", &long, &longer,
    ];
    for tag in tags {
        tagger.set(tag, "value", &[tag]).await;
    }
    for (number, tag) in tags.iter().enumerate() {
        tagger.invalidate(&[tag]).await;
        for (at, key) in tags.iter().enumerate() {
            let expected = (at > number).then_some("value");
            let seen = probe.get(key).await;
            assert_eq!(seen.as_deref(), expected, "C32: {tag:?} ends {key:?}");
        }
    }
    Ok(())
}

/// C32: the same name in another namespace is another tag.
pub async fn c32_tags_of_two_namespaces_are_apart<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("key", "value", &["tag"]).await;
    let key = tag_keys(&["shop"], "tag")
        .map(|[key, _]| key)
        .expect("a valid name");
    tagger.invalidate_key(&key).await;
    let promise = "C32: a tag of another namespace does not concern an entry";
    probe.assert_value("key", Some("value"), promise).await;
    Ok(())
}

/// C32: an entry with two tags is absent once either was invalidated.
pub async fn c32_an_entry_with_two_tags_ends_with_either<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    for tag in ["first", "second"] {
        tagger.set("key", "value", &["first", "second"]).await;
        tagger.invalidate(&[tag]).await;
        let promise = format!("C32: an entry with two tags ends with the {tag}");
        probe.assert_value("key", None, &promise).await;
    }
    Ok(())
}

/// C32: one call invalidates several tags, and none if it names none.
pub async fn c32_several_tags_are_invalidated_in_one_call<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    for key in ["a", "b", "c"] {
        tagger.set(key, "value", &[key]).await;
    }
    for (tags, left) in [(&[][..], ["a", "b", "c"].as_slice()), (&["a", "c"], &["b"])] {
        tagger.invalidate(tags).await;
        for key in ["a", "b", "c"] {
            let expected = left.contains(&key).then_some("value");
            let promise = format!("C32: {tags:?} are invalidated in one call");
            probe.assert_value(key, expected, &promise).await;
        }
    }
    Ok(())
}

/// C32: `IfAbsent` succeeds on an invalidated entry, with tags and without.
pub async fn c32_if_absent_succeeds_on_an_invalidated_entry<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidated(&["plain", "tagged"], "old").await;
    let expiry = Expiry::After(LONG);
    let promise = "C32: IfAbsent succeeds on an invalidated entry";
    let written = probe
        .set_if("plain", "new", expiry, Condition::IfAbsent)
        .await;
    assert!(written, "{promise}");
    let options = BackendWrite::new(expiry, Condition::IfAbsent);
    let written = tagger
        .set_with("tagged", "new", options, (&["old"], None))
        .await;
    assert!(written, "{promise}, with the tag again");
    for key in ["plain", "tagged"] {
        probe.assert_entry(key, ("new", expiry), promise).await;
    }
    Ok(())
}

/// C32: `IfPresent` finds no invalidated entry and revives none.
pub async fn c32_if_present_fails_on_an_invalidated_entry<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidated(&["key"], "old").await;
    let promise = "C32: IfPresent fails on an invalidated entry";
    let written = probe
        .set_if("key", "new", Expiry::Never, Condition::IfPresent)
        .await;
    assert!(!written, "{promise}");
    let options = BackendWrite::new(Expiry::Never, Condition::IfPresent);
    let written = tagger
        .set_with("key", "new", options, (&["old"], None))
        .await;
    assert!(!written, "{promise}, with the tag again");
    probe.assert_value("key", None, promise).await;
    Ok(())
}

/// C32: `set_expiry` finds no invalidated entry and revives none.
pub async fn c32_set_expiry_does_not_revive_an_invalidated_entry<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Tagger::of(&probe)?
        .invalidated(&["one", "two"], "old")
        .await;
    for (key, expiry) in [("one", Expiry::Never), ("two", Expiry::After(LONG))] {
        let changed = probe.set_expiry(key, expiry).await;
        assert!(!changed, "C32: set_expiry finds no invalidated entry");
        let promise = "C32: set_expiry revives nothing";
        probe.assert_value(key, None, promise).await;
    }
    Ok(())
}

/// C32: `swap` returns `None` for an invalidated entry and stores the new one.
pub async fn c32_swap_returns_none_for_an_invalidated_entry<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Tagger::of(&probe)?.invalidated(&["key"], "old").await;
    let replaced = probe.swap("key", "new", Expiry::Never).await;
    assert_eq!(replaced, None, "C32: swap returns no invalidated value");
    let promise = "C32: swap stores over an invalidated entry";
    let entry = ("new", Expiry::Never);
    probe.assert_entry("key", entry, promise).await;
    Ok(())
}

/// C32: there is nothing to delete in an invalidated entry, singly or in bulk.
pub async fn c32_delete_of_an_invalidated_entry_finds_nothing<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidated(&["one", "two"], "old").await;
    tagger.set("there", "value", &["other"]).await;
    let found = probe.delete("one").await;
    assert!(!found, "C32: delete finds no invalidated entry");
    let deleted = probe.delete_many(&["one", "two", "there"]).await;
    assert_eq!(deleted, 1, "C32: delete_many counts no invalidated entries");
    Ok(())
}

/// C32: `scan` returns no invalidated entry, `clear` counts none.
pub async fn c32_scan_and_clear_pass_over_invalidated_entries<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidated(&["one", "two"], "old").await;
    tagger.set("there", "value", &["other"]).await;
    let root = Scope::root();
    let listed = probe.scan(&root, 10).await;
    assert!(
        listed.iter().eq(["there"]),
        "C32: scan returns no invalidated entries, were {listed:?}"
    );
    let cleared = probe.clear(&root).await;
    assert_eq!(cleared, 1, "C32: clear counts no invalidated entries");
    Ok(())
}

/// C32: a claim of a key whose entry was invalidated is granted, not answered.
pub async fn c32_a_claim_of_an_invalidated_entry_is_granted<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidated(&["key"], "old").await;
    let promise = "C32: a claim of an invalidated entry is granted";
    let lease = granted(&probe, "key", promise).await?;
    probe.assert_value("key", None, promise).await;
    let filled = tagger.fill("key", lease, "new", (&["old"], None)).await;
    assert!(filled, "C32: and its lease fills");
    probe.assert_value("key", Some("new"), promise).await;
    Ok(())
}
