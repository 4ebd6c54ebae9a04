//! A master that goes away under its sentinels.

use std::time::Instant;

use cache_testbed::{Flavor, Sentinels};

use crate::faults::load::{Load, Loss, Work};
use crate::faults::{AWAY, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_frozen_master_is_used_within_the_limit() {
    let servers = Sentinels::start(Flavor::Redis7);
    let store = connect(&servers.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let fault = Instant::now();
    servers.master().pause();
    load.until_felt(fault).await;
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("sentinel, frozen", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_killed_master_is_used_within_the_limit() {
    let servers = Sentinels::start(Flavor::Valkey9);
    let store = connect(&servers.url()).await;
    let load = Load::start(&store, Work::Bulk, Loss::Allowed).await;
    let fault = Instant::now();
    servers.master().kill();
    load.until_felt(fault).await;
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("sentinel, killed", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_masters_is_followed_within_the_limit() {
    let servers = Sentinels::start(Flavor::Redis8);
    let store = connect(&servers.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    // The tasks run on while it waits.
    servers.failover();
    load.until_well(Instant::now()).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    // It may be that nobody notices.
    let fault = report.first_failure().unwrap_or_else(Instant::now);
    report.assert_recovered("sentinel, switched", fault);
}
