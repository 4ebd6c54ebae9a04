//! What the caches do now: a page, its events, and numbers for Prometheus.
//!
//! It names no keys and changes nothing. A real program serves these routes where only its own people
//! come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use buildscale_cache::{CacheStats, Permit};
use futures_util::stream::{self, Stream};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::AppState;
use super::caches::Caches;
use super::database::Database;
use super::response_cache::{ResponseStats, Responses};

const SECOND: Duration = Duration::from_secs(1);

/// The newest sample as JSON, made once for all who watch.
pub type Samples = watch::Receiver<Arc<str>>;

/// What is sampled.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) caches: Caches,
    pub(super) responses: Responses,
    pub(super) database: Database,
}

#[derive(Serialize)]
struct Sample {
    database_reads: u64,
    caches: Vec<CacheSample>,
    responses: ResponseStats,
}

#[derive(Serialize)]
struct CacheSample {
    name: &'static str,
    /// Since the last sample; `null` if nothing was read.
    hit_rate: Option<f64>,
    operations_per_second: f64,
    /// In this process; `null` if the backend holds them elsewhere.
    entries: Option<u64>,
    hits: u64,
    misses: u64,
    /// The hits of both tiers, if there are two.
    memory_hits: Option<u64>,
    store_hits: Option<u64>,
    loads: u64,
    behind_ms: Option<f64>,
    permit: Option<&'static str>,
}

/// Samples every second until `stop` resolves. Then all event streams end: they would keep the server
/// from shutting down for as long as somebody watches.
pub(super) fn sample(sources: Sources, stop: impl Future<Output = ()> + Send + 'static) -> Samples {
    let mut sampler = Sampler::new(sources);
    let (sender, samples) = watch::channel(sampler.next());
    tokio::spawn(async move {
        let sampling = async {
            let mut seconds = interval(SECOND);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                seconds.tick().await;
                sender.send_replace(sampler.next());
            }
        };
        tokio::select! {
            () = sampling => {}
            () = stop => {}
        }
    });
    samples
}

/// `GET /live`
pub async fn page() -> impl IntoResponse {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; \
                          script-src 'unsafe-inline'; style-src 'unsafe-inline'";
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, Html(include_str!("live.html")))
}

/// `GET /live/stats`
pub async fn stats(State(state): State<AppState>) -> impl IntoResponse {
    let json = state.samples.borrow().to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, json)
}

/// `GET /live/events`
pub async fn events(
    State(state): State<AppState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut samples = state.samples;
    // The one that is there goes out at once.
    samples.mark_changed();
    let events = stream::unfold(samples, |mut samples| async {
        samples.changed().await.ok()?;
        let event = Event::default().data(&*samples.borrow_and_update());
        Some((Ok(event), samples))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// `GET /metrics`
pub async fn metrics(State(state): State<AppState>) -> String {
    for (metrics, (_, stats)) in state.cache_metrics.iter().zip(state.caches.stats()) {
        metrics.record(&stats);
    }
    let responses = state.responses.stats();
    for (result, count) in [
        ("hit", responses.hits),
        ("miss", responses.misses),
        ("bypass", responses.bypassed),
    ] {
        counter!("response_cache_requests_total", "result" => result).absolute(count);
    }
    counter!("response_cache_stored_total").absolute(responses.stored);
    counter!("response_cache_faults_total").absolute(responses.faults);
    counter!("database_reads_total").absolute(state.database.reads());
    let untold = if state.caches.all_told() { 0.0 } else { 1.0 };
    gauge!("changes_untold").set(untold);
    state.prometheus.render()
}

/// Tells the recorder what the counters of this program are. Those of the caches describe themselves.
pub(super) fn describe() {
    describe_counter!(
        "response_cache_requests_total",
        "Requests by how they were answered."
    );
    describe_counter!("response_cache_stored_total", "Responses that were stored.");
    describe_counter!(
        "response_cache_faults_total",
        "Reads and writes of stored responses that failed or took too long."
    );
    describe_counter!(
        "database_reads_total",
        "Queries that no cache has answered."
    );
    describe_gauge!(
        "changes_untold",
        "1 while caches are still to be told of changes."
    );
}

/// Remembers the last counts, as rates are of what came since.
struct Sampler {
    sources: Sources,
    at: Instant,
    last: Vec<CacheStats>,
}

impl Sampler {
    fn new(sources: Sources) -> Self {
        let last = sources.caches.stats().map(|(_, stats)| stats).to_vec();
        let at = Instant::now();
        Self { sources, at, last }
    }

    fn next(&mut self) -> Arc<str> {
        let now = self.sources.caches.stats();
        let elapsed = self.at.elapsed();
        let caches = now.iter().zip(&self.last);
        let sample = Sample {
            database_reads: self.sources.database.reads(),
            caches: caches
                .map(|((name, now), last)| CacheSample::new(name, now, last, elapsed))
                .collect(),
            responses: self.sources.responses.stats(),
        };
        self.at += elapsed;
        self.last = now.map(|(_, stats)| stats).to_vec();
        // Numbers and names always have a JSON form.
        serde_json::to_string(&sample).unwrap_or_default().into()
    }
}

impl CacheSample {
    fn new(name: &'static str, now: &CacheStats, last: &CacheStats, elapsed: Duration) -> Self {
        let hits = now.hits - last.hits;
        let reads = hits + now.misses - last.misses;
        let writes = now.sets + now.deletes - last.sets - last.deletes;
        let tiers = now.backend.tiers;
        let by_tier = now.hits_by_tier();
        Self {
            name,
            hit_rate: (reads > 0).then(|| float(hits) / float(reads)),
            operations_per_second: float(reads + writes) / elapsed.as_secs_f64().max(0.001),
            entries: now
                .backend
                .entries
                .or_else(|| tiers.and_then(|tiers| tiers.l1_entries)),
            hits: now.hits,
            misses: now.misses,
            memory_hits: by_tier.map(|(memory, _)| memory),
            store_hits: by_tier.map(|(_, store)| store),
            loads: now.loads.loads,
            behind_ms: tiers.and_then(|tiers| Some(tiers.behind?.as_secs_f64() * 1000.0)),
            permit: tiers.map(|tiers| match tiers.permit {
                Permit::Held => "held",
                Permit::Unneeded => "unneeded",
                _ => "lapsed",
            }),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a chart needs no more than 52 bits"
)]
fn float(number: u64) -> f64 {
    number as f64
}
