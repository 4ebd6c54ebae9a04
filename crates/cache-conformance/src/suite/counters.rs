//! Counters: C44 to C49.
//!
//! The concurrent ones need a multi-threaded tokio runtime, because they spawn tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{
    CacheBackend, Count, Counters, Error, ErrorKind, Expiry, MAX_COUNT, MAX_TTL, counter_key,
};

use super::concurrency::{ROUNDS, TASKS, race};
use crate::linearizability::{Answer, Operation, Recorder, check};
use crate::probe::{LONG, Probe, ok, scope};
use crate::random::Random;
use crate::{Fixture, Skipped};

const HISTORIES: u64 = 40;
const CALLS: usize = 8;

/// The calls, for tests that have found that there are counters.
struct Calls<'p, F: Fixture> {
    probe: &'p Probe<'p, F>,
    counters: &'p dyn Counters,
}

impl<'p, F: Fixture> Calls<'p, F> {
    fn of(probe: &'p Probe<'_, F>) -> Result<Self, Skipped> {
        let counters = probe.backend().abilities().counters;
        let counters = counters.ok_or(Skipped::COUNTERS)?;
        Ok(Self { probe, counters })
    }

    async fn add(&self, key: &str, by: i64, window: Expiry) -> Count {
        ok("add", self.counters.add(&name(key), by, window)).await
    }

    async fn get(&self, key: &str) -> Option<Count> {
        ok("get", self.counters.get(&name(key))).await
    }

    async fn reset(&self, key: &str) -> bool {
        ok("reset", self.counters.reset(&name(key))).await
    }

    /// Asserts a count and the time that its window has left.
    fn assert_count(&self, seen: Option<Count>, expected: (i64, Expiry), promise: &str) {
        let value = seen.map(|count| count.value);
        assert_eq!(value, Some(expected.0), "{promise} (count)");
        let expiry = seen.map(|count| count.expiry);
        assert_ne!(expiry, Some(Expiry::After(Duration::ZERO)), "{promise}");
        self.probe.assert_left(expiry, expected.1, promise);
    }
}

/// The name of a counter as the facade makes it.
fn name(key: &str) -> String {
    counter_key(&[], "group", key).expect("the suite uses valid names")
}

/// C44: `add` returns the new count and the time left in its window.
pub async fn c44_add_returns_the_count_and_the_time_left<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C44: add returns the count and the time left";
    for (key, window) in [("ends", Expiry::After(LONG)), ("endless", Expiry::Never)] {
        for (by, sum) in [(1, 1), (1, 2), (40, 42), (-44, -2), (0, -2), (2, 0), (5, 5)] {
            let count = calls.add(key, by, window).await;
            calls.assert_count(Some(count), (sum, window), promise);
        }
    }
    Ok(())
}

/// C44: `get` answers as the last `add` did, and changes nothing.
pub async fn c44_get_answers_as_add_and_changes_nothing<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C44: a counter is absent before its first add";
    assert_eq!(calls.get("key").await, None, "{promise}");
    assert_eq!(calls.get("key").await, None, "{promise}");
    for (key, window) in [("ends", Expiry::After(LONG)), ("endless", Expiry::Never)] {
        calls.add(key, 3, window).await;
        for _ in 0..2 {
            let promise = "C44: get answers as add and changes nothing";
            calls.assert_count(calls.get(key).await, (3, window), promise);
        }
    }
    let zero = calls.add("zero", 0, Expiry::Never).await;
    let promise = "C44: an add of zero begins a counter too";
    calls.assert_count(Some(zero), (0, Expiry::Never), promise);
    calls.assert_count(calls.get("zero").await, (0, Expiry::Never), promise);
    Ok(())
}

/// C44: names are any text; none is taken for another one.
pub async fn c44_no_two_names_are_one_counter<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let keys = [
        "a", "A", "@a", "a*", "a?", "[a]", "{a}", "{a}b", "a b", "a\n", "a\0", "ä", "10.0.0.7",
        "::1", ":",
    ];
    for (number, key) in (1..).zip(keys) {
        calls.add(key, number, Expiry::Never).await;
    }
    for (number, key) in (1..).zip(keys) {
        let promise = format!("C44: no two names are one counter ({key:?})");
        calls.assert_count(calls.get(key).await, (number, Expiry::Never), &promise);
    }
    Ok(())
}

/// C45: no later `add` moves the window.
pub async fn c45_the_window_begins_with_the_first_add<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    calls.add("key", 1, Expiry::After(LONG)).await;
    probe.advance(probe.short()).await;
    let left = Expiry::After(LONG - probe.short());
    let promise = "C45: no later add moves the window";
    for (sum, window) in [(2, Expiry::After(LONG * 3)), (3, Expiry::Never)] {
        let count = calls.add("key", 1, window).await;
        calls.assert_count(Some(count), (sum, left), promise);
    }
    let endless = calls.add("endless", 1, Expiry::Never).await;
    assert_eq!(endless.expiry, Expiry::Never);
    let count = calls.add("endless", 1, Expiry::After(LONG)).await;
    let promise = "C45: no later add gives an end to a window";
    calls.assert_count(Some(count), (2, Expiry::Never), promise);
    Ok(())
}

