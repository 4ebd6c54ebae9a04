//! Tags of entries: C33 and C35.

use std::collections::BTreeSet;

use cache_core::{
    BackendEntry, BackendWrite, CacheBackend, Claim, Condition, Expiry, LoadLease, MAX_TAG_BYTES,
    MAX_TAGS, Scope, TagTicket, Tagging, Tags, tag_keys,
};

use crate::probe::{LONG, Probe, ok, scope, text};
use crate::{Fixture, Skipped, TestValue};

/// The calls, for tests that have found that there are tags; by names of tags of the root namespace.
pub(super) struct Tagger<'p, F: Fixture>(&'p dyn Tags<F::Value>);

impl<'p, F: Fixture> Tagger<'p, F> {
    pub(super) fn of(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        probe
            .backend()
            .abilities()
            .tags
            .map(Self)
            .ok_or(Skipped::TAGS)
    }

    pub(super) async fn ticket(&self) -> TagTicket {
        ok("ticket", self.0.ticket()).await
    }

    /// Writes an entry that does not expire.
    pub(super) async fn set(&self, key: &str, value: &str, tags: &[&str]) {
        self.set_since(key, value, tags, None).await;
    }

    /// Writes an entry that does not expire, perhaps with a ticket.
    pub(super) async fn set_since(
        &self,
        key: &str,
        value: &str,
        tags: &[&str],
        since: Option<&TagTicket>,
    ) {
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        let written = self.set_with(key, value, options, (tags, since)).await;
        assert!(written, "C33: a tagged set without a condition writes");
    }

    pub(super) async fn set_with(
        &self,
        key: &str,
        value: &str,
        options: BackendWrite,
        (tags, since): (&[&str], Option<&TagTicket>),
    ) -> bool {
        let (value, keys) = (F::Value::from_text(value), keys(tags));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let tagging = Tagging::new(&keys, since);
        ok("set", self.0.set(key, value, options, tagging)).await
    }

    pub(super) async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: &str,
        (tags, since): (&[&str], Option<&TagTicket>),
    ) -> bool {
        let (value, keys) = (F::Value::from_text(value), keys(tags));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let tagging = Tagging::new(&keys, since);
        let fill = self.0.fill(key, lease, value, Expiry::Never, tagging);
        ok("fill", fill).await
    }

    pub(super) async fn invalidate(&self, tags: &[&str]) {
        let keys = keys(tags);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        ok("invalidate", self.0.invalidate(&keys)).await;
    }

    /// Invalidates a tag by the key that names it.
    pub(super) async fn invalidate_key(&self, key: &str) {
        ok("invalidate", self.0.invalidate(&[key])).await;
    }

    /// Writes entries with one tag each, and invalidates it; no read comes in between.
    pub(super) async fn invalidated(&self, keys: &[&str], value: &str) {
        for key in keys {
            self.set(key, value, &["old"]).await;
        }
        self.invalidate(&["old"]).await;
    }
}

/// Returns the keys that name tags of the root namespace.
fn keys(tags: &[&str]) -> Vec<String> {
    let key = |tag: &&str| {
        tag_keys(&[], tag)
            .map(|[key, _]| key)
            .expect("the suite uses valid names")
    };
    tags.iter().map(key).collect()
}

/// Returns the lease of an absent key, of a backend that has leases.
pub(super) async fn granted<F: Fixture>(
    probe: &Probe<'_, F>,
    key: &str,
    promise: &str,
) -> Result<LoadLease, Skipped> {
    let leases = probe.backend().abilities().leases.ok_or(Skipped::LEASES)?;
    match ok("claim", leases.claim(key, LONG)).await {
        Claim::Granted(lease) => Ok(lease),
        other => panic!("{promise} (key {key:?}: {other:?})"),
    }
}

/// Asserts value and tags of an entry, read alone and among many.
async fn assert_tagged<F: Fixture>(
    probe: &Probe<'_, F>,
    key: &str,
    (value, tags): (&str, &[&str]),
    promise: &str,
) {
    let expected = Some((value.to_owned(), keys(tags).into_iter().collect()));
    let seen = |entry: BackendEntry<F::Value>| {
        let count = entry.tags.len();
        let names: BTreeSet<String> = entry.tags.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), count, "C35: each tag is told once");
        (text(entry.value), names)
    };
    let single = ok("get_entry", probe.backend().get_entry(key)).await;
    assert_eq!(single.map(seen), expected, "{promise} (get_entry {key:?})");
    let many = ok("get_entries", probe.backend().get_entries(&[key, key])).await;
    assert_eq!(many.len(), 2, "C15: get_entries answers each key");
    for entry in many {
        assert_eq!(entry.map(seen), expected, "{promise} (get_entries {key:?})");
    }
}

