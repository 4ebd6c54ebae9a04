//! A backend under test, in the words of the tests: texts in, texts out, errors fail.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{
    BackendEntry, BackendWrite, Cache, CacheBackend, Condition, Cursor, Expiry, ReadNow, Result,
    Scope, Ttl, Version,
};

use crate::{Fixture, Skipped, TestValue};

/// A time to live that no test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// How far a remaining time may lie behind where time really passes.
const REAL_TIME_SLACK: Duration = Duration::from_secs(10);
/// A scan of more pages than this does not end.
const MOST_PAGES: usize = 100_000;

pub(crate) struct Probe<'f, F: Fixture> {
    fixture: &'f F,
    backend: Arc<F::Backend>,
}

/// Building, and what the fixture knows.
impl<'f, F: Fixture> Probe<'f, F> {
    pub(crate) async fn fresh(fixture: &'f F) -> Self {
        Self::of(fixture, fixture.fresh().await)
    }

    pub(crate) fn of(fixture: &'f F, backend: F::Backend) -> Self {
        let backend = Arc::new(backend);
        Self { fixture, backend }
    }

    pub(crate) async fn scanning(fixture: &'f F) -> Result<Self, Skipped> {
        let probe = Self::fresh(fixture).await;
        if probe.can_scan() {
            Ok(probe)
        } else {
            Err(Skipped::SCAN)
        }
    }

    pub(crate) fn backend(&self) -> &Arc<F::Backend> {
        &self.backend
    }

    pub(crate) fn can_scan(&self) -> bool {
        self.backend.capabilities().scan
    }

    /// Returns the cache that a user would name, without a default time to live.
    pub(crate) fn cache(&self) -> Cache<F::Value> {
        self.cache_with(Ttl::NEVER)
    }

    pub(crate) fn cache_with(&self, default_ttl: impl Into<Ttl>) -> Cache<F::Value> {
        Cache::builder(Arc::clone(&self.backend))
            .default_ttl(default_ttl)
            .build()
            .expect("a good default")
    }

    /// Tells whether the clock stands still between two calls of `advance`.
    pub(crate) fn exact(&self) -> bool {
        self.fixture.granularity().is_zero()
    }

    /// Returns a time to live that is short enough to wait for.
    pub(crate) fn short(&self) -> Duration {
        if self.exact() {
            Duration::from_millis(1_234)
        } else {
            self.fixture.granularity() * 10
        }
    }

    pub(crate) async fn advance(&self, by: Duration) {
        self.fixture.advance(by).await;
    }

    /// Lets `ttl` pass, and not one tick more than it takes.
    pub(crate) async fn outlive(&self, ttl: Duration) {
        self.advance(ttl + self.fixture.granularity()).await;
    }
}

