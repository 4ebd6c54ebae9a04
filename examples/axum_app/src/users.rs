//! Users and teams: read through the cache, written past it.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use buildscale_cache::MAX_TAGS;
use buildscale_cache::prelude::*;
use serde::Deserialize;

use super::AppState;
use super::caches::{team_key, user_key};
use super::database::{Team, User, UserRow};
use super::error::AppError;
use super::untold::Change;

/// The new name of a team.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Rename {
    /// The name.
    pub name: String,
}

/// `GET /users/{id}`
///
/// # Errors
/// 404, and those of the database. A cache that fails is no error here.
pub async fn get_user(
    State(state): State<AppState>,
    Path(id): Path<u32>,
) -> Result<Json<User>, AppError> {
    let user = find_user(&state, id).await?;
    user.map(Json).ok_or(AppError::NotFound)
}

/// `PUT /users/{id}`
///
/// # Errors
/// 422 if there is no such team, and those of the database. The status is 202 if a cache has yet to be
/// told.
pub async fn put_user(
    State(state): State<AppState>,
    Path(id): Path<u32>,
    Json(row): Json<UserRow>,
) -> Result<(StatusCode, Json<User>), AppError> {
    to_its_end(async move {
        let user = state.database.put_user(id, row).await?;
        let user = user.ok_or(AppError::NoSuchTeam)?;
        let team = user.team;
        let told = state.caches.tell(Change::User { id, team }).await;
        Ok((told.status(StatusCode::OK), Json(user)))
    })
    .await
}

/// `DELETE /users/{id}/cache`
pub async fn forget_user(State(state): State<AppState>, Path(id): Path<u32>) -> StatusCode {
    let told = state.caches.tell(Change::Forgotten(id)).await;
    told.status(StatusCode::NO_CONTENT)
}

/// `GET /teams/{id}`
///
/// # Errors
/// 404, and those of the database. A cache that fails is no error here.
pub async fn get_team(
    State(state): State<AppState>,
    Path(id): Path<u32>,
) -> Result<Json<Team>, AppError> {
    let database = state.database.clone();
    let load = async move |_| {
        let team = database.team(id).await?;
        Ok::<_, io::Error>(team.map_or_else(Loaded::absent, |team| {
            let users = team.members.iter().map(|user| user_key(user.id));
            let tags: Vec<_> = users.chain([team_key(id)]).collect();
            if tags.len() > MAX_TAGS {
                // Stored with some of its tags it would outlive a change of one of the others.
                return Loaded::value(team).not_stored();
            }
            Loaded::value(team).tags(tags)
        }))
    };
    let teams = &state.caches.teams;
    let team = teams
        .entry(team_key(id))
        .options(options())
        .or_load(load)
        .await?;
    team.map(Json).ok_or(AppError::NotFound)
}

/// `POST /teams/{id}/rename`
///
/// # Errors
/// 404, and those of the database. The status is 202 if a cache has yet to be told.
pub async fn rename_team(
    State(state): State<AppState>,
    Path(id): Path<u32>,
    Json(rename): Json<Rename>,
) -> Result<StatusCode, AppError> {
    to_its_end(async move {
        if !state.database.rename_team(id, rename.name).await? {
            return Err(AppError::NotFound);
        }
        let told = state.caches.tell(Change::Team(id)).await;
        Ok(told.status(StatusCode::NO_CONTENT))
    })
    .await
}

/// Returns a user: of a thousand requests that miss at the same time, one asks the database.
///
/// # Errors
/// Those of the database, and a load that takes too long.
pub(super) async fn find_user(state: &AppState, id: u32) -> Result<Option<User>, AppError> {
    let database = state.database.clone();
    let load = async move |_| {
        let user = database.user(id).await?;
        Ok::<_, io::Error>(user.map_or_else(Loaded::absent, |user| {
            let tags = [user_key(id), team_key(user.team)];
            Loaded::value(user).tags(tags)
        }))
    };
    let users = &state.caches.users;
    Ok(users
        .entry(user_key(id))
        .options(options())
        .or_load(load)
        .await?)
}

/// How users and teams are loaded. Writes end them, so their time is only a net below that.
fn options() -> LoadOptions {
    LoadOptions::new()
        .ttl(300)
        .ttl_jitter(0.1)
        // Numbers that somebody makes up do not all reach the database. Each process remembers this
        // for itself, so it is also how long others may not see what one has created.
        .absent_ttl(Duration::from_millis(500))
        .hard_timeout(Duration::from_secs(2))
}

/// Runs a write in a task of its own.
///
/// A client that goes away drops its handler where it waits. Between the write and what tells the
/// caches of it, that would leave the old value behind.
pub(super) async fn to_its_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, AppError>> + Send + 'static,
) -> Result<T, AppError> {
    match tokio::spawn(write).await {
        Ok(result) => result,
        Err(panic) => Err(AppError::Internal(panic.into())),
    }
}
