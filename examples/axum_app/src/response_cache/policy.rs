//! Which requests may be answered by the cache, and which responses may be kept, for how long.
//!
//! It refuses in doubt. What it cannot read, it does not store.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header, response};

use super::CacheFor;

/// Nothing is kept for longer: nobody can end a stored response before its time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How a response is to be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keeping {
    /// For how long from now.
    pub lifetime: Duration,
    /// How old it is already.
    pub age: Duration,
    /// The headers of the request that it depends on: small letters, sorted, each once.
    pub vary: Vec<String>,
}

/// Returns whether a request asks for what may be the same for everybody.
#[must_use]
pub fn may_be_answered(request: &Request) -> bool {
    const PERSONAL: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];
    let headers = request.headers();
    request.method() == Method::GET
        && PERSONAL.iter().all(|name| !headers.contains_key(name))
        && !headers.contains_key(header::RANGE)
        // A handler may read the body even of a GET, and no key holds it.
        && request.body().is_end_stream()
}

/// Returns how a response may be kept, or `None` if it may not.
#[must_use]
pub fn keeping(parts: &response::Parts) -> Option<Keeping> {
    // The last four are about one connection, or come after the body.
    const REFUSED: [HeaderName; 5] = [
        header::SET_COOKIE,
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        header::TRAILER,
    ];
    let headers = &parts.headers;
    if parts.status != StatusCode::OK
        || REFUSED.iter().any(|name| headers.contains_key(name))
        || is_event_stream(headers)
    {
        return None;
    }
    let vary = vary(headers)?;
    let stated = freshness(headers)?;
    let marked = parts.extensions.get::<CacheFor>().map(|marker| marker.0);
    let age = age(headers)?;
    let lifetime = marked.or(stated)?.checked_sub(age)?.min(LONGEST);
    (!lifetime.is_zero()).then_some(Keeping {
        lifetime,
        age,
        vary,
    })
}

/// Returns for how long `Cache-Control` says a response is fresh, if it says so; `None` if it forbids to
/// store it, or cannot be read.
fn freshness(headers: &HeaderMap) -> Option<Option<Duration>> {
    let (mut shared, mut any) = (None, None);
    for line in headers.get_all(header::CACHE_CONTROL) {
        for directive in directives(line.to_str().ok()?)? {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                // Also with a list of headers, as `private="x-user"`: all of it is not stored.
                "private" | "no-store" | "no-cache" => return None,
                "s-maxage" => &mut shared,
                "max-age" => &mut any,
                _ => continue,
            };
            let time = Duration::from_secs(value.trim().trim_matches('"').parse().ok()?);
            // If it is said twice, the shorter one is right for both.
            *slot = Some(slot.map_or(time, |other: Duration| other.min(time)));
        }
    }
    Some(shared.or(any))
}

