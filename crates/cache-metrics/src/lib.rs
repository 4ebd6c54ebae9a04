//! The counters of a cache, for the [`metrics`] facade.
//!
//! A cache counts for itself, without a lock and without a recorder; see
//! [`Cache::stats`](cache_core::Cache::stats). [`CacheMetrics`] copies a snapshot of these counts into
//! handles that were registered once, so what a hit costs does not change.
//!
//! | name | labels besides `cache` | what it is |
//! |---|---|---|
//! | `cache_requests_total` | `tier`: `all`, `l1`, `l2`; `result`: `hit`, `miss` | keys that were read |
//! | `cache_writes_total` | `op`: `set`, `delete` | values written, entries deleted |
//! | `cache_evictions_total` | `tier`: `all`, `l1`; `cause`: `capacity`, `resized`, `expired` | entries that were removed by the cache |
//! | `cache_entries`, `cache_weight` | `tier`: `all`, `l1` | what is held in this process |
//! | `cache_refused_total`, `cache_unreadable_total`, `cache_lossy_writes_total` | | writes that can never fit, stored values that cannot be read, values written that do not come back |
//! | `cache_loads_total` | `outcome`: `ok`, `error` | loaders that have run |
//! | `cache_load_milliseconds_total` | | the time that they took |
//! | `cache_loads_coalesced_total`, `cache_stale_served_total`, `cache_loads_not_stored_total`, `cache_loads_past_outage_total` | | as in [`cache_core::LoadStats`] |
//! | `cache_loads_pending` | | keys that are being loaded |
//! | `cache_promotions_total`, `cache_dropped_fills_total`, `cache_bypassed_total`, `cache_invalidations_total`, `cache_flushes_total`, `cache_unknown_writes_total` | | as in [`TierStats`] |
//! | `cache_recovery_pending` | | deletes and messages that are being repeated |
//! | `cache_permit_held` | | 1 if the first tier may serve, 0 if not |
//! | `cache_behind_seconds` | | how long ago the first tier was last known to be right |
//! | `cache_backend_operations_total` | | operations sent to a remote store |
//! | `cache_backend_bytes_total` | `direction`: `sent`, `received` | their bytes |
//! | `cache_backend_errors_total` | `kind`: `timeout`, `unavailable`, `unauthorized`, `other` | how they failed |
//! | `cache_backend_batches_total` | | commands that did several operations together |
//! | `cache_backend_joined_total` | | operations that such commands did |
//! | `cache_backend_reconnects_total` | | connections that were opened anew |
//!
//! The values of all labels but `cache` are those in the table: no key becomes one.

use std::fmt;
use std::sync::OnceLock;

use cache_core::{CacheStats, Permit, TierStats, WireStats};
use metrics::{Counter, Gauge, Label, counter, describe_counter, describe_gauge, gauge};

/// The handles of one cache.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// use cache_core::Cache;
/// use cache_local::LocalBackend;
/// use cache_metrics::CacheMetrics;
///
/// let users: Cache<String> = Cache::new(LocalBackend::default());
/// // Once, after the recorder of the program was installed.
/// let metrics = CacheMetrics::new("users");
/// users.get("user:123").await?;
/// // Before each scrape, or every few seconds.
/// metrics.record(&users.stats());
/// # Ok(()) }
/// ```
pub struct CacheMetrics {
    cache: String,
    /// Of each row, the handle: registered when it has a value for the first time.
    counters: Vec<OnceLock<Counter>>,
    gauges: Vec<OnceLock<Gauge>>,
}

