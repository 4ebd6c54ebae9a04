//! Credentials that change.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry};
use cache_redis::{Credentials, Protocol, RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};
use tokio::time::sleep;

use crate::chain;

const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

/// A user whose password changes, and who knows it.
#[derive(Clone, Default)]
struct Account {
    password: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    valid_for: Option<Duration>,
}

impl Account {
    /// Gives the user another password, and none beside it.
    fn rotate(&self, servers: &[&Server], password: &str) {
        let secret = format!(">{password}");
        for server in servers {
            let user = [
                "ACL",
                "SETUSER",
                "app",
                "on",
                "resetpass",
                &secret,
                "~*",
                "&*",
                "+@all",
            ];
            server.command(&user).assert_ok();
        }
        password.clone_into(&mut self.password());
    }

    fn password(&self) -> MutexGuard<'_, String> {
        self.password.lock().expect("nobody panics meanwhile")
    }

    async fn credentials(self) -> io::Result<Credentials> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let password = self.password().clone();
        let credentials = Credentials::new(password).username("app");
        Ok(match self.valid_for {
            Some(time) => credentials.valid_for(time),
            None => credentials,
        })
    }

    fn config(&self, config: RedisConfig) -> RedisConfig {
        let account = self.clone();
        config.credentials(move || account.clone().credentials())
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn config(server: &Server) -> RedisConfig {
    RedisConfig::standalone("127.0.0.1", server.port())
}

/// Returns how often clients have logged in as the user since the start.
fn logged_in(server: &Server) -> usize {
    let clients = server.command(&["CLIENT", "LIST"]).text();
    clients.matches(" user=app ").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_rotated_under_load_fails_no_operation() {
    for protocol in [Protocol::Resp3, Protocol::Resp2] {
        let server = Server::builder(Flavor::Redis7).start();
        let account = Account {
            valid_for: Some(Duration::from_millis(400)),
            ..Account::default()
        };
        // Some that a line of text would not take.
        account.rotate(&[&server], "first one");
        let store = RedisStore::connect(account.config(config(&server)).protocol(protocol)).await;
        let store = store.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let load = |number: u64| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (key, value) = (format!("key {number}"), Bytes::from(number.to_string()));
                let mut done = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    store.set(&key, value.clone(), PLAIN).await.unwrap();
                    assert_eq!(store.get(&key).await.unwrap(), Some(value.clone()));
                    done += 1;
                }
                done
            })
        };
        let tasks: Vec<_> = (0..8).map(load).collect();
        for turn in 0..5 {
            account.rotate(&[&server], &format!("pass \"word\" {turn}"));
            // Open connections have logged in with it when they are about to do so once more.
            let asked = account.asked();
            while account.asked() < asked + 2 {
                sleep(Duration::from_millis(10)).await;
            }
            // New connections know it at once.
            let other = RedisStore::connect(account.config(config(&server))).await;
            assert_eq!(other.unwrap().get("none").await.unwrap(), None);
        }
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            assert!(task.await.unwrap() > 0);
        }
        let stats = store.wire_stats();
        assert_eq!(
            (stats.unauthorized, stats.reconnects),
            (0, 0),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn connections_that_are_made_later_use_the_password_of_that_time() {
    let server = Server::builder(Flavor::Valkey9).start();
    let account = Account::default();
    account.rotate(&[&server], "old");
    let store = RedisStore::connect(account.config(config(&server))).await;
    let store = store.unwrap();
    store.set("key", Bytes::from("1"), PLAIN).await.unwrap();
    let asked = account.asked();
    account.rotate(&[&server], "new");
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let end = Instant::now() + Duration::from_secs(10);
    while store.get("key").await.ok().flatten() != Some(Bytes::from("1")) {
        assert!(Instant::now() < end, "{:?}", store.get("key").await);
        sleep(Duration::from_millis(10)).await;
    }
    assert!(account.asked() > asked);
    assert_eq!(store.wire_stats().unauthorized, 0);
}

#[tokio::test]
async fn every_node_of_a_cluster_is_logged_in_to_again() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let nodes: Vec<&Server> = cluster.nodes().iter().collect();
    let account = Account {
        valid_for: Some(Duration::from_millis(400)),
        ..Account::default()
    };
    account.rotate(&nodes, "first");
    let addresses = nodes.iter().map(|node| ("127.0.0.1", node.port()));
    let store = RedisStore::connect(account.config(RedisConfig::cluster(addresses))).await;
    let store = store.unwrap();
    let logins = || {
        nodes
            .iter()
            .map(|node| node.calls("auth"))
            .collect::<Vec<_>>()
    };
    let before = logins();
    let end = Instant::now() + Duration::from_secs(10);
    while logins()
        .iter()
        .zip(&before)
        .any(|(now, before)| *now < before + 2)
    {
        assert!(Instant::now() < end, "{:?}", logins());
        sleep(Duration::from_millis(20)).await;
    }
    for number in 0..30 {
        let key = format!("key {number}");
        store.set(&key, Bytes::from("1"), PLAIN).await.unwrap();
    }
    assert!(nodes.iter().all(|node| logged_in(node) > 0));
    assert_eq!(store.wire_stats().reconnects, 0);
}

