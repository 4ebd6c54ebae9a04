//! How values of 8 MiB delay small reads: on the same connection, on another one, and without any
//! client of ours, which shows what is the server's and the machine's part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_benches::is_trial;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Client, Flavor, Server};
use tokio::runtime::Runtime;

const LARGE: usize = 8 * 1024 * 1024;
const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const UP: &str = "the server is up";

/// The middle and the slow end of the times of some reads.
struct Times {
    p50: Duration,
    p99: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

async fn connect(server: &Server) -> RedisStore {
    let config = RedisConfig::from_url(&server.url()).expect("the URL is right");
    let patient = config.command_timeout(Duration::from_secs(10));
    RedisStore::connect(patient).await.expect(UP)
}

/// Reads a small value one time after the other.
async fn read_small(store: &RedisStore, reads: usize) -> Times {
    let mut times = Vec::with_capacity(reads);
    for _ in 0..reads {
        let start = Instant::now();
        store.get("small").await.expect(UP);
        times.push(start.elapsed());
    }
    Times::of(times)
}

/// Writes and reads a large value over and over until it is aborted.
async fn move_large(store: RedisStore) {
    let value = Bytes::from(vec![b'x'; LARGE]);
    loop {
        store.set("large", value.clone(), PLAIN).await.expect(UP);
        store.get("large").await.expect(UP);
    }
}

/// The same with two plain sockets in threads.
fn without_a_client(server: &Server, reads: usize) -> Times {
    let connect = || Client::connect(&server.address()).expect(UP);
    let (mut small, mut large) = (connect(), connect());
    let value = vec![b'x'; LARGE];
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let mover = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let set: [&[u8]; 3] = [b"SET", b"large", &value];
            large.command(&set).expect(UP);
            large.command(&["GET", "large"]).expect(UP);
        }
    });
    let mut times = Vec::with_capacity(reads);
    for _ in 0..reads {
        let start = Instant::now();
        small.command(&["GET", "small"]).expect(UP);
        times.push(start.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    mover.join().expect("the thread does not panic");
    Times::of(times)
}

fn main() {
    let (rounds, reads) = if is_trial() { (1, 10) } else { (5, 3_000) };
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = Runtime::new().expect("a runtime can be made");
    let small = runtime.block_on(connect(&server));
    let large = runtime.block_on(connect(&server));
    let set = small.set("small", Bytes::from_static(b"1"), PLAIN);
    runtime.block_on(set).expect(UP);

    println!("small reads beside values of 8 MiB, as multiples of the same alone");
    println!("{:<24}{:>10}{:>10}", "", "p50", "p99");
    for _ in 0..rounds {
        let alone = runtime.block_on(read_small(&small, reads));
        let print = |name: &str, times: &Times| {
            let p50 = times.p50.as_secs_f64() / alone.p50.as_secs_f64();
            let p99 = times.p99.as_secs_f64() / alone.p99.as_secs_f64();
            println!("{name:<24}{p50:>10.2}{p99:>10.2}");
        };
        println!("alone: p50 {:?}, p99 {:?}", alone.p50, alone.p99);
        for (name, store) in [
            ("another connection", &small),
            ("the same connection", &large),
        ] {
            let mover = runtime.spawn(move_large(large.clone()));
            print(name, &runtime.block_on(read_small(store, reads)));
            mover.abort();
        }
        print("sockets, no client", &without_a_client(&server, reads));
    }
}
