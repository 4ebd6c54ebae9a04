//! What the clients saw.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::clients::{Answer, Phase};

/// How long the requests of a phase took.
pub(crate) struct Times {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

/// Reads of the caches that people share: a session is read by one client, and rarely.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    hits: u64,
    misses: u64,
}

/// A run on one backend.
pub(crate) struct Report {
    pub(crate) backend: &'static str,
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// Why requests had no answer.
    pub(crate) failures: Vec<String>,
    pub(crate) up: Times,
    pub(crate) down: Times,
    pub(crate) hit_rates: HitRates,
}

/// Shares of reads that hit.
pub(crate) struct HitRates {
    /// Before the first outage.
    pub(crate) before: f64,
    /// After the last one.
    pub(crate) after: f64,
    /// How long it took until then.
    pub(crate) recovery: Duration,
}

impl Report {
    pub(crate) fn new(backend: &'static str, answers: Vec<Answer>, hit_rates: HitRates) -> Self {
        let (up, down) = (times(&answers, Phase::Up), times(&answers, Phase::Down));
        let (mut statuses, mut failures) = (BTreeMap::new(), Vec::new());
        for answer in answers {
            match answer.status {
                Ok(status) => *statuses.entry(status).or_default() += 1,
                Err(failure) => failures.push(failure),
            }
        }
        Self {
            backend,
            statuses,
            failures,
            up,
            down,
            hit_rates,
        }
    }

    /// Writes a table where the test runner does not hold it back.
    pub(crate) fn print(&self) {
        let mut table = format!("\n{}, caches away three times\n", self.backend);
        for (name, times) in [("there", &self.up), ("away", &self.down)] {
            let Times {
                count,
                p50,
                p99,
                max,
            } = times;
            table += &format!(
                "  {name:<6} {count:>6} requests, p50 {p50:>8.1?}, p99 {p99:>8.1?}, max {max:>8.1?}\n"
            );
        }
        for (status, count) in &self.statuses {
            table += &format!("  {status:<6} {count:>6} answers\n");
        }
        let HitRates {
            before,
            after,
            recovery,
        } = self.hit_rates;
        table += &format!(
            "  failed {:>6}; of reads hit {before:.2} before, {after:.2} within {recovery:.1?} after\n",
            self.failures.len()
        );
        io::stderr().write_all(table.as_bytes()).ok();
    }
}

impl Counts {
    /// Asks the program.
    pub(crate) async fn of(base: &str) -> Self {
        let uri: Uri = format!("{base}/metrics").parse().expect("it is a URL");
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = client.get(uri).await.expect("it answers");
        let body = answer.into_body().collect().await.expect("it ends well");
        let body = body.to_bytes();
        let metrics = str::from_utf8(&body).expect("it is text");
        let sum = |result: &str| {
            let start = format!("cache_requests_total{{tier=\"all\",result=\"{result}\"");
            let lines = metrics.lines().filter(|line| line.starts_with(&start));
            let shared = lines.filter(|line| !line.contains("\"sessions\""));
            let counts = shared.filter_map(|line| line.rsplit(' ').next());
            counts
                .map(|count| count.parse::<u64>().expect("it is a count"))
                .sum()
        };
        Self {
            hits: sum("hit"),
            misses: sum("miss"),
        }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
        }
    }

    /// Returns the share of reads that hit.
    #[expect(clippy::cast_precision_loss, reason = "these are thousands")]
    pub(crate) fn rate(self) -> f64 {
        self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }
}

fn times(answers: &[Answer], phase: Phase) -> Times {
    let answers = answers.iter().filter(|answer| answer.phase == phase);
    let mut times: Vec<_> = answers.map(|answer| answer.took).collect();
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default()
    };
    Times {
        count: times.len(),
        p50: at(50),
        p99: at(99),
        max: at(100),
    }
}
