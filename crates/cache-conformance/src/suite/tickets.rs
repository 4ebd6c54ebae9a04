//! Values that were read before one of their tags was invalidated: C34.
//!
//! A backend may also take an invalidation of another tag for one of these, so no test asserts that
//! a value is present whose ticket is older than any invalidation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::{
    BackendWrite, CacheBackend, Condition, Expiry, TagTicket, Tagging, Tags, tag_keys,
};
use tokio::sync::Barrier;
use tokio::task::yield_now;

use super::concurrency::race;
use super::tags::{Tagger, granted};
use crate::probe::{Probe, ok, text};
use crate::{Fixture, Skipped, TestValue};

const KEY: &str = "key";
/// Tasks that invalidate, each a tag of its own, and as many that write with all of these tags.
const PAIRS: usize = 4;
const ROUNDS: usize = 100;

/// C34: a value is absent if one of its tags was invalidated after the ticket was taken.
pub async fn c34_a_value_from_before_an_invalidation_is_absent<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set("other", "value", &["in use"]).await;
    // Nothing is known of a tag that was never used before, and yet it counts.
    for tag in ["never used", "in use"] {
        for tags in [&[tag][..], &["a", tag], &[tag, "b"]] {
            probe.set(KEY, "older", Expiry::Never).await;
            let ticket = tagger.ticket().await;
            tagger.invalidate(&[tag]).await;
            tagger.set_since(KEY, "old", tags, Some(&ticket)).await;
            let promise = format!("C34: a value from before the invalidation of {tag:?} is absent");
            probe.assert_value(KEY, None, &promise).await;
        }
    }
    let promise = "C34: the next write is present";
    tagger.set(KEY, "new", &["never used", "in use"]).await;
    probe.assert_value(KEY, Some("new"), promise).await;
    Ok(())
}

/// C34: one ticket is good for many writes, and one invalidation ends all of them.
pub async fn c34_an_invalidation_ends_every_value_of_an_older_ticket<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let ticket = tagger.ticket().await;
    let since = Some(&ticket);
    tagger.set_since("early", "value", &["tag"], since).await;
    let promise = "C34: a value is present if nothing was invalidated since its ticket";
    probe.assert_value("early", Some("value"), promise).await;
    tagger.invalidate(&["tag"]).await;
    tagger.set_since("late", "value", &["tag"], since).await;
    for key in ["early", "late"] {
        let promise = "C34: an invalidation ends every value of an older ticket";
        probe.assert_value(key, None, promise).await;
    }
    Ok(())
}

/// C34: an invalidation that came before the ticket does not matter.
pub async fn c34_a_value_from_after_an_invalidation_is_present<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    tagger.set(KEY, "old", &["tag"]).await;
    for value in ["first", "second"] {
        tagger.invalidate(&["tag"]).await;
        let ticket = tagger.ticket().await;
        let tags = ["never used", "tag"];
        tagger.set_since(KEY, value, &tags, Some(&ticket)).await;
        let promise = "C34: a value from after an invalidation is present";
        probe.assert_value(KEY, Some(value), promise).await;
    }
    tagger.invalidate(&["never used"]).await;
    let promise = "C32: a value that was written with a ticket ends with its tags";
    probe.assert_value(KEY, None, promise).await;
    Ok(())
}

/// C34: a fill with a ticket is as a write with one.
pub async fn c34_a_fill_with_a_value_from_before_an_invalidation_is_absent<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let promise = "C29: an absent key";
    let lease = granted(&probe, KEY, promise).await?;
    let ticket = tagger.ticket().await;
    tagger.invalidate(&["tag"]).await;
    let tags = (&["tag"][..], Some(&ticket));
    let filled = tagger.fill(KEY, lease, "old", tags).await;
    assert!(filled, "C34: the fill takes place");
    let promise = "C34: a fill with a value from before an invalidation is absent";
    probe.assert_value(KEY, None, promise).await;

    let promise = "C34: what the fill left is claimed as an absent key is";
    let lease = granted(&probe, KEY, promise).await?;
    let ticket = tagger.ticket().await;
    let tags = (&["tag"][..], Some(&ticket));
    let filled = tagger.fill(KEY, lease, "new", tags).await;
    assert!(filled, "C34: the fill takes place");
    let promise = "C34: a fill with a value from after an invalidation is present";
    probe.assert_value(KEY, Some("new"), promise).await;
    Ok(())
}

