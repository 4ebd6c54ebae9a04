//! Sessions that live as long as they are used.
//!
//! The database knows them, and the cache only saves it the question: with the cache away, nobody is
//! logged out, nobody is let in who has logged out, and a server that comes back empty has lost nothing.
//!
//! The bound of that: if the caches could not be told of a logout, and come back with the session before
//! they have been, another process may let it in, for a quarter of the idle time at most.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use buildscale_cache::prelude::*;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::database::User;
use super::error::AppError;
use super::untold::Change;
use super::users::{find_user, to_its_end};

/// How long a session lives without a request, and at most a quarter more, unless `SESSION_SECONDS`
/// says otherwise.
pub const IDLE: Duration = Duration::from_secs(1800);

/// The name of the cookie.
const COOKIE: &str = "session";

/// 128 random bits, in hexadecimal digits.
const ID_DIGITS: usize = 32;

/// What is known of a visitor who has logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// The number of the user.
    pub user: u32,
}

/// Who wants to log in. A real program asks for a password or a passkey too.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Login {
    /// The number of the user.
    pub user: u32,
}

/// A visitor who has logged in; as an argument of a handler, it refuses all others.
#[derive(Debug)]
#[non_exhaustive]
pub struct Visitor {
    id: String,
    session: Session,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, AppError> {
        let id = session_id(&parts.headers).ok_or(AppError::Unauthorized)?;
        let session = find_session(state, &id).await?;
        let session = session.ok_or(AppError::Unauthorized)?;
        Ok(Self { id, session })
    }
}

/// `POST /login`
///
/// # Errors
/// 401 if there is no such user, and those of the database.
pub async fn login(
    State(state): State<AppState>,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, AppError> {
    let user = find_user(&state, login.user).await?;
    let user = user.ok_or(AppError::Unauthorized)?;
    // Whoever logs in gets a new id, never one that somebody else may know.
    let id = loop {
        let id = new_session_id()?;
        let time = lifetime(&state);
        if state.database.add_session(&id, user.id, time).await? {
            break id;
        }
    };
    // Behind TLS, `Secure` belongs here too.
    let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(user)))
}

/// `GET /me`
///
/// # Errors
/// 401 without a session, and those of the database. A cache that fails is no error here.
pub async fn me(State(state): State<AppState>, visitor: Visitor) -> Result<Json<User>, AppError> {
    let user = find_user(&state, visitor.session.user).await?;
    user.map(Json).ok_or(AppError::Unauthorized)
}

/// `POST /logout`
///
/// # Errors
/// 401 without a session, and those of the database. The status is 202 if a cache has yet to be told.
pub async fn logout(
    State(state): State<AppState>,
    visitor: Visitor,
) -> Result<impl IntoResponse, AppError> {
    let told = to_its_end(async move {
        state.database.end_session(&visitor.id).await?;
        Ok(state.caches.tell(Change::Session(visitor.id)).await)
    })
    .await?;
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    Ok((
        told.status(StatusCode::NO_CONTENT),
        AppendHeaders([(header::SET_COOKIE, cookie)]),
    ))
}

async fn find_session(state: &AppState, id: &str) -> Result<Option<Session>, AppError> {
    let load = {
        let (database, id, time) = (state.database.clone(), id.to_owned(), lifetime(state));
        async move || {
            let user = database.use_session(&id, time).await?;
            Ok::<_, io::Error>(user.map(|user| Session { user }))
        }
    };
    let sessions = &state.caches.sessions;
    // First, because the store itself answers it, on two tiers too: what another process has logged
    // out is gone at once, whatever the memory of this one holds.
    match sessions.exists(id).await {
        // So the memory must not be asked either.
        Err(_) => return Ok(load().await?),
        Ok(false) => drop(sessions.delete(id).await),
        Ok(true) => {}
    }
    let load = async move |_| {
        let session = load().await?;
        Ok::<_, io::Error>(session.map_or_else(Loaded::absent, Loaded::value))
    };
    let options = LoadOptions::new().ttl(between_questions(state));
    Ok(sessions.entry(id).options(options).or_load(load).await?)
}

/// How long the database keeps a session after it was asked. It is not asked for each request.
fn lifetime(state: &AppState) -> Duration {
    state.session_idle + between_questions(state)
}

/// How long the cache answers for the database.
fn between_questions(state: &AppState) -> Duration {
    state.session_idle / 4
}

/// Returns what may be an id that this program has made; anything else never reaches the cache.
fn session_id(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let cookies = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';'));
    let id = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    let well_formed = id.len() == ID_DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    well_formed.then(|| id.to_owned())
}

fn new_session_id() -> Result<String, AppError> {
    let mut bits = [0; ID_DIGITS / 2];
    getrandom::fill(&mut bits).map_err(|error| AppError::Internal(error.into()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}