#[tokio::test]
async fn a_connection_stays_when_it_cannot_log_in_again() {
    let server = Server::builder(Flavor::Redis7).start();
    let account = Account {
        valid_for: Some(Duration::from_millis(200)),
        ..Account::default()
    };
    account.rotate(&[&server], "right");
    let store = RedisStore::connect(account.config(config(&server))).await;
    let store = store.unwrap();
    "wrong".clone_into(&mut account.password());
    let end = Instant::now() + Duration::from_secs(10);
    let asked = account.asked();
    while account.asked() < asked + 2 {
        assert!(Instant::now() < end);
        store.set("key", Bytes::from("1"), PLAIN).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.get("key").await.unwrap(), Some(Bytes::from("1")));
    assert_eq!(store.wire_stats().reconnects, 0);
    // And logs in again as soon as it can.
    "right".clone_into(&mut account.password());
    let before = server.calls("auth");
    while server.calls("auth") == before {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_provider_whose_credentials_have_just_expired_is_not_asked_without_a_pause() {
    let server = Server::builder(Flavor::Redis7).start();
    let account = Account {
        valid_for: Some(Duration::ZERO),
        ..Account::default()
    };
    account.rotate(&[&server], "secret");
    let store = RedisStore::connect(account.config(config(&server))).await;
    let store = store.unwrap();
    let (begin, asked) = (Instant::now(), account.asked());
    sleep(Duration::from_secs(1)).await;
    let most = begin.elapsed().as_millis() / 100 + 1;
    assert!(u128::from(account.asked() - asked) <= most);
    assert_eq!(store.get("none").await.unwrap(), None);
}

#[tokio::test]
async fn a_provider_that_fails_is_named_by_the_error() {
    let server = Server::builder(Flavor::Redis7).password("secret").start();
    let failing = config(&server).credentials(|| async {
        Err::<Credentials, _>(io::Error::other("the token service is away"))
    });
    let error = RedisStore::connect(failing).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    let text = "the provider of credentials has failed: the token service is away";
    assert!(chain(&error).contains(text), "{}", chain(&error));
}

#[tokio::test]
async fn a_wrong_token_is_refused_as_a_wrong_password_is() {
    let server = Server::builder(Flavor::Redis7).password("secret").start();
    let wrong = config(&server)
        .credentials(|| async { Ok::<_, io::Error>(Credentials::new("canary-token")) });
    let error = RedisStore::connect(wrong).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized);
    assert!(!chain(&error).contains("canary"), "{}", chain(&error));
}

#[tokio::test]
async fn a_provider_beside_a_password_or_behind_sentinels_is_refused() {
    let provided = |config: RedisConfig| {
        config.credentials(|| async { Ok::<_, io::Error>(Credentials::new("secret")) })
    };
    let sentinels = RedisConfig::sentinel("main", [("127.0.0.1", 1)]);
    let refused = [
        provided(RedisConfig::default()).password("other"),
        provided(RedisConfig::default()).username("app"),
        provided(sentinels),
    ];
    for config in refused {
        let error = RedisStore::connect(config).await.unwrap_err();
        let ErrorKind::InvalidInput { field, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(field, "credentials");
    }
}
