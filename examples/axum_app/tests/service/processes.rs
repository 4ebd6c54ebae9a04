//! Two processes that share a server and a database.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tempfile::TempDir;

use crate::Backend;
use crate::http::Http;
use crate::program::{Program, until};
use crate::sessions::{log_in, me};

/// How old a value may be that was read after a write in another process had returned.
const BOUND: Duration = Duration::from_secs(1);

/// Waits until a process serves this name, and checks that it did in time.
async fn sees(http: &Http, path: &str, field: &str, expected: &str) {
    let start = Instant::now();
    until(expected, async || {
        let answer = http.get(path).await;
        assert!(matches!(answer.status, 200 | 404), "{}", answer.status);
        (answer.json()[field] == expected).then_some(())
    })
    .await;
    let took = start.elapsed();
    assert!(took < BOUND, "{path}: {expected} after {took:?}");
}

fn two_with_one_database(backend: &Backend) -> (TempDir, Program, Program) {
    let folder = tempfile::tempdir().expect("a directory is made");
    let file = folder.path().join("database.json");
    let variables = [("DATABASE_FILE", file.to_str().expect("it is text"))];
    let start = || Program::start_with(backend, &variables);
    let (first, second) = (start(), start());
    (folder, first, second)
}

#[tokio::test]
async fn what_one_process_writes_another_serves_within_a_second() {
    for backend in Backend::shared() {
        let (_folder, writer, reader) = two_with_one_database(&backend);
        sees(&reader, "/users/1", "name", "Alice").await;
        sees(&reader, "/teams/7", "name", "Red").await;
        sees(&reader, "/users/9", "error", "not found").await;

        for name in ["Ada", "Anna", "Amy"] {
            let row = format!(r#"{{"name": "{name}", "team": 7}}"#);
            let put = writer.send("PUT", "/users/1", &[], &row).await;
            assert_eq!(put.status, 200);
            sees(&reader, "/users/1", "name", name).await;
        }
        let put = writer.send("PUT", "/users/9", &[], r#"{"name": "Dave", "team": 8}"#);
        assert_eq!(put.await.status, 200);
        sees(&reader, "/users/9", "name", "Dave").await;
        for name in ["Green", "Gold"] {
            let body = format!(r#"{{"name": "{name}"}}"#);
            let renamed = writer.send("POST", "/teams/7/rename", &[], &body).await;
            assert_eq!(renamed.status, 204);
            sees(&reader, "/users/1", "team_name", name).await;
            sees(&reader, "/teams/7", "name", name).await;
        }
    }
}

#[tokio::test]
async fn what_one_process_has_loaded_another_does_not_load_again() {
    for backend in Backend::shared() {
        let first = Program::start(&backend);
        let second = Program::start(&backend);
        let bob = first.get("/users/2").await;
        // Each listens on a port of its own, and what is for one host is not for another.
        let host = [("host", "service.test")];
        let report = first.get_with("/report", &host).await;
        assert_eq!(second.get("/users/2").await.body, bob.body);
        assert_eq!(second.get_with("/report", &host).await.body, report.body);
        assert_eq!(second.database_reads().await, 0, "{}", backend.name());
    }
}

#[tokio::test]
async fn a_logout_in_one_process_counts_at_once_in_the_other() {
    for backend in Backend::shared() {
        let (_folder, first, second) = two_with_one_database(&backend);
        let cookie = log_in(&first).await;
        for _ in 0..3 {
            assert_eq!(me(&second, &cookie).await, 200);
        }
        let logout = first
            .send("POST", "/logout", &[("cookie", &cookie)], "")
            .await;
        assert_eq!(logout.status, 204);
        assert_eq!(me(&second, &cookie).await, 401, "{}", backend.name());
    }
}

#[tokio::test]
async fn what_two_processes_write_at_the_same_time_is_all_there() {
    let (_folder, first, second) = two_with_one_database(&Backend::Local);
    let ids = 100..200;
    let puts = ids.clone().map(async |id| {
        let program = if id % 2 == 0 { &first } else { &second };
        let path = format!("/users/{id}");
        let put = program.send("PUT", &path, &[], r#"{"name": "Dave", "team": 8}"#);
        assert_eq!(put.await.status, 200);
    });
    join_all(puts).await;
    for id in ids {
        assert_eq!(first.get(&format!("/users/{id}")).await.status, 200, "{id}");
    }
}

#[tokio::test]
async fn who_asks_with_a_session_that_there_is_not_writes_nothing() {
    let (folder, first, _second) = two_with_one_database(&Backend::Local);
    let unknown = format!("session={}", "0".repeat(32));
    assert_eq!(me(&first, &unknown).await, 401);
    assert!(!folder.path().join("database.json").exists());
    log_in(&first).await;
    assert!(folder.path().join("database.json").exists());
}