/// C34: a value that comes too late and may not be written leaves the entry as it is.
pub async fn c34_a_late_value_changes_nothing_where_its_condition_fails<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let tagger = Tagger::of(&probe)?;
    let ticket = tagger.ticket().await;
    tagger.invalidate(&["tag"]).await;
    tagger.set(KEY, "new", &["tag"]).await;
    let options = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
    let late = (&["tag"][..], Some(&ticket));
    let written = tagger.set_with(KEY, "old", options, late).await;
    assert!(!written, "C34: a late value keeps to its condition");
    let promise = "C34: a late value that was not written changes nothing";
    probe.assert_value(KEY, Some("new"), promise).await;
    Ok(())
}

/// What the tasks share: where the values come from, and what they know of it.
struct Source<B> {
    backend: Arc<B>,
    tags: Vec<String>,
    /// The row that all values are read from: it only grows.
    row: AtomicU64,
    /// The row at the start of the newest invalidation that has returned.
    floor: AtomicU64,
}

impl<B> Source<B> {
    fn new(backend: &Arc<B>) -> Arc<Self> {
        let tag = |number| {
            tag_keys(&[], &format!("tag {number}"))
                .map(|[key, _]| key)
                .expect("a valid name")
        };
        Arc::new(Self {
            backend: Arc::clone(backend),
            tags: (0..PAIRS).map(tag).collect(),
            row: AtomicU64::new(0),
            floor: AtomicU64::new(0),
        })
    }

    fn tags<V: TestValue>(&self) -> &dyn Tags<V>
    where
        B: CacheBackend<V>,
    {
        self.backend.abilities().tags.expect("it had some")
    }

    /// Reads, and asserts that no value is older than an invalidation that has returned before.
    async fn check<V: TestValue>(&self)
    where
        B: CacheBackend<V>,
    {
        let floor = self.floor.load(Ordering::SeqCst);
        if let Some(value) = ok("get", self.backend.get(KEY)).await {
            let seen: u64 = text(value).parse().expect("the tests write numbers");
            let promise = "C34: no read gives a value older than an invalidation";
            assert!(
                seen >= floor,
                "{promise}: {seen}, expected {floor} at least"
            );
        }
    }

    /// Changes the row, and invalidates a tag of all that was read from it.
    async fn change<V: TestValue>(&self, tag: &str)
    where
        B: CacheBackend<V>,
    {
        let row = self.row.fetch_add(1, Ordering::SeqCst) + 1;
        ok("invalidate", self.tags().invalidate(&[tag])).await;
        self.floor.fetch_max(row, Ordering::SeqCst);
    }

    /// Reads the row and writes its value, with the ticket from before.
    async fn load<V: TestValue>(&self)
    where
        B: CacheBackend<V>,
    {
        let ticket: TagTicket = ok("ticket", self.tags().ticket()).await;
        let row = self.row.load(Ordering::SeqCst);
        // A query takes its time.
        yield_now().await;
        let keys: Vec<&str> = self.tags.iter().map(String::as_str).collect();
        let tagging = Tagging::new(&keys, Some(&ticket));
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        let value = V::from_text(&row.to_string());
        ok("set", self.tags().set(KEY, value, options, tagging)).await;
    }
}

/// C34: while values are loaded and tags are invalidated, no read gives a value that is older than
/// an invalidation that has returned.
pub async fn c34_no_read_gives_a_value_older_than_an_invalidation<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Tagger::of(&probe)?;
    let source = Source::new(probe.backend());
    let line = Arc::new(Barrier::new(2 * PAIRS));
    race(2 * PAIRS, |task| {
        let (source, line) = (Arc::clone(&source), Arc::clone(&line));
        async move {
            for round in 0..ROUNDS {
                // Else a backend that never waits lets one task after the other do all its rounds.
                line.wait().await;
                // So that each step of a load meets an invalidation in some round.
                for _ in 0..(round * task) % 5 {
                    yield_now().await;
                }
                match source.tags.get(task) {
                    Some(tag) => source.change(tag).await,
                    None => source.load().await,
                }
                source.check().await;
            }
        }
    })
    .await;
    source.load().await;
    let newest = source.row.load(Ordering::SeqCst).to_string();
    let promise = "C34: a value that was loaded after the last invalidation is present";
    probe.assert_value(KEY, Some(&newest), promise).await;
    Ok(())
}