impl CacheMetrics {
    /// Makes the handles of a cache, which is told from others by its name.
    #[must_use]
    pub fn new(cache: impl Into<String>) -> Self {
        for row in COUNTERS {
            describe_counter!(row.name, row.about);
        }
        for row in GAUGES {
            describe_gauge!(row.name, row.about);
        }
        Self {
            cache: cache.into(),
            counters: COUNTERS.iter().map(|_| OnceLock::new()).collect(),
            gauges: GAUGES.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Hands a snapshot to the recorder.
    ///
    /// What the backend of the cache does not count is left out. A snapshot that is older than the last
    /// one changes no counter.
    pub fn record(&self, stats: &CacheStats) {
        for (row, handle) in COUNTERS.iter().zip(&self.counters) {
            if let Some(value) = (row.value)(stats) {
                let register = || counter!(row.name, self.labels(row.labels));
                handle.get_or_init(register).absolute(value);
            }
        }
        for (row, handle) in GAUGES.iter().zip(&self.gauges) {
            if let Some(value) = (row.value)(stats) {
                let register = || gauge!(row.name, self.labels(row.labels));
                handle.get_or_init(register).set(value);
            }
        }
    }

    fn labels(&self, fixed: &'static [(&'static str, &'static str)]) -> Vec<Label> {
        let own = Label::new("cache", self.cache.clone());
        let fixed = fixed
            .iter()
            .map(|(key, value)| Label::from_static_parts(key, value));
        fixed.chain([own]).collect()
    }
}

impl fmt::Debug for CacheMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheMetrics")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// A time series: its name, the labels that tell it from others of that name, and its value.
struct Row<T> {
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    about: &'static str,
    value: fn(&CacheStats) -> Option<T>,
}

/// Writes rows down as a table.
macro_rules! rows {
    ($($name:literal { $($key:ident = $label:literal),* } $about:literal: $value:expr;)+) => {
        &[$(Row {
            name: $name,
            labels: &[$((stringify!($key), $label)),*],
            about: $about,
            value: $value,
        }),+]
    };
}

const COUNTERS: &[Row<u64>] = rows! {
    "cache_requests_total" { tier = "all", result = "hit" } "Keys that were read.": |s| Some(s.hits);
    "cache_requests_total" { tier = "all", result = "miss" } "Keys that were read.": |s| Some(s.misses);
    "cache_requests_total" { tier = "l1", result = "hit" } "Keys that were read.": |s| s.hits_by_tier().map(|(l1, _)| l1);
    "cache_requests_total" { tier = "l2", result = "hit" } "Keys that were read.": |s| s.hits_by_tier().map(|(_, l2)| l2);
    "cache_requests_total" { tier = "l2", result = "miss" } "Keys that were read.": |s| tiers(s, |t| t.l2_misses);
    "cache_writes_total" { op = "set" } "Values written and entries deleted.": |s| Some(s.sets);
    "cache_writes_total" { op = "delete" } "Values written and entries deleted.": |s| Some(s.deletes);
    "cache_evictions_total" { tier = "all", cause = "capacity" } "Entries that the cache removed.": |s| Some(s.backend.evicted_for_capacity);
    "cache_evictions_total" { tier = "all", cause = "resized" } "Entries that the cache removed.": |s| Some(s.backend.evicted_by_resize);
    "cache_evictions_total" { tier = "all", cause = "expired" } "Entries that the cache removed.": |s| Some(s.backend.expired);
    "cache_evictions_total" { tier = "l1", cause = "capacity" } "Entries that the cache removed.": |s| tiers(s, |t| t.l1_evicted);
    "cache_refused_total" {} "Writes of values that can never fit.": |s| Some(s.backend.refused);
    "cache_unreadable_total" {} "Stored values that could not be read.": |s| Some(s.backend.unreadable);
    "cache_lossy_writes_total" {} "Writes of values that do not come back as they were.": |s| Some(s.backend.lossy_writes);
    "cache_loads_total" { outcome = "ok" } "Loaders that have run.": |s| Some(s.loads.loads.saturating_sub(s.loads.failures));
    "cache_loads_total" { outcome = "error" } "Loaders that have run.": |s| Some(s.loads.failures);
    "cache_load_milliseconds_total" {} "The time that loaders took.": |s| u64::try_from(s.loads.time.as_millis()).ok();
    "cache_loads_coalesced_total" {} "Calls that waited for the load of another.": |s| Some(s.loads.joined);
    "cache_stale_served_total" {} "Values served after their end.": |s| Some(s.loads.stale_served);
    "cache_loads_not_stored_total" {} "Loads whose value could not be stored.": |s| Some(s.loads.not_stored);
    "cache_loads_past_outage_total" {} "Loads because the cache could not be read.": |s| Some(s.loads.past_outage);
    "cache_promotions_total" {} "Values put in the first tier.": |s| tiers(s, |t| t.promotions);
    "cache_dropped_fills_total" {} "Values that changed while they were read.": |s| tiers(s, |t| t.dropped_fills);
    "cache_bypassed_total" {} "Reads past a first tier that may not serve.": |s| tiers(s, |t| t.bypassed);
    "cache_invalidations_total" {} "Changes that the bus told of.": |s| tiers(s, |t| t.messages);
    "cache_flushes_total" {} "How often the first tier was declared invalid.": |s| tiers(s, |t| t.flushes);
    "cache_unknown_writes_total" {} "Writes without an answer.": |s| tiers(s, |t| t.unknown_writes);
    "cache_backend_operations_total" {} "Operations sent to the remote store.": |s| wire(s, |w| w.operations);
    "cache_backend_batches_total" {} "Commands that did several operations together.": |s| wire(s, |w| w.batches);
    "cache_backend_joined_total" {} "Operations that such commands did.": |s| wire(s, |w| w.joined);
    "cache_backend_bytes_total" { direction = "sent" } "Bytes of keys and values.": |s| wire(s, |w| w.bytes_sent);
    "cache_backend_bytes_total" { direction = "received" } "Bytes of keys and values.": |s| wire(s, |w| w.bytes_received);
    "cache_backend_errors_total" { kind = "timeout" } "Operations that failed.": |s| wire(s, |w| w.timeouts);
    "cache_backend_errors_total" { kind = "unavailable" } "Operations that failed.": |s| wire(s, |w| w.unavailable);
    "cache_backend_errors_total" { kind = "unauthorized" } "Operations that failed.": |s| wire(s, |w| w.unauthorized);
    "cache_backend_errors_total" { kind = "other" } "Operations that failed.": |s| wire(s, |w| w.other_errors);
    "cache_backend_reconnects_total" {} "Connections that were opened anew.": |s| wire(s, |w| w.reconnects);
};

const GAUGES: &[Row<f64>] = rows! {
    "cache_entries" { tier = "all" } "Entries held in this process.": |s| s.backend.entries.map(float);
    "cache_entries" { tier = "l1" } "Entries held in this process.": |s| s.backend.tiers?.l1_entries.map(float);
    "cache_weight" { tier = "all" } "The weight of the entries held in this process.": |s| s.backend.weight.map(float);
    "cache_weight" { tier = "l1" } "The weight of the entries held in this process.": |s| s.backend.tiers?.l1_weight.map(float);
    "cache_loads_pending" {} "Keys that are being loaded.": |s| Some(float(s.loads.pending));
    "cache_recovery_pending" {} "Deletes and messages that are being repeated.": |s| tiers(s, |t| float(t.recovery_pending));
    "cache_permit_held" {} "Whether the first tier may serve.": |s| tiers(s, |t| float(u64::from(t.permit != Permit::Lapsed)));
    "cache_behind_seconds" {} "How long ago the first tier was last known to be right.": |s| Some(s.backend.tiers?.behind?.as_secs_f64());
};

fn tiers<T>(stats: &CacheStats, value: fn(&TierStats) -> T) -> Option<T> {
    stats.backend.tiers.as_ref().map(value)
}

fn wire(stats: &CacheStats, value: fn(&WireStats) -> u64) -> Option<u64> {
    stats.backend.wire.as_ref().map(value)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge needs no more than 52 bits"
)]
fn float(number: u64) -> f64 {
    number as f64
}
