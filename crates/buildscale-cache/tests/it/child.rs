//! A process of its own for what the environment says: the environment belongs to a process.

use std::process::Command;

/// Set in the child processes only.
const CHILD: &str = "VARIABLES_TEST_CHILD";

/// Runs a test of this program in a process with these variables and returns what it reports.
pub(crate) fn report_of(test: &str, variables: &[(&str, &str)]) -> String {
    let this_program = std::env::current_exe().expect("the test knows its own path");
    let output = Command::new(this_program)
        .args(["--exact", test, "--nocapture"])
        .env_remove("BUILDSCALE_CACHE_REDIS_URL")
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("the test can start itself");
    let stdout = String::from_utf8(output.stdout).expect("the report is text");
    let report = stdout.split("report: ").nth(1).expect("the child reports");
    report.lines().next().expect("it is a line").to_owned()
}

/// Tells whether this process is to report; in a run of all tests there is nothing to report.
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}
