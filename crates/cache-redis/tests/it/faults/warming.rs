//! A cache that is filled over connections that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_core::{Cache, EncodedBackend, JsonCodec, WarmOptions};
use cache_redis::RedisStore;
use cache_testbed::{Flavor, Proxy, Server};
use futures_util::stream::{self, StreamExt};

use crate::faults::{LIMIT, config};

const ROWS: u64 = 20_000;
/// After so many rows the connections break, again and again.
const LENGTH: u64 = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_half_way_loses_no_row_and_is_gone_on_from() {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Arc::new(Proxy::start(server.address()).await);
    let store = RedisStore::connect(config(&format!("redis://{}", proxy.address()))).await;
    let backend = EncodedBackend::new(store.unwrap(), JsonCodec::new());
    let cache: Cache<u64> = Cache::new(backend);

    let mut rows = stream::iter((0..ROWS).map(|row| (format!("row:{row}"), row))).boxed();
    let (mut acknowledged, mut failures) = (0, 0);
    let start = std::time::Instant::now();
    loop {
        let (proxy, next) = (Arc::clone(&proxy), AtomicU64::new(LENGTH));
        let options = WarmOptions::new().batch(100).on_progress(move |stored| {
            if stored >= next.load(Ordering::Relaxed) {
                next.store(u64::MAX, Ordering::Relaxed);
                proxy.drop_replies_then_close();
            }
        });
        match cache.warm(&mut rows, options).await {
            Ok(stored) => break acknowledged += stored,
            Err(failed) => {
                assert!(failed.error.is_transient(), "{failed}");
                // What was acknowledged is there.
                acknowledged += failed.stored;
                let there = server.command(&["DBSIZE"]).integer();
                assert!(there >= i64::try_from(acknowledged).unwrap(), "{there}");
                failures += u32::from(failed.stored > 0);
                rows = stream::iter(failed.unwritten).chain(rows).boxed();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert!(start.elapsed() < LIMIT * 4, "{acknowledged} rows");
    }
    assert!(failures >= 2, "{failures} failures half-way");
    assert_eq!(acknowledged, ROWS);
    let keys: Vec<String> = (0..ROWS).map(|row| format!("row:{row}")).collect();
    let found = cache.mget(&keys).await.unwrap();
    assert!(found.into_iter().eq((0..ROWS).map(Some)));
}
