//! Sessions.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::Backend;
use crate::http::Http;
use crate::program::Program;

/// Logs a user in and returns the cookie.
pub(crate) async fn log_in(http: &Http) -> String {
    let answer = http.send("POST", "/login", &[], r#"{"user": 1}"#).await;
    assert_eq!(answer.status, 200);
    let line = answer.headers["set-cookie"].to_str().expect("it is text");
    let (cookie, attributes) = line.split_once("; ").expect("it has attributes");
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    cookie.to_owned()
}

/// Returns the status of a page for those who have logged in.
pub(crate) async fn me(http: &Http, cookie: &str) -> u16 {
    http.get_with("/me", &[("cookie", cookie)]).await.status
}

#[tokio::test]
async fn a_session_begins_with_a_login_and_ends_with_a_logout() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        assert_eq!(program.get("/me").await.status, 401);
        let cookie = log_in(&program).await;
        let other = log_in(&program).await;
        assert_ne!(cookie, other, "each login has an id of its own");
        let mixed = format!("theme=dark; {cookie}; lang=de");
        let answer = program.get_with("/me", &[("cookie", &mixed)]).await;
        assert_eq!(
            (answer.status, &answer.json()["name"]),
            (200, &"Alice".into())
        );

        let logout = program
            .send("POST", "/logout", &[("cookie", &cookie)], "")
            .await;
        assert_eq!(logout.status, 204);
        assert_eq!(me(&program, &cookie).await, 401, "{}", backend.name());
        assert_eq!(me(&program, &other).await, 200);
    }
}

#[tokio::test]
async fn nobody_logs_in_with_an_id_that_was_not_given_out() {
    let program = Program::start(&Backend::Local);
    log_in(&program).await;
    let (long, foreign) = ("0".repeat(8_000), "0".repeat(32));
    for id in ["", "..", "*", "user:1", &foreign, &long] {
        assert_eq!(me(&program, &format!("session={id}")).await, 401, "{id}");
    }
    let nobody = program.send("POST", "/login", &[], r#"{"user": 9}"#).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.lines("set-cookie").is_empty());
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    const IDLE: Duration = Duration::from_secs(2);
    // At the same time, as it is time that this waits for.
    join_all(Backend::all().iter().map(async |backend| {
        let program = Program::start_with(backend, &[("SESSION_SECONDS", "2")]);
        let cookie = log_in(&program).await;
        let start = Instant::now();
        // Used for twice as long as it lives without a request.
        while start.elapsed() < 2 * IDLE {
            assert_eq!(me(&program, &cookie).await, 200, "{}", backend.name());
            sleep(IDLE / 10).await;
        }
        // Nothing else than time ends it, and to ask would begin that time anew.
        sleep(IDLE + IDLE / 4).await;
        assert_eq!(me(&program, &cookie).await, 401, "{}", backend.name());
    }))
    .await;
}
