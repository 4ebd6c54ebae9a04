//! The commands that the README begins with: what they build, and how the program ends.
//!
//! A test binary of its own: to build beside the other programs would slow them down.

#[path = "shared/output.rs"]
mod output;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use cache_testbed::{Flavor, Server};
use serde_json::Value;

const PROGRAM: &str = "04_cache_management";

const URL: &str = "BUILDSCALE_CACHE_REDIS_URL";

/// How many packages the first command may build; each one more is time that a reader waits.
const MOST_PACKAGES: usize = 61;

/// Builds the program at the root of the workspace, as `cargo run` with these arguments does, and
/// runs it. Returns the packages that it is made of, and what it prints.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (BTreeSet<String>, Output) {
    // Whatever its features are, the program is built at the same place.
    static PLACE: Mutex<()> = Mutex::new(());
    let _guard = PLACE.lock().unwrap_or_else(PoisonError::into_inner);

    let build = Command::new(env!("CARGO"))
        .args(["build", "--message-format=json", "--example", PROGRAM])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("cargo is there");
    let errors = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "{errors}");

    let (mut packages, mut program) = (BTreeSet::new(), None);
    for line in build.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let Some(id) = message["package_id"].as_str() {
            packages.insert(name(id).to_owned());
        }
        if let Some(path) = message["executable"].as_str() {
            program = Some(path.to_owned());
        }
    }
    let ended = Command::new(program.expect("the program is built"))
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    (packages, ended)
}

/// Returns the name in what cargo calls a package: `…#name@version`, or `…/name#version`.
fn name(id: &str) -> &str {
    let (place, version) = id.rsplit_once('#').expect("it holds a version");
    let in_folder = || place.rsplit('/').next().expect("it holds a folder");
    version
        .split_once('@')
        .map_or_else(in_folder, |(name, _)| name)
}

#[test]
fn the_first_command_builds_the_embedded_backend_and_nothing_else_of_ours() {
    let (packages, ended) = run(&[], &[]);
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stdout), output::LOCAL);

    let is_ours = |name: &&String| name.contains("cache");
    let ours: Vec<&String> = packages.iter().filter(is_ours).collect();
    assert_eq!(
        ours,
        [
            "buildscale-cache",
            "cache-core",
            "cache-examples",
            "cache-local",
            "cache-settings"
        ]
    );
    for heavy in ["axum", "fred", "metrics", "redb", "url", "zstd-sys"] {
        assert!(!packages.contains(heavy), "it builds {heavy}");
    }
    let count = packages.len();
    assert!(count <= MOST_PACKAGES, "it builds {count}: {packages:?}");
}

#[test]
fn without_the_feature_one_line_names_it_and_the_variable() {
    let (_, ended) = run(&[], &[(URL, "redis://:hunter2@127.0.0.1:6379")]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "");
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "BUILDSCALE_CACHE_REDIS_URL asks for a backend that needs the feature `redis`, \
         which is not built in\n"
    );
}

#[test]
fn with_the_feature_the_same_program_runs_on_redis() {
    let server = Server::builder(Flavor::Redis7).start();
    let (packages, ended) = run(&["--features", "redis"], &[(URL, &server.url())]);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{errors}");
    assert!(packages.contains("fred"));
    assert_eq!(
        String::from_utf8_lossy(&ended.stdout),
        output::on_a_server()
    );
    // It was really there, though writes and reads of many tasks share commands.
    let found: u64 = server.info("keyspace_hits").parse().unwrap();
    assert!(found > 200, "{found}");
}
