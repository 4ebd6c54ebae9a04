//! What a request fails with, and the status that says so.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use buildscale_cache::{Error, ErrorKind, LoadError};
use serde_json::json;

/// Why a request is not answered as it asks.
///
/// Its text goes to the client, so it says nothing of what is inside: the log has that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// There is nothing of that name.
    #[error("not found")]
    NotFound,
    /// The request names a team that does not exist.
    #[error("no such team")]
    NoSuchTeam,
    /// There is no session, or it has ended.
    #[error("log in first")]
    Unauthorized,
    /// The database failed; all who waited for one load share this.
    #[error("the database failed")]
    Database(#[source] Arc<io::Error>),
    /// A load took too long. That a cache is away is no error anywhere.
    #[error("try again later")]
    Cache(#[from] Error),
    /// The system gives no random numbers, or a task has panicked.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AppError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NoSuchTeam => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Database(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Cache(error) if matches!(error.kind(), ErrorKind::LoadTimeout { .. }) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Cache(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<io::Error> for AppError {
    fn from(error: io::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<LoadError<io::Error>> for AppError {
    fn from(error: LoadError<io::Error>) -> Self {
        match error {
            LoadError::Loader(error) => Self::Database(error),
            LoadError::Cache(error) => Self::Cache(error),
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            eprintln!("{status}: {self:?}");
        }
        let body = Json(json!({ "error": self.to_string() }));
        let mut response = (status, body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let second = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}
