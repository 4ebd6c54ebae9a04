//! The variables for loading, each case in a process of its own.

use std::future;
use std::io;
use std::time::Duration;

use buildscale_cache::prelude::*;

use crate::child::{is_child, report_of};

const KEEP: &str = "BUILDSCALE_CACHE_KEEP_STALE";
const STALE: &str = "BUILDSCALE_CACHE_STALE_WHILE_REVALIDATE";
const FAIL_SAFE: &str = "BUILDSCALE_CACHE_FAIL_SAFE";
const LIMIT: &str = "BUILDSCALE_CACHE_HARD_TIMEOUT";

/// Runs `Cache::from_env` in a process with these variables and returns what it reports.
fn from_env_with(variables: &[(&str, &str)]) -> String {
    report_of("loading_variables::child_reports_what_is_loaded", variables)
}

#[tokio::test]
async fn child_reports_what_is_loaded() {
    if !is_child() {
        return;
    }
    let report = match Cache::<String>::from_env(CacheConfig::default()).await {
        Ok(cache) => report(&cache).await,
        Err(error) => error.to_string(),
    };
    println!("report: {report}");
}

/// Says what is served when the value has ended and the loader fails, when it has ended and the loader works,
/// and if there is a limit when the loader takes for ever.
async fn report(cache: &Cache<String>) -> String {
    let short = LoadOptions::new().ttl(Duration::from_millis(1));
    for key in ["failing", "working"] {
        let old = async |_| Ok::<_, io::Error>("old".to_owned());
        let first = cache.entry(key).options(short).or_load(old).await;
        assert_eq!(shown(first), "old");
        while cache.exists(key).await.expect("it can be read") {
            tokio::task::yield_now().await;
        }
    }
    let fails = async |_| Err::<String, _>(io::Error::other("down"));
    let failing = shown(cache.entry("failing").or_load(fails).await);
    let new = async |_| Ok::<_, io::Error>("new".to_owned());
    let working = shown(cache.entry("working").or_load(new).await);
    if std::env::var_os(LIMIT).is_none() {
        return format!("{failing}, {working}");
    }
    let endless = cache.get_or_insert_with("endless", future::pending).await;
    let refused = endless.expect_err("there is a limit");
    format!("{failing}, {working}, {:?}", refused.kind())
}

fn shown<E>(found: Result<Option<String>, E>) -> String {
    found.map_or_else(
        |_| "an error".to_owned(),
        |found| found.expect("there is something to load"),
    )
}

#[test]
fn ended_values_are_served_as_the_variables_say() {
    assert_eq!(from_env_with(&[]), "an error, new");
    assert_eq!(from_env_with(&[(KEEP, "1h")]), "an error, new");
    assert_eq!(
        from_env_with(&[(KEEP, "1h"), (FAIL_SAFE, "1h")]),
        "old, new"
    );
    assert_eq!(from_env_with(&[(KEEP, "1h"), (STALE, "30m")]), "old, old");
}

#[test]
fn a_limit_ends_the_wait_for_a_value() {
    assert_eq!(
        from_env_with(&[(LIMIT, "2ms")]),
        "an error, new, LoadTimeout { limit: 2ms }"
    );
}

#[test]
fn what_cannot_be_understood_or_is_not_kept_is_an_error_that_names_the_variable() {
    for variable in [KEEP, STALE, FAIL_SAFE, LIMIT] {
        for value in ["30", "", "soon", "-1s"] {
            assert_eq!(
                from_env_with(&[(variable, value)]),
                format!(
                    "{variable} is {value:?}, expected a duration such as 30s, 250ms or 1h 30m (a day \
                     is 24h)"
                )
            );
        }
    }
    assert_eq!(
        from_env_with(&[(STALE, "1h")]),
        format!(
            "{STALE} is refused: loading.stale_while_revalidate is 3600s, but the cache has \
             keep_stale of 0ns"
        )
    );
    assert_eq!(
        from_env_with(&[(KEEP, "1m"), (FAIL_SAFE, "1h")]),
        format!(
            "{FAIL_SAFE} is refused: loading.fail_safe is 3600s, but the cache has keep_stale of 60s"
        )
    );
}
