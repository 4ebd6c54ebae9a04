//! Bad input: a typed error that names the field and the limit, and nothing is written.

use std::time::Duration;

use cache_core::{
    Cache, Error, ErrorKind, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, MAX_TTL, Result, SetOptions, Ttl,
};
use cache_local::LocalBackend;

fn cache() -> Cache<String> {
    Cache::new(LocalBackend::default())
}

fn refused<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    match result.unwrap_err().kind() {
        ErrorKind::InvalidInput { field, problem } => (field.to_string(), problem.to_string()),
        other => panic!("expected invalid input, got {other:?}"),
    }
}

fn says(field: &str, problem: &str) -> (String, String) {
    (field.to_string(), problem.to_string())
}

#[tokio::test]
async fn every_verb_refuses_an_empty_key() {
    let cache = cache();
    let expected = says("key", "is empty, the least is 1 byte");
    assert_eq!(refused(cache.get("").await), expected);
    assert_eq!(refused(cache.set("", "v").await), expected);
    assert_eq!(refused(cache.set_ex("", "v", 5).await), expected);
    assert_eq!(refused(cache.set_nx("", "v").await), expected);
    assert_eq!(
        refused(cache.set_with("", "v", SetOptions::new()).await),
        expected
    );
    assert_eq!(refused(cache.get_and_set("", "v").await), expected);
    assert_eq!(refused(cache.delete("").await), expected);
    assert_eq!(refused(cache.exists("").await), expected);
    assert_eq!(refused(cache.ttl("").await), expected);
    assert_eq!(refused(cache.expiry("").await), expected);
    assert_eq!(refused(cache.expire("", 5).await), expected);
    assert_eq!(refused(cache.expire("", 0).await), expected);
    assert_eq!(refused(cache.persist("").await), expected);
    assert_eq!(refused(cache.mget(&["a", ""]).await), expected);
    assert_eq!(refused(cache.mdelete(&["a", ""]).await), expected);
    assert_eq!(refused(cache.mset([("a", "1"), ("", "2")]).await), expected);
    assert_eq!(
        cache.get("a").await.unwrap(),
        None,
        "keys are checked before anything is written"
    );
}

#[tokio::test]
async fn a_key_may_be_as_long_as_the_limit_and_no_byte_longer() {
    let cache = cache();
    let longest = "k".repeat(MAX_KEY_BYTES);
    cache.set(&longest, "v").await.unwrap();
    assert_eq!(cache.get(&longest).await.unwrap().as_deref(), Some("v"));
    let longer = longest + "k";
    let expected = says("key", "is 65537 bytes long, the most is 65536");
    assert_eq!(refused(cache.set(&longer, "v").await), expected);
    assert_eq!(refused(cache.get(&longer).await), expected);
}

#[tokio::test]
async fn a_time_to_live_of_zero_or_less_is_refused_where_it_makes_no_sense() {
    let cache = cache();
    let zero = says("ttl", "is zero, the least is 1 ms");
    assert_eq!(refused(cache.set_ex("k", "v", 0).await), zero);
    assert_eq!(refused(cache.set_ex("k", "v", Duration::ZERO).await), zero);
    assert_eq!(
        refused(cache.set_with("k", "v", SetOptions::new().ttl(0)).await),
        zero
    );
    let negative = says("ttl", "is -5 seconds, the least is 1 ms");
    assert_eq!(refused(cache.set_ex("k", "v", -5).await), negative);
    assert!(!cache.exists("k").await.unwrap());
}

