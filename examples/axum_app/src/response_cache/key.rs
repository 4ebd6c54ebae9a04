//! Where a response is stored.

use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, header};

/// What a response depends on besides the headers that it names: the URL as it was sent, and the host.
///
/// Parts are told apart by line feeds, which neither a URL nor a header can hold, so that no visitor can
/// write one key in the form of another.
pub(super) struct Key(String);

impl Key {
    /// Returns `None` for a request that names no host, or more than one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        // The part of the path that nested routers have taken off is part of the key.
        let original = request.extensions().get::<OriginalUri>();
        let url = original.map_or(request.uri(), |original| &original.0);
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok()?.to_ascii_lowercase(),
            // HTTP/2 has it in the URL.
            (None, None) if url.host().is_some() => String::new(),
            _ => return None,
        };
        Some(Self(format!("{host}\n{url}")))
    }

    /// Returns the key of the URL, whatever the headers.
    pub(super) fn url(&self) -> &str {
        &self.0
    }

    /// Returns the key of the URL for a request with these values of some headers; `None` if one of them
    /// is no text.
    pub(super) fn variant(&self, names: &[String], asked: &HeaderMap) -> Option<String> {
        let mut key = self.0.clone();
        for name in names {
            key.push('\n');
            key.push_str(name);
            // A header that is not there, one that is empty, and one of two lines are three things.
            for value in asked.get_all(name) {
                key.push_str("\n=");
                key.push_str(value.to_str().ok()?);
            }
        }
        Some(key)
    }
}
