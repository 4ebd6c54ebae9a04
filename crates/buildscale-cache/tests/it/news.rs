//! How two tiers hear of changes unless they are told.

use std::time::{Duration, Instant};

use buildscale_cache::prelude::*;
use buildscale_cache::{BackendKind, BusKind, ErrorKind, Permit, RedisConfig};
use cache_testbed::{Flavor, Server, ServerBuilder};
use tokio::time::sleep;

/// Returns a server whose user `app` lacks these rights.
fn without(rights: &str) -> ServerBuilder {
    Server::builder(Flavor::Redis7).acl_user(&format!("app on >secret ~* &* +@all {rights}"))
}

async fn open(server: &Server, bus: Option<BusKind>) -> Result<Cache<String>, Error> {
    let mut settings = CacheSettings::default();
    settings.backend = Some(BackendKind::Tiered);
    let config = RedisConfig::from_url(&server.url())?;
    settings.redis = Some(config.username("app").password("secret"));
    if let Some(kind) = bus {
        settings.bus.kind = kind;
    }
    Cache::from_settings(settings).await
}

fn permit(cache: &Cache<String>) -> Permit {
    cache.stats().backend.tiers.expect("there are two").permit
}

#[tokio::test]
async fn a_server_that_tells_of_changes_is_listened_to() {
    let server = without("").start();
    let cache = open(&server, None).await.unwrap();
    assert!(format!("{cache:?}").contains("TrackingBus"), "{cache:?}");
    let end = Instant::now() + Duration::from_secs(10);
    while permit(&cache) != Permit::Held {
        assert!(Instant::now() < end, "{:?}", cache.stats());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn where_a_server_refuses_to_tell_of_changes_memory_keeps_the_bound_by_itself() {
    let refusing = [
        without("-client|tracking"),
        without("-role"),
        without("-info"),
        without("").arg("rename-command", "CLIENT NONE"),
    ];
    for (number, server) in refusing.into_iter().enumerate() {
        let server = server.start();
        let (writer, reader) = (open(&server, None).await, open(&server, None).await);
        let (writer, reader) = (writer.unwrap(), reader.unwrap());
        assert_eq!(permit(&reader), Permit::Unneeded, "{number}");
        assert!(format!("{reader:?}").contains("bus: None"), "{reader:?}");
        writer.set("key", "old").await.unwrap();
        assert_eq!(reader.get("key").await.unwrap().as_deref(), Some("old"));
        writer.set("key", "new").await.unwrap();
        let changed = Instant::now();
        while reader.get("key").await.unwrap().as_deref() != Some("new") {
            // The bound is one second; without it memory would keep the value for 60.
            assert!(changed.elapsed() < Duration::from_secs(10), "{number}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn whoever_asks_for_client_tracking_is_told_that_there_is_none() {
    let server = without("-client|tracking").start();
    let error = open(&server, Some(BusKind::Tracking)).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    let server = without("").arg("rename-command", "CLIENT NONE").start();
    let error = open(&server, Some(BusKind::Tracking)).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unsupported { .. }),
        "{error}"
    );
}
