//! Keys of one namespace are never those of another, whatever characters they hold.
#![no_main]

use buildscale_cache::prelude::*;
use buildscale_cache::{Cache, CacheConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (name, key, other) = input;
    let cache: Cache<u8> = Cache::new_local(CacheConfig::default());
    let Ok(inner) = cache.namespace(name) else {
        return;
    };
    futures_executor::block_on(async {
        let (Ok(()), Ok(())) = (cache.set(key, 1u8).await, inner.set(other, 2u8).await) else {
            return;
        };
        // Each is there under its own name alone, also if the names are the same.
        assert_eq!(cache.get(key).await.expect("the key is good"), Some(1));
        assert_eq!(inner.get(other).await.expect("the key is good"), Some(2));
        let missing = if key == other { Some(2) } else { None };
        assert_eq!(inner.get(key).await.expect("the key is good"), missing);
        assert_eq!(inner.keys().await.expect("memory lists"), [other]);
        assert_eq!(cache.keys().await.expect("memory lists"), [key]);
        assert_eq!(inner.clear().await.expect("memory clears"), 1);
        assert_eq!(cache.get(key).await.expect("the key is good"), Some(1));
    });
});
