//! The program of the guide runs unchanged on Redis and Valkey: the environment decides.

use std::path::PathBuf;
use std::process::Command;

use cache_testbed::{Cluster, Flavor, Server};

const GUIDE: &str = "04_cache_management";

/// What the program prints. One line tells what a backend counts: a server frees entries itself.
fn expected() -> String {
    let local = include_str!("../04_cache_management.out");
    let freed = "Entries freed in the background: ";
    local.replace(&format!("{freed}5"), &format!("{freed}0"))
}

/// Runs an example with a URL of servers in its environment and returns what it prints.
fn run(example: &str, url: &str) -> String {
    run_on("redis", example, url)
}

fn run_on(backend: &str, example: &str, url: &str) -> String {
    // Examples are built beside the tests.
    let test = std::env::current_exe().expect("the test knows its own path");
    let program: PathBuf = test
        .ancestors()
        .nth(2)
        .expect("tests are built in a folder of the profile")
        .join("examples")
        .join(example);
    let output = Command::new(program)
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
        assert_eq!(run(GUIDE, &server.url()), expected(), "{flavor:?}");
        // It was really there.
        assert!(server.calls("set") > 200);
    }
}

#[test]
fn the_program_of_the_guide_prints_the_same_on_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    assert_eq!(run(GUIDE, &cluster.url()), expected());
}

#[test]
fn the_program_of_the_guide_prints_the_same_on_two_tiers() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        let output = run_on("tiered", GUIDE, &server.url());
        assert_eq!(output, expected(), "{flavor:?}");
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