/// C45: at the end of its window a counter is absent, and begins anew with the next `add`.
pub async fn c45_a_counter_ends_with_its_window<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let (short, tick) = (probe.short(), Duration::from_millis(1));
    let mut key = 0;
    // Where time really passes, a stall between the two would begin a second window.
    loop {
        key += 1;
        let started = Instant::now();
        calls.add(&key.to_string(), 1, Expiry::After(short)).await;
        let count = calls.add(&key.to_string(), 1, Expiry::After(LONG)).await;
        if probe.exact() || started.elapsed() < short / 2 {
            assert_eq!(count.value, 2, "C44: an add counts on");
            break;
        }
    }
    let key = key.to_string();
    if probe.exact() {
        probe.advance(short - tick).await;
        let promise = "C45: a counter is there until its window ends";
        let expected = (2, Expiry::After(tick));
        calls.assert_count(calls.get(&key).await, expected, promise);
        probe.advance(tick).await;
    } else {
        probe.outlive(short).await;
    }
    let promise = "C45: a counter is absent when its window has ended";
    assert_eq!(calls.get(&key).await, None, "{promise}");
    assert!(!calls.reset(&key).await, "{promise} (reset)");
    let count = calls.add(&key, 5, Expiry::After(LONG)).await;
    let promise = "C45: the next add begins a new window";
    calls.assert_count(Some(count), (5, Expiry::After(LONG)), promise);
    calls.assert_count(calls.get(&key).await, (5, Expiry::After(LONG)), promise);
    // Without a read in between.
    calls.add("unread", 7, Expiry::After(short)).await;
    probe.outlive(short).await;
    let count = calls.add("unread", 1, Expiry::Never).await;
    calls.assert_count(Some(count), (1, Expiry::Never), promise);
    Ok(())
}

/// C45: windows from one millisecond to 100 years are kept.
pub async fn c45_the_shortest_and_the_longest_window_are_kept<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let millisecond = Duration::from_millis(1);
    let count = calls.add("short", 1, Expiry::After(millisecond)).await;
    assert_eq!(count.value, 1, "C44: a new counter");
    probe.outlive(millisecond).await;
    let promise = "C45: a window of one millisecond ends";
    assert_eq!(calls.get("short").await, None, "{promise}");
    let promise = "C45: a window of a century is kept";
    let count = calls.add("long", 1, Expiry::After(MAX_TTL)).await;
    calls.assert_count(Some(count), (1, Expiry::After(MAX_TTL)), promise);
    calls.assert_count(
        calls.get("long").await,
        (1, Expiry::After(MAX_TTL)),
        promise,
    );
    Ok(())
}

/// C46: what would leave the range of counts is refused, and changes nothing.
pub async fn c46_a_count_stays_within_its_range<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let window = Expiry::After(LONG);
    for sign in [1, -1] {
        let (key, most) = (format!("{sign}"), sign * MAX_COUNT);
        let promise = "C46: the largest count is taken";
        let count = calls.add(&key, most, window).await;
        calls.assert_count(Some(count), (most, window), promise);
        for by in [sign, most, i64::MAX, i64::MIN, MAX_COUNT + 1] {
            assert_refused(calls.counters.add(&name(&key), by, Expiry::Never).await);
        }
        let promise = "C46: a refused add changes nothing";
        calls.assert_count(calls.get(&key).await, (most, window), promise);
        let count = calls.add(&key, -sign, window).await;
        calls.assert_count(Some(count), (most - sign, window), promise);
    }
    for by in [i64::MAX, i64::MIN, MAX_COUNT + 1, -MAX_COUNT - 1] {
        assert_refused(calls.counters.add(&name("absent"), by, window).await);
    }
    let promise = "C46: a refused add begins no counter";
    assert_eq!(calls.get("absent").await, None, "{promise}");
    Ok(())
}

fn assert_refused(added: Result<Count, Error>) {
    let promise = "C46: an add beyond the range is invalid input that names `by`";
    let refused = added.expect_err(promise);
    assert_eq!(refused.kind(), Count::out_of_range().kind(), "{promise}");
    let names_by = matches!(refused.kind(), ErrorKind::InvalidInput { field, .. } if field == "by");
    assert!(names_by, "{promise}");
}

/// C47: `reset` makes a counter absent, with its window, and tells whether it was there.
pub async fn c47_reset_makes_a_counter_absent<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let promise = "C47: reset tells whether the counter was there";
    assert!(!calls.reset("key").await, "{promise}");
    for window in [Expiry::After(LONG), Expiry::Never] {
        calls.add("key", 3, window).await;
        calls.add("other", 1, Expiry::Never).await;
        assert!(calls.reset("key").await, "{promise}");
        assert!(!calls.reset("key").await, "{promise}");
        let absent = "C47: reset makes the counter absent";
        assert_eq!(calls.get("key").await, None, "{absent}");
        let other = calls.get("other").await;
        assert!(other.is_some(), "C47: reset leaves other counters");
    }
    let count = calls.add("key", 1, Expiry::After(LONG)).await;
    let promise = "C47: a counter begins anew after reset";
    calls.assert_count(Some(count), (1, Expiry::After(LONG)), promise);
    Ok(())
}

