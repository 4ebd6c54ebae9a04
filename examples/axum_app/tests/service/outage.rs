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
async fn without_the_cache_nobody_is_logged_out_but_those_who_log_out() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        let (stays, leaves) = (log_in(&program).await, log_in(&program).await);
        for cookie in [&stays, &leaves] {
            assert_eq!(me(&program, cookie).await, 200);
        }
        let server = backend.server().expect("it has one");
        server.kill();
        let name = backend.name();
        for _ in 0..3 {
            assert_eq!(me(&program, &stays).await, 200, "{name}");
        }
        let comes = log_in(&program).await;
        let unknown = format!("session={}", "0".repeat(32));
        assert_eq!(me(&program, &unknown).await, 401);
        let logout = program
            .send("POST", "/logout", &[("cookie", &leaves)], "")
            .await;
        assert_eq!((logout.status, logout.lines("set-cookie").len()), (202, 1));
        assert_eq!(me(&program, &leaves).await, 401, "{name}");

        server.restart();
        all_told(&program).await;
        for (cookie, status) in [(&stays, 200), (&comes, 200), (&leaves, 401)] {
            assert_eq!(me(&program, cookie).await, status, "{name}");
        }
    }
}

#[tokio::test]
async fn caches_that_could_not_be_told_of_a_write_are_told_later() {
    for backend in Backend::shared() {
        let program = Program::start(&backend);
        let cookie = log_in(&program).await;
        assert_eq!(me(&program, &cookie).await, 200);
        assert_eq!(program.get("/users/1").await.json()["name"], "Alice");
        assert_eq!(program.get("/teams/7").await.json()["name"], "Red");
        // It keeps the old values: worse than one that comes back empty.
        let server = backend.server().expect("it has one");
        server.command(&["ACL", "SETUSER", "default", "-@write"]);
        let put = r#"{"name": "Ada", "team": 7}"#;
        for (method, path, body) in [
            ("PUT", "/users/1", put),
            ("POST", "/teams/7/rename", r#"{"name": "Green"}"#),
            ("DELETE", "/users/2/cache", ""),
            ("POST", "/logout", ""),
        ] {
            let cookie = [("cookie", cookie.as_str())];
            let answer = program.send(method, path, &cookie, body).await;
            assert_eq!(answer.status, 202, "{path} on {}", backend.name());
        }
        assert_eq!(program.metric("changes_untold").await, 1);

        server.command(&["ACL", "SETUSER", "default", "+@write"]);
        all_told(&program).await;
        let user = program.get("/users/1").await.json();
        assert_eq!(
            (&user["name"], &user["team_name"]),
            (&"Ada".into(), &"Green".into())
        );
        let team = program.get("/teams/7").await.json();
        assert_eq!(
            (&team["name"], &team["members"][0]["name"]),
            (&"Green".into(), &"Ada".into())
        );
        assert_eq!(me(&program, &cookie).await, 401, "{}", backend.name());
        let put = program.send("PUT", "/users/1", &[], put).await;
        assert_eq!(put.status, 200);
    }
}

async fn all_told(program: &Program) {
    until("end of what is untold", async || {
        (program.metric("changes_untold").await == 0).then_some(())
    })
    .await;
}
