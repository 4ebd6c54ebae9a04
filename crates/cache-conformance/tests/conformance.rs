//! The suite on a backend that keeps the contract, in each form that a fixture can have.

#[expect(dead_code, reason = "the bugs are for the tests of the suite")]
mod reference;

#[path = "reference/minimal.rs"]
mod minimal;

use bytes::Bytes;
use cache_conformance::{Erased, conformance_tests};
use minimal::{Minimal, MinimalStore};
use reference::{RealTime, ReferenceFixture, Waiting};

conformance_tests!(text, ReferenceFixture::<String>::correct());
conformance_tests!(
    of_bytes,
    ReferenceFixture::<Bytes>::correct(),
    erased = false
);
conformance_tests!(
    no_scan,
    ReferenceFixture::<String>::correct().without_scan(),
    erased = false
);
conformance_tests!(
    no_tags,
    ReferenceFixture::<String>::correct().without_tags(),
    erased = false
);
conformance_tests!(five_methods, Minimal(ReferenceFixture::correct()));
conformance_tests!(
    five_methods_of_bytes,
    MinimalStore(ReferenceFixture::correct()),
    erased = false
);
conformance_tests!(
    no_counters,
    ReferenceFixture::<String>::correct().without_counters(),
    erased = false
);
conformance_tests!(waiting, Waiting(ReferenceFixture::correct()));
conformance_tests!(real_time, Erased::new(RealTime), erased = false);

/// What counters are made of where a store of bytes has none.
mod derived_counters {
    use bytes::Bytes;
    use cache_conformance::Fixture;
    use cache_core::{
        BackendWrite, Cache, CacheBackend, Condition, ErrorKind, Expiry, counter_key,
    };

    use super::{MinimalStore, ReferenceFixture};

    #[tokio::test]
    async fn they_are_decimal_texts_under_their_names() {
        let fixture = MinimalStore(ReferenceFixture::correct());
        let cache: Cache<String, _> = Cache::with_backend(fixture.fresh().await);
        let visits = cache.counters("visits");
        visits.add("home", -12, 60).await.expect("nothing fails");
        let name = counter_key(&[], "visits", "home").expect("the names are valid");
        let store = cache.backend().store();
        let stored = store.get_entry(&name).await.expect("nothing fails");
        let stored = stored.expect("it was counted");
        assert_eq!(stored.value, "-12");
        let minute = Expiry::After(std::time::Duration::from_secs(60));
        assert_eq!(stored.expiry, minute);
    }

    #[tokio::test]
    async fn what_is_no_number_is_a_failure_of_the_store_and_stays() {
        let fixture = MinimalStore(ReferenceFixture::correct());
        let cache: Cache<String, _> = Cache::with_backend(fixture.fresh().await);
        let visits = cache.counters("visits");
        let name = counter_key(&[], "visits", "home").expect("the names are valid");
        for text in [&b"secret"[..], b"\xff", b""] {
            let text = Bytes::from_static(text);
            let always = BackendWrite::new(Expiry::Never, Condition::Always);
            let store = cache.backend().store();
            let written = store.set(&name, text.clone(), always).await;
            assert!(written.expect("nothing fails"));
            for failed in [
                visits.add("home", 1, 60).await.map(drop),
                visits.get("home").await.map(drop),
            ] {
                let error = failed.expect_err("it is no number");
                assert_eq!(*error.kind(), ErrorKind::Backend);
                assert!(!format!("{error:?}").contains("secret"));
            }
            let left = store.get(&name).await.expect("nothing fails");
            assert_eq!(left, Some(text));
        }
    }
}
