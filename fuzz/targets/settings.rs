//! A settings file is read, or refused with an error that names what is wrong.
#![no_main]

use buildscale_cache::CacheSettings;
use cache_settings::parse_duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(duration) = parse_duration(text) {
        let shown = format!("{}ms", duration.as_millis());
        assert!(parse_duration(&shown).is_some(), "{shown}");
    }
    let toml: Result<CacheSettings, _> = toml::from_str(text);
    let json: Result<CacheSettings, _> = serde_json::from_str(text);
    drop((format!("{toml:?}"), format!("{json:?}")));
});