/// C33: whatever writes without tags ends the tags that the entry had.
pub async fn c33_a_write_without_tags_drops_the_tags<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let writes = ["set", "if present", "swap", "set_many"];
    for key in writes {
        tagger.set(key, "old", &["tag"]).await;
    }
    probe.set("set", "new", Expiry::Never).await;
    let written = probe
        .set_if("if present", "new", Expiry::Never, Condition::IfPresent)
        .await;
    assert!(written, "C33: a tagged entry is present");
    let replaced = probe.swap("swap", "new", Expiry::Never).await;
    assert_eq!(replaced.as_deref(), Some("old"), "C33: swap returns it");
    probe.set_many(&[("set_many", "new")], Expiry::Never).await;
    tagger.invalidate(&["tag"]).await;
    for key in writes {
        let promise = "C33: a write without tags drops the tags";
        assert_tagged(&probe, key, ("new", &[]), promise).await;
        probe.assert_value(key, Some("new"), promise).await;
    }
    Ok(())
}

/// C33: a write with tags has these and no others.
pub async fn c33_a_write_with_tags_replaces_the_tags<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("key", "old", &["old", "both"]).await;
    tagger.set("key", "new", &["both", "new"]).await;
    tagger.invalidate(&["old"]).await;
    let promise = "C33: a write with tags replaces the tags";
    assert_tagged(&probe, "key", ("new", &["both", "new"]), promise).await;
    tagger.invalidate(&["new"]).await;
    probe.assert_value("key", None, promise).await;
    Ok(())
}

/// C33: a write with a tag that was invalidated is present until that tag is invalidated again.
pub async fn c33_a_write_after_the_invalidation_is_present<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.invalidate(&["tag"]).await;
    for value in ["first", "second", "third"] {
        tagger.set("key", value, &["tag"]).await;
        let promise = "C33: a write after the invalidation is present";
        assert_tagged(&probe, "key", (value, &["tag"]), promise).await;
        probe.assert_value("key", Some(value), promise).await;
        tagger.invalidate(&["tag"]).await;
        let promise = "C32: a tag is invalidated as often as need be";
        probe.assert_value("key", None, promise).await;
    }
    Ok(())
}

/// C33: `set_expiry` changes neither value nor tags.
pub async fn c33_set_expiry_keeps_the_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("key", "value", &["one", "two"]).await;
    for expiry in [Expiry::After(LONG), Expiry::Never] {
        let changed = probe.set_expiry("key", expiry).await;
        assert!(changed, "C13: set_expiry of a tagged entry changes it");
        let promise = "C33: set_expiry leaves tags as they are";
        assert_tagged(&probe, "key", ("value", &["one", "two"]), promise).await;
        probe.assert_entry("key", ("value", expiry), promise).await;
    }
    tagger.invalidate(&["two"]).await;
    let promise = "C33: an entry whose expiry was changed still ends with its tags";
    probe.assert_value("key", None, promise).await;
    Ok(())
}

/// C33: a write with tags takes place if its condition holds, and else changes nothing.
pub async fn c33_a_write_with_tags_keeps_to_its_condition<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("there", "old", &["old"]).await;
    let promise = "C33: a write with tags keeps to its condition";
    for (key, condition, expected) in [
        ("there", Condition::IfAbsent, false),
        ("absent", Condition::IfPresent, false),
        ("new", Condition::IfAbsent, true),
    ] {
        let options = BackendWrite::new(Expiry::After(LONG), condition.clone());
        let written = tagger.set_with(key, "new", options, (&["new"], None)).await;
        assert_eq!(written, expected, "{promise} ({condition:?} of {key:?})");
    }
    let entry = ("old", Expiry::Never);
    probe.assert_entry("there", entry, promise).await;
    assert_tagged(&probe, "there", ("old", &["old"]), promise).await;
    probe.assert_value("absent", None, promise).await;
    assert_tagged(&probe, "new", ("new", &["new"]), promise).await;
    let options = BackendWrite::new(Expiry::After(LONG), Condition::IfPresent);
    let replacement = (&["new"][..], None);
    let written = tagger.set_with("there", "new", options, replacement).await;
    assert!(written, "{promise} (IfPresent of a present key)");
    assert_tagged(&probe, "there", ("new", &["new"]), promise).await;
    Ok(())
}

