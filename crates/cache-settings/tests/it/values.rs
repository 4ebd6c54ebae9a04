//! Durations, sizes and secrets.

use std::time::Duration;

use cache_settings::{HumanDuration, HumanSize, NotText, Secret, parse_duration};

use crate::refusal;

#[test]
fn durations_are_read_as_people_write_them() {
    let cases = [
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("250ms", 250),
        ("1.5s", 1_500),
        ("PT1M", 60_000),
        ("2 minutes", 120_000),
        ("0s", 0),
    ];
    for (text, milliseconds) in cases {
        let read: HumanDuration = serde_json::from_str(&format!("{text:?}")).unwrap();
        let expected = Duration::from_millis(milliseconds);
        assert_eq!(Duration::from(read), expected, "{text}");
        assert_eq!(parse_duration(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_with_what_to_write() {
    let expected = "expected a duration such as 30s, 250ms or 1h 30m (a day is 24h)";
    let texts = [
        "",
        "30",
        "soon",
        "-5s",
        "5s ago",
        "5M",
        "1 month",
        "1d",
        "1m 1h",
        "1m 1m",
        "99999999999999999999s",
        "18446744073709551615s 1000ms",
    ];
    for text in texts {
        let refused = refusal::<HumanDuration>(&format!("{text:?}"));
        assert_eq!(refused, format!("is {text:?}, {expected}"));
        assert_eq!(parse_duration(text), None, "{text}");
    }
    assert_eq!(refusal::<HumanDuration>("30"), "is 30, write \"30s\"");
    assert_eq!(
        refusal::<HumanDuration>("-30"),
        format!("is -30, {expected}")
    );
    assert_eq!(
        refusal::<HumanDuration>("1.5"),
        format!("invalid type: floating point `1.5`, {expected}")
    );
}

#[test]
fn sizes_are_numbers_of_bytes_or_have_a_unit() {
    let cases = [
        ("512", 512),
        ("\"512\"", 512),
        ("0", 0),
        ("\"512B\"", 512),
        ("\"10kB\"", 10_000),
        ("\"10 kB\"", 10_000),
        ("\"64MiB\"", 64 << 20),
        ("\"3KiB\"", 3 << 10),
        ("\"2GiB\"", 2 << 30),
        ("\"2MB\"", 2_000_000),
        ("\"1GB\"", 1_000_000_000),
    ];
    for (json, bytes) in cases {
        let read: HumanSize = serde_json::from_str(json).unwrap();
        assert_eq!(usize::from(read), bytes, "{json}");
    }
    let expected = "expected a number of bytes, or one with a unit such as 512B, 10kB or 64MiB";
    for text in [
        "",
        "MiB",
        "1.5MiB",
        "-1B",
        "1KB",
        "1mib",
        "99999999999999999GiB",
    ] {
        let refused = refusal::<HumanSize>(&format!("{text:?}"));
        assert_eq!(refused, format!("is {text:?}, {expected}"));
    }
    assert_eq!(refusal::<HumanSize>("-1"), format!("is -1, {expected}"));
}

#[test]
fn a_secret_takes_everything_and_shows_nothing() {
    let text: Secret = serde_json::from_str("\"hunter2\"").unwrap();
    assert_eq!(format!("{text:?}"), "***");
    assert_eq!(text.reveal("password").unwrap(), "hunter2");
    let others = [
        "1234",
        "-1234",
        "12.34",
        "true",
        "null",
        "[\"hunter2\"]",
        "{\"hunter2\": 1}",
    ];
    for json in others {
        let secret: Secret = serde_json::from_str(json).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        let refused: NotText = secret.reveal("password").unwrap_err();
        assert_eq!(refused.field(), "password");
        assert_eq!(
            refused.to_string(),
            "password is no text, write it in quotes"
        );
    }
}
