//! The server of the caches goes away, and comes back.

use crate::Backend;
use crate::program::{Program, until};
use crate::sessions::{log_in, me};

const PAGES: [&str; 6] = [
    "/",
    "/report",
    "/users/1",
    "/teams/7",
    "/live",
    "/live/stats",
];

#[tokio::test]
async fn a_cache_that_is_dead_fails_no_page() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        let server = backend.server().expect("it has one");
        server.kill();
        for path in PAGES.repeat(3) {
            let status = program.get(path).await.status;
            assert_eq!(status, 200, "{path} on {}", backend.name());
        }
        assert!(program.metric("response_cache_faults_total").await >= 6);

        server.restart();
        until("page from the cache", async || {
            program.get("/").await.is_hit().then_some(())
        })
        .await;
        until("user from the cache", async || {
            let before = program.database_reads().await;
            assert_eq!(program.get("/users/1").await.status, 200);
            (program.database_reads().await == before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_cache_that_hangs_fails_no_page() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        let server = backend.server().expect("it has one");
        server.pause();
        for path in PAGES {
            let status = program.get(path).await.status;
            assert_eq!(status, 200, "{path} on {}", backend.name());
        }
        server.resume();
    }
}

#[tokio::test]
async fn without_the_cache_nobody_is_logged_in_nor_logged_out() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        let cookie = log_in(&program).await;
        assert_eq!(me(&program, &cookie).await, 200);
        let server = backend.server().expect("it has one");
        server.kill();
        for _ in 0..3 {
            assert_eq!(me(&program, &cookie).await, 503, "{}", backend.name());
        }
        let login = program.send("POST", "/login", &[], r#"{"user": 1}"#).await;
        assert_eq!((login.status, login.lines("set-cookie").len()), (503, 0));
        assert_eq!(login.lines("retry-after"), [b"1"]);
        let logout = program
            .send("POST", "/logout", &[("cookie", &cookie)], "")
            .await;
        assert_eq!(logout.status, 503);
    }
}

#[tokio::test]
async fn a_write_that_caches_do_not_hear_of_says_so_and_can_be_sent_again() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        assert_eq!(program.get("/users/1").await.json()["name"], "Alice");
        let server = backend.server().expect("it has one");
        server.kill();
        let body = r#"{"name": "Ada", "team": 7}"#;
        let put = program.send("PUT", "/users/1", &[], body).await;
        assert_eq!(put.status, 503);
        let expected = "written, but caches may not know yet: send it again";
        assert_eq!(put.json()["error"], expected);

        server.restart();
        until("write that all have heard of", async || {
            let put = program.send("PUT", "/users/1", &[], body).await;
            (put.status == 200).then_some(())
        })
        .await;
        assert_eq!(program.get("/users/1").await.json()["name"], "Ada");
    }
}
