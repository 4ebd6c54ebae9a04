//! The program is told to end.

use std::time::{Duration, Instant};

use crate::Backend;
use crate::program::{Program, until};

/// Long before the program would give up on requests that are under way.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn either_signal_ends_the_program_and_those_who_watch_it() {
    for backend in Backend::all() {
        for name in ["INT", "TERM"] {
            let mut program = Program::start(&backend);
            let mut stream = program.start_events().await;
            let first = stream.piece().await.expect("the first comes at once");
            assert!(first.expect("it holds").starts_with(b"data: {"));
            let start = Instant::now();
            program.signal(name);
            // It ends, and does not break.
            until("end of the stream", async || match stream.piece().await {
                None => Some(()),
                Some(piece) => piece.map(|_| None).expect("it ends well"),
            })
            .await;
            let status = program.end().await;
            assert!(status.success(), "{name} on {}: {status}", backend.name());
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        }
    }
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_and_no_other_one_is_taken() {
    for backend in Backend::shared() {
        for name in ["INT", "TERM"] {
            let folder = tempfile::tempdir().expect("a directory is made");
            let file = folder.path().join("database.json");
            let variables = [("DATABASE_FILE", file.to_str().expect("it is text"))];
            let mut program = Program::start_with(&backend, &variables);
            assert_eq!(program.get("/users/1").await.status, 200);
            // A server that hangs holds the request back for as long as a cache may take.
            let server = backend.server().expect("it has one");
            server.pause();
            let http = program.client();
            let body = r#"{"name": "Ada", "team": 7}"#;
            let put = tokio::spawn(async move { http.send("PUT", "/users/1", &[], body).await });
            // From here on it waits for the caches. How long that is yet is not checked: a machine
            // that is busy may get to the next line late.
            until("write", async || file.exists().then_some(())).await;
            program.signal(name);
            until("closed door", async || {
                (!program.takes_connections().await).then_some(())
            })
            .await;
            let put = put.await.expect("it does not panic");
            assert_eq!((put.status, &put.json()["name"]), (202, &"Ada".into()));
            assert!(
                program.end().await.success(),
                "{name} on {}",
                backend.name()
            );
            server.resume();
        }
    }
}