/// C48: no verb of entries finds, counts or ends a counter, and the other way round.
pub async fn c48_counters_are_no_entries<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    probe.set("key", "value", Expiry::Never).await;
    for key in ["key", "other"] {
        calls.add(key, 2, Expiry::Never).await;
    }
    let nested = counter_key(&["space"], "group", "key").expect("the suite uses valid names");
    ok("add", calls.counters.add(&nested, 7, Expiry::Never)).await;
    let promise = "C48: an entry is none of the counters";
    probe.assert_value("key", Some("value"), promise).await;
    if probe.can_scan() {
        let (root, space) = (scope(&[], ""), scope(&["space"], ""));
        let keys = probe.scan(&root, 10).await;
        let promise = "C48: a scan returns no counters";
        assert_eq!(keys, BTreeSet::from(["key".to_owned()]), "{promise}");
        assert_eq!(probe.scan(&space, 10).await, BTreeSet::new(), "{promise}");
        let promise = "C48: a clear counts no counters";
        assert_eq!(probe.clear(&space).await, 0, "{promise}");
        assert_eq!(probe.clear(&root).await, 1, "{promise}");
    } else {
        assert!(probe.delete("key").await, "C09: it was there");
    }
    let promise = "C48: a counter outlives the entries";
    for key in ["key", "other"] {
        calls.assert_count(calls.get(key).await, (2, Expiry::Never), promise);
    }
    let count = ok("get", calls.counters.get(&nested)).await;
    calls.assert_count(count, (7, Expiry::Never), promise);
    assert!(calls.reset("key").await, "C47: it was there");
    Ok(())
}

/// C49: each of concurrent `add`s counts once, and each returns a count of its own.
pub async fn c49_each_of_concurrent_adds_counts_once<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    let calls = Calls::of(&probe)?;
    let counts = race(TASKS, |_| {
        let backend = Arc::clone(probe.backend());
        async move {
            let counters = backend.abilities().counters.expect("it had some");
            let mut counts = Vec::new();
            for _ in 0..ROUNDS {
                let count = retried(|| counters.add("@_counter:@group:key", 1, Expiry::Never));
                counts.push(count.await.value);
            }
            counts
        }
    });
    let all = (TASKS * ROUNDS) as i64;
    let returned: BTreeSet<i64> = counts.await.into_iter().flatten().collect();
    let promise = "C49: each of concurrent adds returns a count of its own";
    assert_eq!(returned, (1..=all).collect(), "{promise}");
    let promise = "C49: each of concurrent adds counts once";
    calls.assert_count(calls.get("key").await, (all, Expiry::Never), promise);
    Ok(())
}

/// Adds until nobody else was faster too often, which changes nothing.
async fn retried<Run>(add: impl Fn() -> Run) -> Count
where
    Run: Future<Output = Result<Count, Error>>,
{
    loop {
        match add().await {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            other => return ok("add", async { other }).await,
        }
    }
}

/// C49: what several tasks see of one counter has an order in which every answer is right.
pub async fn c49_the_history_of_a_counter_is_linearizable<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    Calls::of(&probe)?;
    for seed in 0..HISTORIES {
        let recorder = Arc::new(Recorder::default());
        race(TASKS / 2, |task| {
            let (backend, recorder) = (Arc::clone(probe.backend()), Arc::clone(&recorder));
            async move {
                let counters = backend.abilities().counters.expect("it had some");
                let mut random = Random::new(seed * TASKS as u64 + task as u64);
                for _ in 0..CALLS {
                    let call = recorder.call(operation(&mut random));
                    let name = name(&format!("key {seed}"));
                    let answer = perform(counters, &name, call.operation()).await;
                    recorder.returned(call, answer);
                }
            }
        })
        .await;
        if let Err(error) = check(None, &recorder.history()) {
            panic!("C49: history with seed {seed}: {error}");
        }
    }
    Ok(())
}

fn operation(random: &mut Random) -> Operation {
    match random.below(10) {
        0..3 => Operation::Get,
        3 => Operation::Delete,
        by => Operation::Add(by),
    }
}

async fn perform(counters: &dyn Counters, name: &str, operation: Operation) -> Answer {
    let found = |count: Option<Count>| {
        // A count that no call can have made becomes one that none has.
        Answer::Found(count.map(|count| u64::try_from(count.value).unwrap_or(u64::MAX)))
    };
    match operation {
        Operation::Get => found(ok("get", counters.get(name)).await),
        Operation::Delete => Answer::Did(ok("reset", counters.reset(name)).await),
        Operation::Add(by) => {
            let by = i64::try_from(by).expect("it is small");
            found(Some(ok("add", counters.add(name, by, Expiry::Never)).await))
        }
        other => unreachable!("{other:?} is nothing that a counter is asked"),
    }
}
