//! The program of the guide runs unchanged on Redis and Valkey: the environment decides.

#[path = "shared/output.rs"]
mod output;

use std::process::Command;

use cache_testbed::{Cluster, Flavor, Server};

const GUIDE: &str = "04_cache_management";

/// Runs a program with a URL of servers in its environment and returns what it prints.
fn run(program: &str, url: &str) -> String {
    run_on("redis", program, url)
}

fn run_on(backend: &str, program: &str, url: &str) -> String {
    let path = match program {
        GUIDE => env!("CARGO_BIN_EXE_04_cache_management"),
        "redis_sessions" => env!("CARGO_BIN_EXE_redis_sessions"),
        "tiered_processes" => env!("CARGO_BIN_EXE_tiered_processes"),
        other => panic!("{other} is no program"),
    };
    let output = Command::new(path)
        .env("BUILDSCALE_CACHE_BACKEND", backend)
        .env("BUILDSCALE_CACHE_REDIS_URL", url)
        .output()
        .expect("the program is built");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_program_of_the_guide_prints_the_same_on_every_server() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        assert_eq!(
            run(GUIDE, &server.url()),
            output::on_a_server(),
            "{flavor:?}"
        );
        // It was really there, though writes and reads of many tasks share commands.
        let found: u64 = server.info("keyspace_hits").parse().unwrap();
        assert!(found > 200, "{flavor:?}: {found}");
    }
}

#[test]
fn the_program_of_the_guide_prints_the_same_on_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    assert_eq!(run(GUIDE, &cluster.url()), output::on_a_server());
}

#[test]
fn the_program_of_the_guide_prints_the_same_on_two_tiers() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        let output = run_on("tiered", GUIDE, &server.url());
        assert_eq!(output, output::on_a_server(), "{flavor:?}");
    }
}

#[test]
fn sessions_are_kept_as_long_as_they_are_used() {
    let server = Server::builder(Flavor::Valkey9).start();
    let output = run("redis_sessions", &server.url());
    assert!(
        output.contains("token-1 is Some(User { name: \"Alice\" })"),
        "{output}"
    );
    assert!(output.contains("seconds left: Some(1800)"), "{output}");
    assert!(
        output.contains("token-1 is None\nsessions: [\"token-2\"]"),
        "{output}"
    );
    // Users are readable by others.
    let user = server.command(&["GET", "users:alice"]).text();
    assert_eq!(user, "{\"name\":\"Alice\"}");
}

#[test]
fn the_memory_of_one_process_follows_the_writes_of_another() {
    let server = Server::builder(Flavor::Redis7).start();
    let output = run("tiered_processes", &server.url());
    for price in ["3.10", "3.20", "3.45", "2.95"] {
        assert!(
            output.contains(&format!("reader: {price}, seen after")),
            "{output}"
        );
    }
    assert!(output.contains("hits in memory"), "{output}");
}
