//! The variables for the memory of the process, each case in a process of its own.

use buildscale_cache::prelude::*;

use crate::child::{is_child, report_of};

const ENTRIES: &str = "BUILDSCALE_CACHE_MAX_ENTRIES";

/// Runs `Cache::from_env` in a process with these variables and returns what it reports.
fn from_env_with(variables: &[(&str, &str)]) -> String {
    report_of(
        "memory_variables::child_reports_what_memory_holds",
        variables,
    )
}

#[tokio::test]
async fn child_reports_what_memory_holds() {
    if !is_child() {
        return;
    }
    let report = match Cache::<String>::from_env(CacheConfig::default()).await {
        Ok(cache) => {
            let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
            for key in &keys {
                cache.set(key, "value").await.unwrap();
                cache.get(key).await.unwrap();
            }
            // Once more, for what memory answers.
            let mut in_memory = 0;
            for key in &keys {
                let before = hits_in_memory(&cache);
                cache.get(key).await.unwrap();
                in_memory += hits_in_memory(&cache) - before;
            }
            format!("{in_memory} of 20")
        }
        Err(error) => error.to_string(),
    };
    println!("report: {report}");
}

fn hits_in_memory(cache: &Cache<String>) -> u64 {
    let stats = cache.stats();
    stats
        .hits_by_tier()
        .map_or(stats.hits, |(in_memory, _)| in_memory)
}

#[test]
fn a_bound_of_entries_bounds_a_local_cache() {
    assert_eq!(from_env_with(&[]), "20 of 20");
    assert_eq!(from_env_with(&[(ENTRIES, "7")]), "7 of 20");
}

#[test]
fn a_bound_that_cannot_be_understood_is_an_error_that_names_the_variable() {
    for value in ["many", "", "-1", "1.5", "10k"] {
        assert_eq!(
            from_env_with(&[(ENTRIES, value)]),
            format!("{ENTRIES} is {value:?}, expected a whole number")
        );
    }
    assert_eq!(
        from_env_with(&[(ENTRIES, "0")]),
        format!("{ENTRIES} is refused: max_entries is 0, the least is 1")
    );
}

#[cfg(feature = "tiered")]
mod tiered {
    use cache_testbed::{Flavor, Server};

    use super::{ENTRIES, from_env_with};

    const STALENESS: &str = "BUILDSCALE_CACHE_STALENESS_BOUND";

    #[test]
    fn two_tiers_take_both_bounds() {
        let server = Server::builder(Flavor::Valkey9).start();
        let url = server.url();
        let with = |more: &[(&'static str, &'static str)]| {
            let tiered = [
                ("BUILDSCALE_CACHE_REDIS_URL", &*url),
                ("BUILDSCALE_CACHE_BACKEND", "tiered"),
            ];
            from_env_with(&[&tiered, more].concat())
        };
        let report = with(&[(ENTRIES, "7"), (STALENESS, "20s")]);
        let held = report.strip_suffix(" of 20").expect("it works");
        assert!(
            held.parse::<u32>().expect("it is a number") <= 7,
            "{report}"
        );

        assert_eq!(
            with(&[(STALENESS, "90s")]),
            format!("{STALENESS} is refused: bus.bound is 90s, allowed are 100 ms to 60 s")
        );
        for value in ["1", "", "soon", "-1s", "5M"] {
            assert_eq!(
                with(&[(STALENESS, value)]),
                format!(
                    "{STALENESS} is {value:?}, expected a duration such as 30s, 250ms or 1h 30m \
                     (a day is 24h)"
                )
            );
        }
        assert_eq!(
            with(&[(ENTRIES, "0")]),
            format!("{ENTRIES} is refused: max_entries is 0, the least is 1")
        );
    }
}
