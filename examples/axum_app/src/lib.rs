//! A web service with caches: what the program `axum_app` serves.
//!
//! - [`users`]: values read through a cache by one load, ended by key and by tag.
//! - [`sessions`]: what must never be old, with an expiry that slides.
//! - [`untold`]: changes while the cache is away.
//! - [`response_cache`]: whole responses, for those who have not logged in.
//! - [`live`]: a page that shows what the caches do, and metrics.

pub mod caches;
pub mod database;
pub mod error;
pub mod live;
pub mod pages;
pub mod response_cache;
pub mod sessions;
pub mod untold;
pub mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use buildscale_cache::CacheMetrics;
use metrics_exporter_prometheus::PrometheusHandle;

use self::caches::Caches;
use self::database::Database;
use self::live::{Samples, Sources};
use self::response_cache::Responses;

/// What every handler can have; its clones share all of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct AppState {
    /// The caches.
    pub caches: Caches,
    /// The database behind them.
    pub database: Database,
    /// How long a session lives without a request.
    pub session_idle: Duration,
    responses: Responses,
    samples: Samples,
    cache_metrics: Arc<[CacheMetrics]>,
    prometheus: PrometheusHandle,
}

impl AppState {
    /// Puts the parts together and starts to sample them, until `stop` resolves.
    ///
    /// The recorder of `prometheus` has to be the one of the program.
    pub fn new(
        caches: Caches,
        database: Database,
        session_idle: Duration,
        prometheus: PrometheusHandle,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let responses = Responses::new(caches.responses.clone());
        let sources = Sources {
            caches: caches.clone(),
            responses: responses.clone(),
            database: database.clone(),
        };
        live::describe();
        Self {
            cache_metrics: caches
                .stats()
                .map(|(name, _)| CacheMetrics::new(name))
                .into(),
            samples: live::sample(sources, stop),
            caches,
            database,
            responses,
            session_idle,
            prometheus,
        }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("caches", &self.caches)
            .field("session_idle", &self.session_idle)
            .finish_non_exhaustive()
    }
}

/// Returns the service.
pub fn router(state: AppState) -> Router {
    let responses = state.responses.clone();
    let pages = Router::new()
        .route("/", get(pages::index))
        .route("/report", get(pages::report))
        .route("/live", get(live::page))
        .route("/live/stats", get(live::stats))
        .route("/live/events", get(live::events))
        // It may be over all routes, as it passes on what does not say that it may be kept. But it
        // looks for a response first, in vain for those that have a cache of their own.
        .layer(middleware::from_fn_with_state(
            responses,
            response_cache::serve,
        ));
    Router::new()
        .route("/users/{id}", get(users::get_user).put(users::put_user))
        .route("/users/{id}/cache", delete(users::forget_user))
        .route("/teams/{id}", get(users::get_team))
        .route("/teams/{id}/rename", post(users::rename_team))
        .route("/login", post(sessions::login))
        .route("/me", get(sessions::me))
        .route("/logout", post(sessions::logout))
        .route("/metrics", get(live::metrics))
        .merge(pages)
        .with_state(state)
}