/// The calls of the contract.
impl<F: Fixture> Probe<'_, F> {
    pub(crate) async fn set(&self, key: &str, value: &str, expiry: Expiry) {
        let written = self.set_if(key, value, expiry, Condition::Always).await;
        assert!(written, "C05: a set without a condition returns true");
    }

    pub(crate) async fn set_if(
        &self,
        key: &str,
        value: &str,
        expiry: Expiry,
        condition: Condition,
    ) -> bool {
        let options = BackendWrite::new(expiry, condition);
        self.set_with(key, value, options).await
    }

    pub(crate) async fn set_with(&self, key: &str, value: &str, options: BackendWrite) -> bool {
        let value = F::Value::from_text(value);
        ok("set", self.backend.set(key, value, options)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        ok("get", self.backend.get(key)).await.map(text)
    }

    pub(crate) async fn entry(&self, key: &str) -> Option<(String, Expiry)> {
        let entry = ok("get_entry", self.backend.get_entry(key)).await;
        entry.map(|entry| (text(entry.value), entry.expiry))
    }

    pub(crate) async fn swap(&self, key: &str, value: &str, expiry: Expiry) -> Option<String> {
        let value = F::Value::from_text(value);
        ok("swap", self.backend.swap(key, value, expiry))
            .await
            .map(text)
    }

    pub(crate) async fn delete(&self, key: &str) -> bool {
        ok("delete", self.backend.delete(key, Condition::Always)).await
    }

    /// Returns the value and the version of what the truth holds.
    pub(crate) async fn versioned(&self, key: &str) -> (Option<String>, Option<Version>) {
        let found = ok("get_versioned", self.backend.get_versioned(key)).await;
        (found.entry.map(|entry| text(entry.value)), found.version)
    }

    pub(crate) async fn take(&self, key: &str) -> Option<String> {
        ok("take", self.backend.take(key)).await.map(text)
    }

    pub(crate) async fn get_ex(&self, key: &str, expiry: Expiry) -> Option<String> {
        ok("get_ex", self.backend.get_ex(key, expiry))
            .await
            .map(text)
    }

    pub(crate) async fn expiry(&self, key: &str) -> Option<Expiry> {
        ok("expiry", self.backend.expiry(key)).await
    }

    pub(crate) async fn set_expiry(&self, key: &str, expiry: Expiry) -> bool {
        ok("set_expiry", self.backend.set_expiry(key, expiry)).await
    }

    pub(crate) async fn get_many(&self, keys: &[&str]) -> Vec<Option<String>> {
        let found = ok("get_many", self.backend.get_many(keys)).await;
        found.into_iter().map(|value| value.map(text)).collect()
    }

    pub(crate) async fn get_entries(&self, keys: &[&str]) -> Vec<Option<(String, Expiry)>> {
        let found = ok("get_entries", self.backend.get_entries(keys)).await;
        let entry = |entry: BackendEntry<F::Value>| (text(entry.value), entry.expiry);
        found.into_iter().map(|found| found.map(entry)).collect()
    }

    pub(crate) async fn set_many(&self, entries: &[(&str, &str)], expiry: Expiry) {
        let entries = entries
            .iter()
            .map(|(key, value)| (*key, F::Value::from_text(value)))
            .collect();
        ok("set_many", self.backend.set_many(entries, expiry)).await;
    }

    pub(crate) async fn delete_many(&self, keys: &[&str]) -> u64 {
        ok("delete_many", self.backend.delete_many(keys)).await
    }

    pub(crate) async fn clear(&self, scope: &Scope) -> u64 {
        ok("clear", self.backend.clear(scope)).await
    }

    /// Scans to the end, in pages of about `limit` keys.
    pub(crate) async fn scan(&self, scope: &Scope, limit: usize) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let mut cursor = Some(Cursor::Start);
        for _ in 0..MOST_PAGES {
            let Some(from) = cursor else {
                return keys;
            };
            let page = ok("scan", self.backend.scan(scope, from, limit)).await;
            keys.extend(page.keys);
            cursor = page.next;
        }
        panic!("C19: a scan ends, this one did not within {MOST_PAGES} pages");
    }
}

