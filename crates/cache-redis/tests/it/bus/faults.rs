//! The promise under faults, and that the bus comes back.

use std::sync::Arc;
use std::time::Duration;

use cache_testbed::{Direction, Flavor, Proxy, Sentinels, Server};
use tokio::time::sleep;

use crate::bus::invariant::Writers;
use crate::bus::recorder::Recorder;
use crate::bus::{BOUND, Kind, LIMIT, Listening};

/// A server behind a proxy, with a bus that listens through the proxy and writers that go past it.
struct Bench {
    server: Server,
    proxy: Proxy,
    listening: Listening,
    writers: Writers,
}

impl Bench {
    async fn start(kind: Kind, flavor: Flavor) -> Self {
        let server = Server::builder(flavor).start();
        let proxy = Proxy::start(server.address()).await;
        let url = server.url();
        let behind = url.replace(&server.address(), &proxy.address());
        let listening = Listening::start(kind, &behind).await;
        let writers = write(kind, &listening.recorder, &server).await;
        sleep(Duration::from_millis(500)).await;
        Self {
            server,
            proxy,
            listening,
            writers,
        }
    }

    fn recorder(&self) -> &Recorder {
        &self.listening.recorder
    }

    /// Waits until the bus works again, lets it, and checks all.
    async fn end(&self, name: &str) {
        let took = self.recorder().caught_up().await;
        println!("{name}: caught up {took:?} after the fault");
        sleep(Duration::from_millis(500)).await;
        self.recorder().caught_up().await;
        self.writers.check(name);
    }
}

async fn write(kind: Kind, recorder: &Arc<Recorder>, server: &Server) -> Writers {
    let writers = Writers::new(recorder);
    match kind {
        Kind::Tracking => writers.strange(server.address()),
        Kind::PubSub => writers.publishing(&server.url()).await,
    }
    writers
}

async fn nothing(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Redis7).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.recorder().flushes_since(Duration::ZERO).len(), 1);
    bench.end(&format!("{kind:?}, no fault")).await;
}

async fn slow(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Redis8).await;
    // Long enough for many messages to wait.
    bench.recorder().slow_down(15);
    sleep(Duration::from_secs(3)).await;
    bench.end(&format!("{kind:?}, slow listener")).await;
}

async fn kills(kind: Kind, flavor: Flavor) {
    let bench = Bench::start(kind, flavor).await;
    for number in 0..6 {
        let class = if number % 2 == 0 { "normal" } else { "pubsub" };
        let kill = ["CLIENT", "KILL", "TYPE", class, "SKIPME", "yes"];
        bench.server.command(&kill);
        sleep(BOUND / 2 + Duration::from_millis(number * 37)).await;
    }
    bench.end(&format!("{kind:?}, kills")).await;
}

async fn kills_of_redis(kind: Kind) {
    kills(kind, Flavor::Redis7).await;
}

async fn kills_of_valkey(kind: Kind) {
    kills(kind, Flavor::Valkey9).await;
}

async fn resets(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Redis8).await;
    for number in 0..6 {
        let before = bench.recorder().elapsed();
        bench.proxy.reset_all();
        sleep(Duration::from_millis(20 + number * 53)).await;
        bench.recorder().caught_up().await;
        assert!(!bench.recorder().flushes_since(before).is_empty());
    }
    bench.end(&format!("{kind:?}, resets")).await;
}

async fn stalls(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Redis7).await;
    for direction in [Direction::Reply, Direction::Request] {
        bench.proxy.stall(direction);
        // Half a bound later nothing is confirmed any more.
        sleep(BOUND / 2).await;
        let since = bench.recorder().elapsed();
        sleep(BOUND * 3).await;
        let confirmed = |(at, event): &(Duration, crate::bus::recorder::Event)| {
            *at >= since && matches!(event, crate::bus::recorder::Event::CaughtUp(_))
        };
        assert!(!bench.recorder().events().iter().any(confirmed));
        bench.proxy.unstall(direction);
        bench.recorder().caught_up().await;
        assert!(!bench.recorder().flushes_since(since).is_empty());
    }
    bench.end(&format!("{kind:?}, stalls")).await;
}

async fn emptied(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Valkey9).await;
    for number in 0..10 {
        let began = bench.recorder().elapsed();
        bench.server.command(&["FLUSHALL"]).assert_ok();
        bench.writers.note(None, began);
        sleep(Duration::from_millis(50 + number * 31)).await;
    }
    bench.end(&format!("{kind:?}, emptied")).await;
}

async fn frozen(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Redis7).await;
    bench.server.pause();
    sleep(Duration::from_secs(2)).await;
    bench.server.resume();
    bench.end(&format!("{kind:?}, frozen")).await;
}

async fn restarted(kind: Kind) {
    let bench = Bench::start(kind, Flavor::Valkey9).await;
    bench.server.kill();
    sleep(Duration::from_millis(300)).await;
    bench.server.restart();
    bench.end(&format!("{kind:?}, restarted")).await;
}

macro_rules! both {
    ($($name:ident: $run:ident;)*) => {
        mod tracking {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $run(Kind::Tracking).await;
            })*
        }
        mod pubsub {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $run(Kind::PubSub).await;
            })*
        }
    };
}

both! {
    nothing_is_missed_and_nothing_is_flushed_while_all_is_well: nothing;
    nothing_is_missed_when_the_listener_is_slow: slow;
    nothing_is_missed_when_redis_7_closes_connections: kills_of_redis;
    nothing_is_missed_when_valkey_9_closes_connections: kills_of_valkey;
    nothing_is_missed_when_connections_are_reset: resets;
    nothing_is_confirmed_while_a_connection_stalls_and_nothing_is_missed_after: stalls;
    nothing_is_missed_when_others_empty_the_database: emptied;
    nothing_is_missed_when_the_server_hangs_for_two_seconds: frozen;
    nothing_is_missed_when_the_server_is_killed_and_comes_back: restarted;
}

async fn failover(kind: Kind, is_killed: bool) {
    let servers = Sentinels::start(Flavor::Redis7);
    let listening = Listening::start(kind, &servers.url()).await;
    let port = servers.master().port();
    if is_killed {
        servers.master().kill();
    } else {
        servers.master().pause();
    }
    servers.wait_for_other_master(port);
    let before = listening.recorder.elapsed();
    let took = listening.recorder.caught_up().await;
    println!("{kind:?}, failover: caught up after {took:?}");
    assert!(took < LIMIT / 2, "{took:?}");
    if kind == Kind::Tracking {
        let since = listening.recorder.elapsed();
        servers
            .master()
            .command(&["SET", "cache:a", "1"])
            .assert_ok();
        listening.recorder.caught_up().await;
        assert_eq!(listening.recorder.keys_since(since), ["a"]);
    }
    assert!(before < listening.recorder.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_follows_the_sentinels_to_the_successor_of_a_killed_master() {
    failover(Kind::Tracking, true).await;
    failover(Kind::PubSub, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_follows_the_sentinels_to_the_successor_of_a_frozen_master() {
    failover(Kind::Tracking, false).await;
    failover(Kind::PubSub, false).await;
}
