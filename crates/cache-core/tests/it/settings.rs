//! The configurations that a file can hold.

use cache_core::CacheConfig;
use serde::de::DeserializeOwned;

/// What `serde_json` says, without the place.
fn refusal<T: DeserializeOwned>(json: &str) -> String {
    let Err(error) = serde_json::from_str::<T>(json) else {
        panic!("{json} is accepted");
    };
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

#[test]
fn an_unknown_field_is_refused_with_the_nearest_one_that_is_known() {
    let known = "known are cleanup_interval_seconds, default_ttl_seconds";
    for name in [
        "defualt_ttl_seconds",
        "default_ttl",
        "default-ttl-seconds",
        "defaultTtlSeconds",
    ] {
        assert_eq!(
            refusal::<CacheConfig>(&format!("{{{name:?}: 1}}")),
            format!("unknown field `{name}`, did you mean `default_ttl_seconds`? {known}")
        );
    }
    assert_eq!(
        refusal::<CacheConfig>("{\"max_size\": 1}"),
        format!("unknown field `max_size`, {known}")
    );
}

#[test]
fn a_cache_config_keeps_its_defaults_for_what_is_not_said() {
    let read = |json: &str| serde_json::from_str::<CacheConfig>(json).unwrap();
    assert_eq!(read("{}"), CacheConfig::default());
    let config = CacheConfig {
        cleanup_interval_seconds: 0,
        default_ttl_seconds: Some(300),
    };
    assert_eq!(
        read("{\"cleanup_interval_seconds\": 0, \"default_ttl_seconds\": 300}"),
        config
    );
    assert_eq!(
        refusal::<CacheConfig>("{\"default_ttl_seconds\": \"5m\"}"),
        "default_ttl_seconds: invalid type: string \"5m\", expected u64"
    );
}

#[test]
fn something_in_place_of_a_table_is_refused_and_not_shown() {
    assert_eq!(
        refusal::<CacheConfig>("\"redis://:hunter2@host\""),
        "is a text, expected a table"
    );
    assert_eq!(
        refusal::<CacheConfig>("[\"redis://:hunter2@host\"]"),
        "invalid type: sequence, expected a table"
    );
}