/// What several tests assert.
impl<F: Fixture> Probe<'_, F> {
    /// Reads `key` in every way, asserts that all agree, and returns what they see.
    pub(crate) async fn observe(&self, key: &str) -> Option<(String, Expiry)> {
        let entry = self.entry(key).await;
        let value = entry.as_ref().map(|(value, _)| value.clone());
        let agree = "agrees with get_entry";
        assert_eq!(self.get(key).await, value, "C02: get of {key:?} {agree}");
        assert_eq!(
            self.get_many(&[key]).await,
            std::slice::from_ref(&value),
            "C02: get_many of {key:?} {agree}"
        );
        let entries = self.get_entries(&[key]).await;
        let in_bulk = entries.into_iter().flatten().next().map(|(text, _)| text);
        assert_eq!(in_bulk, value, "C02: get_entries of {key:?} {agree}");
        if let ReadNow::Answer(answer) = self.backend.read_now(key) {
            let answer = answer.expect("read_now failed").map(text);
            assert_eq!(answer, value, "C03: read_now of {key:?} {agree}");
        }
        self.observe_expiry(key, entry.as_ref().map(|(_, expiry)| *expiry))
            .await;
        let scope = Scope::root();
        if self.can_scan() && scope.contains(key) {
            let listed = self.scan(&scope, 1_000).await.contains(key);
            assert_eq!(listed, value.is_some(), "C02: scan {agree} about {key:?}");
        }
        entry
    }

    async fn observe_expiry(&self, key: &str, expected: Option<Expiry>) {
        let mut seen = self.expiry(key).await;
        if let (Some(Expiry::After(_)), Some(Expiry::After(_)), false) =
            (seen, expected, self.exact())
        {
            // Time has passed between the two reads.
            seen = expected;
        }
        assert_eq!(seen, expected, "C02: expiry of {key:?} agrees");
    }

    pub(crate) async fn assert_value(&self, key: &str, expected: Option<&str>, promise: &str) {
        let (value, expiry) = self.observe(key).await.unzip();
        assert_eq!(value.as_deref(), expected, "{promise} (key {key:?})");
        let nothing_left = expiry == Some(Expiry::After(Duration::ZERO));
        assert!(!nothing_left, "C12: {key:?} is there and has time left");
    }

    /// Asserts value and expiry, the latter as it was set, not as time has eaten from it.
    pub(crate) async fn assert_entry(&self, key: &str, expected: (&str, Expiry), promise: &str) {
        let seen = self.observe(key).await;
        let Some((value, expiry)) = seen else {
            panic!("{promise} (key {key:?} is absent)");
        };
        assert_eq!(value, expected.0, "{promise} (value of {key:?})");
        self.assert_left(Some(expiry), expected.1, promise);
    }

    /// Asserts that a reported expiry is the expected one, within what the clock can tell.
    pub(crate) fn assert_left(&self, seen: Option<Expiry>, expected: Expiry, promise: &str) {
        let (Some(Expiry::After(seen)), Expiry::After(expected)) = (seen, expected) else {
            assert_eq!(seen, Some(expected), "{promise} (expiry)");
            return;
        };
        // Exact means to the millisecond, see C14.
        let slack = if self.exact() {
            Duration::from_nanos(999_999)
        } else {
            REAL_TIME_SLACK
        };
        let close = seen <= expected && seen + slack >= expected;
        assert!(
            close,
            "{promise} (remaining time {seen:?}, expected {expected:?})"
        );
    }

    /// Asserts that an entry that was just given `ttl` lives so long and no longer.
    pub(crate) async fn assert_lives(&self, key: &str, value: &str, ttl: Duration, promise: &str) {
        let tick = Duration::from_millis(1);
        if self.exact() {
            self.advance(ttl - tick).await;
            let before = format!("{promise} (1 ms before the deadline)");
            self.assert_value(key, Some(value), &before).await;
            self.advance(tick).await;
        } else {
            let started = Instant::now();
            let seen = self.get(key).await;
            // A machine that stalls for longer has nothing to tell about the time before.
            if started.elapsed() < ttl / 4 {
                assert_eq!(seen.as_deref(), Some(value), "{promise} (early, {key:?})");
            }
            self.outlive(ttl).await;
        }
        let from = format!("{promise} (from the deadline on)");
        self.assert_value(key, None, &from).await;
    }

    /// Writes entries and lets them expire, to the very deadline and with no read in between.
    pub(crate) async fn expired(&self, keys: &[&str], value: &str) {
        for key in keys {
            self.set(key, value, Expiry::After(self.short())).await;
        }
        self.outlive(self.short()).await;
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that it can be given to `map`"
)]
pub(crate) fn text(value: impl TestValue) -> String {
    value.to_text()
}

/// Fails the test where a call fails.
pub(crate) async fn ok<T>(call: &str, result: impl Future<Output = Result<T>>) -> T {
    match result.await {
        Ok(answer) => answer,
        Err(error) => panic!("{call} failed on a healthy backend: {}", chain(&error)),
    }
}

/// The text of an error and of what caused it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Returns the scope of the keys that start with `prefix` in a namespace within others.
pub(crate) fn scope(namespaces: &[&str], prefix: &str) -> Scope {
    Scope::of(namespaces, prefix).expect("the suite uses valid names")
}
