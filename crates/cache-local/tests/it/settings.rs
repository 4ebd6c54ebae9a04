//! Options that come from a file.

use std::time::Duration;

use cache_local::{LocalConfig, LocalOptions};

use super::Rig;

fn read(json: &str) -> Result<LocalOptions, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn options_that_are_not_said_are_the_defaults() {
    assert_eq!(read("{}"), Ok(LocalOptions::default()));
    let read: LocalConfig<String> = serde_json::from_str("{}").unwrap();
    assert_eq!(
        format!("{read:?}"),
        format!("{:?}", LocalConfig::<String>::new())
    );
}

#[tokio::test]
async fn what_is_said_is_what_the_cache_does() {
    let json = r#"{"max_entries": 2, "cleanup_interval": "0s", "shards": 1}"#;
    let rig: Rig<String> = Rig::new(serde_json::from_str(json).unwrap());
    for key in ["a", "b", "c"] {
        rig.cache.set(key, "value").await.unwrap();
    }
    assert_eq!(rig.entries(), 2);
    let options = read(json).unwrap();
    assert_eq!(options.cleanup_interval, Duration::ZERO);
    assert_eq!(options.shards, Some(1));
}

#[test]
fn what_cannot_work_is_refused_as_it_is_read() {
    let cases = [
        (r#"{"max_entries": 0}"#, "max_entries is 0, the least is 1"),
        (
            r#"{"max_counters": 0}"#,
            "max_counters is 0, the least is 1",
        ),
        (
            r#"{"shards": 3}"#,
            "shards is 3, allowed are powers of two from 1 to 1024",
        ),
        (
            r#"{"cleanup_interval": 30}"#,
            "cleanup_interval: is 30, write \"30s\" at line 1 column 23",
        ),
        (
            r#"{"max_size": 3}"#,
            "unknown field `max_size`, did you mean `max_entries`? known are max_entries, \
             cleanup_interval, shards, max_counters at line 1 column 11",
        ),
    ];
    for (json, expected) in cases {
        let refused = read(json).unwrap_err();
        assert!(refused.starts_with(expected), "{refused}");
    }
}