/// Returns the names in all `Vary` lines, or `None` if one of them is `*` or no name.
fn vary(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for line in headers.get_all(header::VARY) {
        let line = line.to_str().ok()?;
        let parts = line
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        for name in parts {
            // A star is a letter that names can have.
            if name == "*" {
                return None;
            }
            names.push(name.parse::<HeaderName>().ok()?.as_str().to_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Returns how old a response is that comes from a cache further on.
fn age(headers: &HeaderMap) -> Option<Duration> {
    match headers.get(header::AGE) {
        None => Some(Duration::ZERO),
        Some(age) => Some(Duration::from_secs(age.to_str().ok()?.parse().ok()?)),
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], |kind| kind.as_bytes());
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Splits at commas, but not at those within quotes, where a backslash takes its meaning from the next
/// letter. Returns `None` for quotes that do not end.
fn directives(line: &str) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let splits = |letter| {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    };
    let directives = line.split(splits).collect();
    (!quoted).then_some(directives)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::{Response, response};

    use super::{CacheFor, keeping};

    fn response(headers: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::empty()).expect("these are headers");
        response.into_parts().0
    }

    fn lifetime(headers: &[(&str, &str)]) -> Option<u64> {
        keeping(&response(headers)).map(|keeping| keeping.lifetime.as_secs())
    }

    #[test]
    fn a_response_is_kept_for_as_long_as_it_says_and_a_day_at_most() {
        let cases = [
            (None, ""),
            (None, "public"),
            (Some(60), "max-age=60"),
            (Some(60), "Public, MAX-AGE=60 , must-revalidate"),
            (Some(60), "max-age=\"60\""),
            (Some(5), "max-age=60, s-maxage=5"),
            (Some(60), "max-age=5, s-maxage=60"),
            (Some(5), "max-age=60, max-age=5"),
            (Some(86_400), "max-age=31536000"),
            (None, "max-age=0"),
            (None, "max-age=-1"),
            (None, "max-age=soon"),
            (None, "s-maxage=, max-age=60"),
        ];
        for (expected, line) in cases {
            assert_eq!(lifetime(&[("cache-control", line)]), expected, "{line}");
        }
    }

    #[test]
    fn a_word_of_any_line_and_spelling_forbids_to_store() {
        let forbidding = [
            "private",
            "No-Store",
            "NO-CACHE",
            "private=\"x-user\"",
            " no-store ",
        ];
        for word in forbidding {
            let fresh = ("cache-control", "max-age=60");
            assert_eq!(lifetime(&[fresh, ("cache-control", word)]), None, "{word}");
            assert_eq!(lifetime(&[("cache-control", word), fresh]), None, "{word}");
            let one_line = format!("max-age=60,{word}");
            assert_eq!(lifetime(&[("cache-control", &one_line)]), None, "{word}");
            let mut marked = response(&[("cache-control", word)]);
            marked.extensions.insert(CacheFor(Duration::from_secs(60)));
            assert!(keeping(&marked).is_none(), "{word}");
        }
    }

    #[test]
    fn what_is_in_quotes_or_a_part_of_a_word_is_no_directive() {
        let cases = [
            (Some(60), "note=\"a, no-store, b\", max-age=60"),
            (Some(60), "note=\"say \\\", no-store\", max-age=60"),
            (Some(60), "max-age=60, no-store-really"),
            (None, "note=\"a, max-age=60\""),
            (None, "max-age=60, note=\"a, no-store"),
        ];
        for (expected, line) in cases {
            assert_eq!(lifetime(&[("cache-control", line)]), expected, "{line}");
        }
    }

    #[test]
    fn what_is_old_already_is_kept_for_the_rest_of_its_time() {
        let fresh = ("cache-control", "max-age=60");
        assert_eq!(lifetime(&[fresh, ("age", "45")]), Some(15));
        assert_eq!(lifetime(&[fresh, ("age", "60")]), None);
        assert_eq!(lifetime(&[fresh, ("age", "old")]), None);
    }

    #[test]
    fn the_names_of_all_vary_lines_count_once() {
        let fresh = ("cache-control", "max-age=60");
        let lines = [fresh, ("vary", "Origin, accept"), ("vary", "ACCEPT,,")];
        let names = keeping(&response(&lines)).map(|keeping| keeping.vary);
        assert_eq!(names, Some(vec!["accept".to_owned(), "origin".to_owned()]));
        assert_eq!(lifetime(&[fresh, ("vary", "accept, *")]), None);
        assert_eq!(lifetime(&[fresh, ("vary", "accept"), ("vary", "*")]), None);
        assert_eq!(lifetime(&[fresh, ("vary", "a b")]), None);
    }

    #[test]
    fn some_responses_are_never_kept_whatever_they_say() {
        let fresh = ("cache-control", "public, max-age=60");
        for never in [
            ("set-cookie", "session=1"),
            ("connection", "close"),
            ("trailer", "x-checksum"),
            ("content-type", "Text/Event-Stream; charset=utf-8"),
        ] {
            assert_eq!(lifetime(&[fresh, never]), None, "{never:?}");
        }
        let mut missing = response(&[fresh]);
        missing.status = axum::http::StatusCode::NOT_FOUND;
        assert!(keeping(&missing).is_none());
    }
}
