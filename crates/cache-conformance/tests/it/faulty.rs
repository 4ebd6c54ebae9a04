//! The backend that fails on demand.

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend, Fixture};
use cache_core::{Cache, CacheBackend, Capabilities, ErrorKind, ReadNow, SetOptions};
use cache_local::LocalBackend;
use tokio::time::{Instant, timeout};

use crate::reference::ReferenceFixture;

type Faulty = Arc<FaultyBackend<LocalBackend<String>>>;

fn faulty() -> (Faulty, Cache<String>) {
    let faulty = Arc::new(FaultyBackend::new(LocalBackend::default()));
    (Arc::clone(&faulty), Cache::new(faulty))
}

const SHORT: Duration = Duration::from_millis(10);

#[tokio::test]
async fn a_failure_has_no_effect_and_a_lost_reply_has() {
    let (faulty, cache) = faulty();
    faulty.script([
        Fault::Fail(ErrorKind::Unavailable),
        Fault::None,
        Fault::LoseReply(ErrorKind::Timeout),
    ]);
    let error = cache.set("key", "one").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert_eq!(cache.get("key").await.unwrap(), None);
    let error = cache.set("key", "two").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("two"));
    assert_eq!(faulty.calls(), 3, "the last read was answered at once");
}

#[tokio::test]
async fn every_third_call_fails_until_it_is_healed() {
    let (faulty, cache) = faulty();
    faulty.every(3, Fault::Fail(ErrorKind::Unavailable));
    let mut failed = Vec::new();
    for call in 1..=9 {
        if cache.set("key", "value").await.is_err() {
            failed.push(call);
        }
    }
    assert_eq!(failed, [3, 6, 9]);
    faulty.heal();
    for _ in 0..9 {
        cache.set("key", "value").await.unwrap();
    }
}

#[tokio::test]
async fn a_script_comes_before_a_rule() {
    let (faulty, cache) = faulty();
    faulty.every(0, Fault::Fail(ErrorKind::Unavailable));
    faulty.script([Fault::None, Fault::None]);
    let mut done = Vec::new();
    for _ in 0..4 {
        done.push(cache.delete("key").await.is_ok());
    }
    assert_eq!(done, [true, true, false, false]);
}

#[tokio::test]
async fn a_read_at_once_waits_while_faults_are_planned() {
    let (faulty, cache) = faulty();
    cache.set("key", "value").await.unwrap();
    assert!(matches!(faulty.read_now("key"), ReadNow::Answer(_)));
    faulty.script([Fault::None]);
    assert!(matches!(faulty.read_now("key"), ReadNow::WouldWait));
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("value"));
    assert!(matches!(faulty.read_now("key"), ReadNow::Answer(_)));
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_on_the_clock_of_tokio() {
    let (faulty, cache) = faulty();
    faulty.script([Fault::Delay(Duration::from_secs(3))]);
    let start = Instant::now();
    cache.set("key", "value").await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_never_returns_with_or_without_effect() {
    let (faulty, cache) = faulty();
    for (fault, effect) in [(Fault::Hang, None), (Fault::HangAfter, Some("value"))] {
        faulty.script([fault.clone()]);
        let hung = timeout(SHORT, cache.set("key", "value")).await;
        assert!(hung.is_err(), "{fault:?} returned");
        assert_eq!(
            cache.get("key").await.unwrap().as_deref(),
            effect,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn what_the_backend_can_do_is_handed_on() {
    let (faulty, cache) = faulty();
    assert_eq!(faulty.capabilities(), Capabilities::new());
    cache.set("key", "value").await.unwrap();
    assert_eq!(faulty.stats().entries, Some(1));
    let direct = faulty.inner().get("key").await.unwrap();
    assert_eq!(direct.as_deref(), Some("value"));
}

#[tokio::test]
async fn each_call_of_the_tags_takes_a_fault() {
    let backend = ReferenceFixture::<String>::correct().fresh().await;
    let faulty = Arc::new(FaultyBackend::new(backend));
    let cache: Cache<String> = Cache::new(Arc::clone(&faulty));
    let tagged = || cache.set_with("key", "value", SetOptions::new().tags(&["tag"]));
    let fail = || Fault::Fail(ErrorKind::Unavailable);

    faulty.script([fail()]);
    assert!(faulty.abilities().tags.unwrap().ticket().await.is_err());
    faulty.script([fail()]);
    assert!(tagged().await.is_err());
    assert_eq!(cache.get("key").await.unwrap(), None);
    tagged().await.unwrap();
    faulty.script([fail()]);
    assert!(cache.delete_by_tag("tag").await.is_err());
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("value"));
    faulty.script([Fault::LoseReply(ErrorKind::Timeout)]);
    assert!(cache.delete_by_tag("tag").await.is_err());
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert_eq!(faulty.calls(), 5, "the reads were answered at once");
}

#[tokio::test]
async fn a_backend_without_tags_gets_none() {
    let backend = ReferenceFixture::<String>::correct().without_tags();
    let faulty = FaultyBackend::new(backend.fresh().await);
    assert!(faulty.abilities().tags.is_none());
}

#[tokio::test]
async fn locks_take_faults_as_other_calls_do() {
    let backend = ReferenceFixture::<String>::correct().fresh().await;
    let faulty = Arc::new(FaultyBackend::new(backend));
    let cache: Cache<String> = Cache::new(Arc::clone(&faulty));
    let acquire = || cache.lock("job").ttl(3600).acquire();

    faulty.script([Fault::Fail(ErrorKind::Unavailable)]);
    assert!(acquire().await.is_err());
    let lock = acquire().await.unwrap().expect("it was not taken");
    faulty.script([Fault::Fail(ErrorKind::Unavailable)]);
    assert!(lock.renew().await.is_err());
    assert!(lock.renew().await.unwrap());
    assert!(lock.release().await.unwrap());
    faulty.script([Fault::LoseReply(ErrorKind::Timeout)]);
    assert!(acquire().await.is_err());
    assert!(acquire().await.unwrap().is_none(), "it was taken");
    assert_eq!(faulty.calls(), 7);
}

#[tokio::test]
async fn counters_take_faults_as_other_calls_do() {
    let (faulty, cache) = faulty();
    let requests = cache.counters("requests");
    faulty.script([
        Fault::Fail(ErrorKind::Unavailable),
        Fault::LoseReply(ErrorKind::Timeout),
    ]);
    let failed = requests.add("key", 1, 60).await.unwrap_err();
    assert_eq!(*failed.kind(), ErrorKind::Unavailable);
    let lost = requests.add("key", 1, 60).await.unwrap_err();
    assert_eq!(*lost.kind(), ErrorKind::Timeout);
    let count = requests.get("key").await.unwrap();
    assert_eq!(count.map(|count| count.value), Some(1));
    assert_eq!(faulty.calls(), 3);
}
