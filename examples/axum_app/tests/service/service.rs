//! Users and teams, of one process.

use futures_util::future::join_all;
use serde_json::json;

use crate::Backend;
use crate::program::Program;

#[tokio::test]
async fn many_who_want_a_user_at_the_same_time_cost_one_query() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        let answers = join_all((0..50).map(|_| program.get("/users/1"))).await;
        let alice = json!({ "id": 1, "name": "Alice", "team": 7, "team_name": "Red" });
        for answer in answers {
            assert_eq!((answer.status, answer.json()), (200, alice.clone()));
        }
        assert_eq!(program.database_reads().await, 1, "{}", backend.name());
    }
}

#[tokio::test]
async fn what_is_put_is_what_the_next_request_gets() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        assert_eq!(program.get("/users/2").await.json()["name"], "Bob");
        let body = r#"{"name": "Robert", "team": 8}"#;
        let put = program.send("PUT", "/users/2", &[], body).await;
        let robert = json!({ "id": 2, "name": "Robert", "team": 8, "team_name": "Blue" });
        assert_eq!((put.status, put.json()), (200, robert.clone()));
        for _ in 0..3 {
            let name = backend.name();
            assert_eq!(program.get("/users/2").await.json(), robert, "{name}");
        }
        assert_eq!(program.database_reads().await, 2);
    }
}

#[tokio::test]
async fn a_user_that_is_forgotten_is_loaded_again() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        program.get("/users/1").await;
        let forgotten = program.send("DELETE", "/users/1/cache", &[], "").await;
        assert_eq!(forgotten.status, 204);
        assert_eq!(program.get("/users/1").await.status, 200);
        assert_eq!(program.database_reads().await, 2, "{}", backend.name());
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_until_it_is_put() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        assert_eq!(program.get("/users/9").await.status, 404);
        assert_eq!(program.get("/teams/9").await.status, 404);
        assert_eq!(program.get("/users/nobody").await.status, 400);
        let renamed = program.send("POST", "/teams/9/rename", &[], r#"{"name": "X"}"#);
        assert_eq!(renamed.await.status, 404);
        let in_no_team = r#"{"name": "Dave", "team": 9}"#;
        let put = program.send("PUT", "/users/9", &[], in_no_team).await;
        assert_eq!(put.status, 422);

        let put = program.send("PUT", "/users/9", &[], r#"{"name": "Dave", "team": 8}"#);
        assert_eq!(put.await.status, 200);
        assert_eq!(program.get("/users/9").await.json()["name"], "Dave");
    }
}

#[tokio::test]
async fn a_team_is_loaded_again_when_somebody_leaves_joins_or_changes() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        let members = async |team: u32| {
            let team = program.get(&format!("/teams/{team}")).await.json();
            let members = team["members"].as_array().expect("it has members").clone();
            let names = members.iter().map(|user| user["name"].as_str());
            names
                .map(|name| name.expect("a name").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(members(7).await, ["Alice", "Bob"]);
        assert_eq!(members(8).await, ["Carol"]);

        program
            .send("PUT", "/users/2", &[], r#"{"name": "Bob", "team": 8}"#)
            .await;
        assert_eq!(members(7).await, ["Alice"], "{}", backend.name());
        assert_eq!(members(8).await, ["Bob", "Carol"]);

        program
            .send("PUT", "/users/1", &[], r#"{"name": "Ada", "team": 7}"#)
            .await;
        assert_eq!(members(7).await, ["Ada"]);
        let reads = program.database_reads().await;
        assert_eq!(members(8).await, ["Bob", "Carol"]);
        assert_eq!(program.database_reads().await, reads);
    }
}

#[tokio::test]
async fn a_team_that_is_renamed_takes_its_users_with_it_and_no_others() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        for path in ["/users/1", "/users/3", "/teams/7", "/teams/8"] {
            assert_eq!(program.get(path).await.status, 200);
        }
        assert_eq!(program.database_reads().await, 4);

        let renamed = program.send("POST", "/teams/7/rename", &[], r#"{"name": "Green"}"#);
        assert_eq!(renamed.await.status, 204);
        let name = backend.name();
        assert_eq!(
            program.get("/users/1").await.json()["team_name"],
            "Green",
            "{name}"
        );
        assert_eq!(
            program.get("/teams/7").await.json()["name"],
            "Green",
            "{name}"
        );
        assert_eq!(program.get("/users/3").await.json()["team_name"], "Blue");
        assert_eq!(program.get("/teams/8").await.json()["name"], "Blue");
        assert_eq!(program.database_reads().await, 6, "{name}");
    }
}

#[tokio::test]
async fn a_report_is_kept_as_a_whole() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        let first = program.get("/report").await;
        assert_eq!(first.json(), json!({ "members": { "Blue": 1, "Red": 2 } }));
        assert!(!first.is_hit());
        let second = program.get("/report").await;
        assert_eq!(second.body, first.body);
        assert!(second.is_hit(), "{}", backend.name());
        assert_eq!(program.database_reads().await, 1);
    }
}