#[tokio::test]
async fn a_time_to_live_over_the_maximum_is_refused_and_the_maximum_is_not() {
    let cache = cache();
    cache.set_ex("k", "v", MAX_TTL).await.unwrap();
    assert_eq!(cache.ttl("k").await.unwrap(), Some(MAX_TTL.as_secs()));
    let over = says(
        "ttl",
        "is 3153600001 seconds, the most is 3153600000 (100 years)",
    );
    assert_eq!(
        refused(cache.set_ex("k", "v", MAX_TTL.as_secs() + 1).await),
        over
    );
    assert_eq!(
        refused(cache.expire("k", MAX_TTL.as_secs() + 1).await),
        over
    );
    let (field, _) = refused(cache.set_ex("k", "v", u64::MAX).await);
    assert_eq!(field, "ttl");
    cache.set_ex("k", "v", Duration::MAX).await.unwrap();
    assert_eq!(
        cache.ttl("k").await.unwrap(),
        None,
        "`Duration::MAX` means never"
    );
}

#[tokio::test]
async fn a_time_to_live_below_a_millisecond_is_rounded_up_to_one() {
    let cache = cache();
    cache
        .set_ex("k", "v", Duration::from_nanos(1))
        .await
        .unwrap();
    let left = cache
        .expiry("k")
        .await
        .unwrap()
        .and_then(cache_core::Expiry::remaining);
    assert!(left.is_none_or(|left| left <= Duration::from_millis(1)));
}

#[tokio::test]
async fn a_bad_default_of_a_view_fails_the_writes_that_need_it() {
    let cache: Cache<String> = Cache::new(LocalBackend::default()).with_default_ttl(0);
    let expected = says("default_ttl", "is zero, the least is 1 ms");
    assert_eq!(refused(cache.set("k", "v").await), expected);
    assert_eq!(refused(cache.mset([("k", "v")]).await), expected);
    cache.set_ex("k", "v", 5).await.unwrap();
    cache
        .set_with("k", "v", SetOptions::new().ttl(Ttl::NEVER))
        .await
        .unwrap();
}

#[test]
fn a_namespace_is_a_short_plain_name() {
    let cache = cache();
    let name = |name: &str| refused(cache.namespace(name).map(drop));
    assert_eq!(name(""), says("namespace", "is empty, the least is 1 byte"));
    let long = "n".repeat(MAX_NAMESPACE_BYTES + 1);
    assert_eq!(
        name(&long),
        says("namespace", "is 65 bytes long, the most is 64")
    );
    for bad in [
        ':', '*', '?', '[', ']', '\\', '{', '}', ' ', '@', '/', '\n', '\0', 'é',
    ] {
        let problem = format!("holds {bad:?}, allowed are ASCII letters, digits, '-', '_' and '.'");
        assert_eq!(name(&format!("a{bad}b")), says("namespace", &problem));
    }
    assert!(cache.namespace("Sessions_v2.eu-west").is_ok());
}

#[tokio::test]
async fn an_error_of_a_verb_names_the_verb() {
    let error: Error = cache().set_ex("k", "v", 0).await.unwrap_err();
    assert!(error.to_string().starts_with("set_ex (key #"), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("): ttl is zero, the least is 1 ms"),
        "{error}"
    );
}

#[tokio::test]
async fn expire_tells_whether_the_key_is_there_whatever_the_time() {
    let cache = cache();
    assert!(!cache.expire("k", Duration::MAX).await.unwrap());
    cache.set("k", "v").await.unwrap();
    assert!(
        cache.expire("k", Duration::MAX).await.unwrap(),
        "there, and it never expires"
    );
    assert!(cache.expire("k", 5).await.unwrap());
    assert!(cache.expire("k", Duration::MAX).await.unwrap());
    assert_eq!(cache.ttl("k").await.unwrap(), None);
    assert!(cache.expire("k", -1).await.unwrap());
    assert!(!cache.exists("k").await.unwrap());
}

#[test]
fn no_debug_output_of_a_read_shows_the_value() {
    let read = cache_core::ReadNow::Answer(Ok(Some("secret".to_string())));
    assert_eq!(format!("{read:?}"), "Answer { found: true }");
    let entry = cache_core::BackendEntry::new("secret", cache_core::Expiry::Never);
    assert!(!format!("{entry:?}").contains("secret"));
}
