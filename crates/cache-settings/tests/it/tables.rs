//! Tables, of which every field must be known.

use std::time::Duration;

use cache_settings::{HumanDuration, HumanSize, put, read};
use serde::{Deserialize, Deserializer};

use crate::refusal;

#[derive(Debug, PartialEq, Eq)]
struct DiskConfig {
    flush_interval: Duration,
    page_size: usize,
    mode: Mode,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Safe,
    Fast,
}

impl<'de> Deserialize<'de> for DiskConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            flush_interval: Option<HumanDuration>,
            page_size: Option<HumanSize>,
            mode: Option<Mode>,
        }

        let table: Table = read(deserializer)?;
        let mut config = Self {
            flush_interval: Duration::from_secs(1),
            page_size: 4096,
            mode: Mode::Safe,
        };
        put(&mut config.flush_interval, table.flush_interval);
        put(&mut config.page_size, table.page_size);
        put(&mut config.mode, table.mode);
        Ok(config)
    }
}

#[test]
fn what_is_said_replaces_the_default_and_nothing_else_does() {
    let config = serde_json::from_str::<DiskConfig>(r#"{"page_size": "8KiB"}"#).unwrap();
    let expected = DiskConfig {
        flush_interval: Duration::from_secs(1),
        page_size: 8192,
        mode: Mode::Safe,
    };
    assert_eq!(config, expected);
}

#[test]
fn an_unknown_field_is_refused_with_the_nearest_one_that_is_known() {
    let known = "known are flush_interval, page_size, mode";
    assert_eq!(
        refusal::<DiskConfig>(r#"{"flush_intervall": "1s"}"#),
        format!("unknown field `flush_intervall`, did you mean `flush_interval`? {known}")
    );
    assert_eq!(
        refusal::<DiskConfig>(r#"{"colour": 1}"#),
        format!("unknown field `colour`, {known}")
    );
}

#[test]
fn an_error_names_the_field_that_it_is_about() {
    assert_eq!(
        refusal::<DiskConfig>(r#"{"flush_interval": 30}"#),
        "flush_interval: is 30, write \"30s\""
    );
    assert_eq!(
        refusal::<DiskConfig>(r#"{"mode": "reckless"}"#),
        "mode: unknown variant `reckless`, expected `safe` or `fast`"
    );
}

#[test]
fn what_may_hold_a_password_is_not_quoted_wherever_it_is() {
    let url = "redis://:hunter2@host";
    let known = "unknown field, known are flush_interval, page_size, mode";
    let cases = [
        (format!("{url:?}"), "is a text, expected a table"),
        (format!("{{{url:?}: 1}}"), known),
        (
            format!("{{\"mode\": {url:?}}}"),
            "mode: unknown variant, expected one of safe, fast",
        ),
        (
            format!("{{\"page_size\": {url:?}}}"),
            "page_size: is a text, expected a number of bytes, or one with a unit such as 512B, \
             10kB or 64MiB",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(refusal::<DiskConfig>(&json), expected);
    }
}
