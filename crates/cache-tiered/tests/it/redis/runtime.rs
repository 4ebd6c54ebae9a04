//! Calls from outside of a Tokio runtime.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry};
use cache_testbed::{Flavor, Server};
use tokio::runtime::Runtime;

use super::{connect, warm};

/// Polls once, outside of any runtime.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn memory_answers_outside_of_a_runtime_and_whatever_needs_the_store_is_an_error() {
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = Runtime::new().unwrap();
    let tiered = runtime.block_on(async {
        let tiered = connect(&server).await;
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        tiered.set("key", "value".into(), options).await.unwrap();
        warm(&tiered, &["key"]).await;
        tiered
    });
    let held = now(tiered.get("key"));
    assert_eq!(held.unwrap().as_deref(), Some("value"));
    let error = now(tiered.get("absent")).unwrap_err();
    let is_told =
        matches!(error.kind(), ErrorKind::InvalidInput { field, .. } if field == "runtime");
    assert!(is_told, "{error:?}");
    // And goes on within one.
    assert_eq!(runtime.block_on(tiered.get("absent")).unwrap(), None);
}
