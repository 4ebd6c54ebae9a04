//! A URL is a configuration or an error that names what is wrong, and shows no password.
#![no_main]

use buildscale_cache::RedisConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let configs = [
        RedisConfig::from_url(text),
        RedisConfig::from_url(&format!("redis://{text}")),
    ];
    for config in configs {
        match config {
            Ok(config) => drop(format!("{config:?} {:?}", config.check())),
            Err(error) => drop(error.to_string()),
        }
    }
    let secret = "TopSecret7";
    let with_password = format!("redis://:{secret}@{text}");
    let shown = match RedisConfig::from_url(&with_password) {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(secret) || text.contains(secret), "{shown}");
});
