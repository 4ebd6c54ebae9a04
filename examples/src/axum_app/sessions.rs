//! Sessions that live as long as they are used.
//!
//! Here the cache is the only one who knows, so it fails closed: where a page can do without its cache,
//! "the cache is away" must never become "nobody is logged in", or worse, "somebody is".

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use buildscale_cache::SetOptions;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::database::User;
use super::error::AppError;
use super::users::find_user;

/// How long a session lives without a request, unless `SESSION_SECONDS` says otherwise.
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
        let sessions = &state.caches.sessions;
        // First, because the store itself answers it, on two tiers too: what another process has
        // logged out is gone at once, whatever the memory of this one holds.
        if !sessions.expire(&id, state.session_idle).await? {
            return Err(AppError::Unauthorized);
        }
        let session = sessions.get(&id).await?.ok_or(AppError::Unauthorized)?;
        Ok(Self { id, session })
    }
}

/// `POST /login`
///
/// # Errors
/// 401 if there is no such user; 503 if the session cannot be stored.
pub async fn login(
    State(state): State<AppState>,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, AppError> {
    let user = find_user(&state, login.user).await?;
    let user = user.ok_or(AppError::Unauthorized)?;
    let options = SetOptions::new().ttl(state.session_idle).if_absent();
    // `set_nx` with a time to live of its own. Whoever logs in gets a new id, never one that
    // somebody else may know.
    let id = loop {
        let id = new_session_id()?;
        let session = Session { user: user.id };
        if state
            .caches
            .sessions
            .set_with(&id, session, options)
            .await?
        {
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
/// 401 without a session; 503 if it cannot be looked up.
pub async fn me(State(state): State<AppState>, visitor: Visitor) -> Result<Json<User>, AppError> {
    let user = find_user(&state, visitor.session.user).await?;
    user.map(Json).ok_or(AppError::Unauthorized)
}

/// `POST /logout`
///
/// # Errors
/// 401 without a session; 503 if it may not have ended.
pub async fn logout(
    State(state): State<AppState>,
    visitor: Visitor,
) -> Result<impl IntoResponse, AppError> {
    state.caches.sessions.delete(&visitor.id).await?;
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    Ok((
        StatusCode::NO_CONTENT,
        AppendHeaders([(header::SET_COOKIE, cookie)]),
    ))
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
