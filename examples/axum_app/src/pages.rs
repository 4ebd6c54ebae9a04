//! Two pages for everybody, which the layer keeps: one says so to all, the other to the layer alone.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::AppState;
use super::error::AppError;
use super::response_cache::CacheFor;

const ROUTES: &str = "\
GET    /users/{id}          read through the cache
PUT    /users/{id}          {\"name\": \"Alice\", \"team\": 7}
DELETE /users/{id}/cache
GET    /teams/{id}          made of its users
POST   /teams/{id}/rename   {\"name\": \"Green\"}
POST   /login               {\"user\": 1}; then GET /me and POST /logout, with the cookie
GET    /report              kept as a whole, for five seconds
GET    /live                what the caches do now
GET    /metrics             the same for Prometheus
";

/// `GET /`
pub async fn index() -> impl IntoResponse {
    (Extension(CacheFor(Duration::from_secs(60))), ROUTES)
}

/// `GET /report`
///
/// # Errors
/// Those of the database.
pub async fn report(State(state): State<AppState>) -> Result<impl IntoResponse, AppError> {
    let teams = state.database.teams().await?;
    let members = teams
        .iter()
        .map(|team| (team.name.clone(), team.members.len()));
    let members: serde_json::Map<String, Value> =
        members.map(|(name, count)| (name, json!(count))).collect();
    let headers = [(header::CACHE_CONTROL, "public, max-age=5")];
    Ok((headers, Json(json!({ "members": members }))))
}
