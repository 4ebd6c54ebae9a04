//! Code that users have written already: it must compile as it stands and do what it says.

use std::time::Duration;

use buildscale_cache::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
}

type Outcome = Result<(), Error>;

#[tokio::test]
async fn values_are_set_read_and_deleted() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    cache.set("user:123", "Alice").await?;
    let name: Option<String> = cache.get("user:123").await?;
    assert_eq!(name.as_deref(), Some("Alice"));
    let existed: bool = cache.delete("user:123").await?;
    assert!(existed);
    assert_eq!(cache.get("user:123").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_config_literal_gives_a_default_time_to_live() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig {
        cleanup_interval_seconds: 60,
        default_ttl_seconds: Some(3600),
    });
    cache.set("key", "value").await?;
    let ttl = cache.ttl("key").await?;
    assert_eq!(ttl, Some(3600));
    Ok(())
}

#[tokio::test]
async fn times_to_live_are_bare_seconds_and_durations() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    cache.set_ex("session:abc", "active", 5).await?;
    assert_eq!(cache.ttl("session:abc").await?, Some(5));
    let seconds: u64 = 7;
    cache.set_ex("session:abc", "active", seconds).await?;
    assert_eq!(cache.ttl("session:abc").await?, Some(7));
    cache
        .set_ex("session:abc", "active", Duration::from_secs(9))
        .await?;
    assert_eq!(cache.ttl("session:abc").await?, Some(9));
    cache.expire("session:abc", 10).await?;
    assert_eq!(cache.ttl("session:abc").await?, Some(10));
    cache.persist("session:abc").await?;
    assert_eq!(cache.ttl("session:abc").await?, None);
    assert_eq!(cache.ttl("nobody").await?, None);
    Ok(())
}

#[tokio::test]
async fn keys_are_listed_counted_and_cleared() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    cache
        .mset(vec![("batch:1", "value1"), ("batch:2", "value2")])
        .await?;
    let keys: Vec<String> = cache.keys().await?;
    assert_eq!(keys, ["batch:1", "batch:2"]);
    let e = cache.exists("k").await?;
    assert!(!e);
    let n = cache.clear().await?;
    assert_eq!(n, 2);
    Ok(())
}

#[tokio::test]
async fn a_value_is_set_only_if_absent_and_swapped() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    let inserted = cache.set_nx("lock:resource", "locked").await?;
    assert!(inserted);
    let old: Option<String> = cache.get_and_set("lock:resource", "locked_v2").await?;
    assert_eq!(old.as_deref(), Some("locked"));
    assert_eq!(
        cache.get("lock:resource").await?.as_deref(),
        Some("locked_v2")
    );
    Ok(())
}

#[tokio::test]
async fn many_keys_are_read_and_deleted_at_once() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    cache
        .mset(vec![("batch:1", "value1"), ("batch:2", "value2")])
        .await?;
    let values: Vec<Option<String>> = cache.mget(&["batch:1", "batch:999"]).await?;
    assert_eq!(values, [Some("value1".to_string()), None]);
    let count = cache.mdelete(&["batch:1", "batch:2"]).await?;
    assert_eq!(count, 2);
    Ok(())
}

#[tokio::test]
async fn keys_are_any_kind_of_string_and_values_any_serializable_type() -> Outcome {
    let users: Cache<User> = Cache::new_local(CacheConfig::default());
    let alice = User {
        id: 1,
        name: "Alice".to_string(),
    };
    let id = 1;
    users.set(&format!("user:{id}"), alice.clone()).await?;
    assert_eq!(users.get(&format!("user:{id}")).await?, Some(alice.clone()));
    assert_eq!(users.get(format!("user:{id}")).await?, Some(alice.clone()));
    let key: &str = "user:1";
    assert_eq!(users.get(key).await?, Some(alice.clone()));
    let session_id = String::from("s-1");
    users.set_ex(&session_id, alice.clone(), 300).await?;
    users.expire(&session_id, 300).await?;
    assert_eq!(
        users.mget(&[key, &session_id]).await?,
        [Some(alice.clone()), Some(alice)]
    );
    Ok(())
}

#[tokio::test]
async fn a_cache_is_shared_by_tasks_and_kept_in_state() -> Outcome {
    #[derive(Clone)]
    struct AppState {
        cache: Cache<String>,
    }
    fn state_of_a_server<S: Clone + Send + Sync + 'static>(_: &S) {}

    let state = AppState {
        cache: Cache::new_local(CacheConfig::default()),
    };
    state_of_a_server(&state);
    let cache_clone = state.cache.clone();
    let task = tokio::spawn(async move {
        cache_clone.set("key1", "value1").await.unwrap();
    });
    state.cache.set("key2", "value2").await?;
    task.await.unwrap();
    assert_eq!(state.cache.keys().await?, ["key1", "key2"]);
    Ok(())
}

#[tokio::test]
async fn a_monitored_cache_needs_no_wrapper() -> Outcome {
    let cache: Cache<String> = Cache::new_local(CacheConfig::default());
    assert_eq!(cache.stats().hit_rate(), None);
    cache.set("key", "value").await?;
    cache.get("key").await?;
    cache.get("other").await?;
    assert_eq!(cache.stats().hit_rate(), Some(0.5));
    Ok(())
}
