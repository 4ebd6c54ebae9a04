//! One server that goes away and comes back.

use std::time::Instant;

use cache_testbed::{Flavor, Server};

use crate::load::{Load, Loss, Work};
use crate::{AWAY, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_used_again_once_it_is_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let fault = Instant::now();
    server.kill();
    load.until_felt(fault).await;
    server.restart();
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("one server, killed", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_used_again_once_it_goes_on() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Bulk, Loss::Allowed).await;
    server.pause();
    load.until_felt(Instant::now()).await;
    // Long enough for several rounds of probes, and attempts to connect anew.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    server.resume();
    let end = Instant::now();
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("one server, frozen (from its end on)", end);
}