/// C33: an entry with tags has the expiry that it was given, and ends with that too.
pub async fn c33_an_entry_with_tags_has_its_expiry<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let promise = "C33: an entry with tags has its expiry";
    for ttl in [LONG, probe.short()] {
        let expiry = Expiry::After(ttl);
        let options = BackendWrite::new(expiry, Condition::Always);
        tagger
            .set_with("key", "value", options, (&["tag"], None))
            .await;
        probe.assert_entry("key", ("value", expiry), promise).await;
    }
    probe.outlive(probe.short()).await;
    probe.assert_value("key", None, promise).await;
    Ok(())
}

/// C33: a fill stores the tags with the value, and a tagged write revokes a lease as others do.
pub async fn c33_a_fill_stores_the_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let lease = granted(&probe, "key", "C29: an absent key").await?;
    let tags = (&["one", "two"][..], None);
    let filled = tagger.fill("key", lease, "value", tags).await;
    assert!(filled, "C31: a lease that is held fills, with tags too");
    let promise = "C33: a fill stores the tags";
    assert_tagged(&probe, "key", ("value", tags.0), promise).await;
    tagger.invalidate(&["one"]).await;
    probe.assert_value("key", None, promise).await;

    let lease = granted(&probe, "other", "C29: an absent key").await?;
    tagger.set("other", "new", &["new"]).await;
    let filled = tagger.fill("other", lease, "late", tags).await;
    assert!(!filled, "C31: a write with tags revokes the lease");
    let promise = "C31: a late fill changes nothing";
    assert_tagged(&probe, "other", ("new", &["new"]), promise).await;
    Ok(())
}

/// C35: `get_entry` and `get_entries` tell the tags of an entry, in any order, each once.
pub async fn c35_entries_are_read_with_their_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let long = "t".repeat(MAX_TAG_BYTES);
    let most: Vec<String> = (0..MAX_TAGS)
        .map(|number| format!("tag {number}"))
        .collect();
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    let sets: [&[&str]; 5] = [
        &["a"],
        &["b", "a", "c"],
        &["@a", "*\0é:", ":"],
        &[&long],
        &most,
    ];
    for tags in sets {
        tagger.set("key", "value", tags).await;
        let promise = "C35: entries are read with their tags";
        assert_tagged(&probe, "key", ("value", tags), promise).await;
    }
    probe.set("plain", "value", Expiry::Never).await;
    let promise = "C35: an entry without tags has none";
    assert_tagged(&probe, "plain", ("value", &[]), promise).await;
    Ok(())
}

/// Writes three entries, of which one has ended, and invalidates tags with and without entries.
async fn three_tags<F: Fixture>(tagger: &Tagger<'_, F>) {
    tagger.set("one", "value", &["a", "b"]).await;
    tagger.set("two", "value", &["b"]).await;
    tagger.set("over", "value", &["over"]).await;
    tagger.invalidate(&["over", "unused"]).await;
}

/// C35: `scan` returns no key of a tag, not even where the tags are.
pub async fn c35_a_scan_returns_no_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    three_tags(&Tagger::of(&probe)?).await;
    let listed = probe.scan(&Scope::root(), 10).await;
    assert!(
        listed.iter().eq(["one", "two"]),
        "C35: a scan of the root returns keys of entries alone, were {listed:?}"
    );
    let listed = probe.scan(&tag_scope(), 10).await;
    assert!(
        listed.is_empty(),
        "C35: a scan returns no key of a tag, were {listed:?}"
    );
    Ok(())
}

/// C35: `clear` counts no tag, and what it does to tags brings no entry back.
pub async fn c35_a_clear_counts_no_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let tagger = Tagger::of(&probe)?;
    three_tags(&tagger).await;
    let cleared = probe.clear(&tag_scope()).await;
    assert_eq!(cleared, 0, "C35: clear counts no tags where the tags are");
    let promise = "C35: a clear brings no entry back";
    probe.assert_value("over", None, promise).await;
    for key in ["one", "two"] {
        tagger.set(key, "value", &["a", "b"]).await;
    }
    let cleared = probe.clear(&Scope::root()).await;
    assert_eq!(cleared, 2, "C35: clear counts entries alone");
    probe
        .assert_value("one", None, "C21: clear removes entries with tags")
        .await;
    Ok(())
}

/// The scope of the keys that name tags of the root namespace.
fn tag_scope() -> Scope {
    let key = tag_keys(&[], "tag")
        .map(|[key, _]| key)
        .expect("a valid name");
    let namespace = key.trim_start_matches('@').split(':').next();
    scope(&[namespace.expect("a tag is named in a namespace")], "")
}
