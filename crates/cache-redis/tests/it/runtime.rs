//! Calls from outside of a Tokio runtime.

use bytes::Bytes;
use cache_core::{
    BackendWrite, CacheBackend, Condition, Cursor, ErrorKind, Expiry, Scope, Transactions,
};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use crate::{config, connect};

/// Asserts that a call was refused at once, and why.
fn assert_refused<T>(call: &str, future: impl Future<Output = cache_core::Result<T>>) {
    let answer = future.now_or_never().expect("it does not wait");
    let Err(error) = answer else {
        panic!("{call} needs a runtime");
    };
    let field = match error.kind() {
        ErrorKind::InvalidInput { field, .. } => field.as_ref(),
        other => panic!("{call}: {other:?}"),
    };
    assert_eq!(field, "runtime", "{call}");
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_runtime_without_timers_panics_in_the_call_that_connects_and_not_in_a_task() {
    let config = RedisConfig::standalone("127.0.0.1", 1).connect_lazily(true);
    let runtime = Builder::new_current_thread().build().unwrap();
    let _ = runtime.block_on(RedisStore::connect(config));
}

#[test]
fn a_call_from_outside_of_a_runtime_is_an_error_and_no_panic() {
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(connect(&server));
    let options = || BackendWrite::new(Expiry::Never, Condition::Always);
    let value = || Bytes::from("value");
    let absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);

    assert_refused("connect", RedisStore::connect(config(&server)));
    assert_refused("get", store.get("key"));
    assert_refused("get_entry", store.get_entry("key"));
    assert_refused("get_many", store.get_many(&["a", "b"]));
    assert_refused("set", store.set("key", value(), options()));
    assert_refused("set if absent", store.set("key", value(), absent));
    let pairs = vec![("a", value()), ("b", value())];
    let second = Expiry::After(std::time::Duration::from_secs(1));
    assert_refused("set_many", store.set_many(pairs, second));
    assert_refused("delete", store.delete("key", Condition::Always));
    assert_refused("take", store.take("key"));
    assert_refused("get_ex", store.get_ex("key", Expiry::Never));
    let start = Cursor::Start;
    assert_refused("scan", store.scan(&Scope::root(), start, 10));
    assert_refused("clear", store.clear(&Scope::root()));
    assert_refused("watch", store.watch(&["key"]));
    assert_refused("ping", store.ping());

    // And goes on within one.
    let set = store.set("key", value(), options());
    assert!(runtime.block_on(set).unwrap());
    assert_eq!(runtime.block_on(store.get("key")).unwrap(), Some(value()));
}
