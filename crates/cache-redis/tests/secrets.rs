//! Passwords, keys and values appear in nothing that is printed or logged, at any level. Alone in its program, as
//! what is logged is the whole program's.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    Acquired, BackendWrite, CacheBackend, Claim, Condition, Expiry, Scope, TransactionWrite,
};
use cache_redis::{Protocol, RedisConfig, RedisStore};
use cache_testbed::{Flavor, Sentinels, Server};

const PASSWORD: &str = "canary-of-the-password";
const KEY: &str = "canary-of-the-key";
const WORKS: &str = "the server is healthy";
const FAILS: &str = "this cannot work";
const VALUE: &str = "canary-of-the-value";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("nobody panics while logging")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines()).into_owned()
    }

    fn print(&self, shown: impl Debug) {
        self.lines().extend(format!("{shown:?}\n").into_bytes());
    }

    fn print_error(&self, error: &cache_core::Error) {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            self.print(format!("{error} {error:?}"));
            cause = error.source();
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_output_at_any_level_shows_a_password_a_key_or_a_value() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .init();

    let server = Server::builder(Flavor::Redis7).password(PASSWORD).start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let config = RedisConfig::from_url(&server.url())
            .unwrap()
            .protocol(protocol);
        log.print(&config);
        use_all(&config, &log).await;
        fail_all(&config, &server, &log).await;
    }
    let sentinels = Sentinels::start(Flavor::Redis7);
    let url = format!("{}&sentinelPassword={PASSWORD}", sentinels.url());
    let config = RedisConfig::from_url(&url).unwrap();
    log.print(&config);
    if let Err(error) = RedisStore::connect(config).await {
        log.print_error(&error);
    }

    let text = log.text();
    // The log is really one, of ours and of the client's.
    assert!(text.contains("operation=\"get\""), "no spans of ours");
    assert!(text.contains("fred"), "no lines of the client");
    assert!(text.contains("cause=\"WRONGPASS"), "no reason of ours");
    for canary in [PASSWORD, KEY, VALUE] {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(canary)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// Uses every operation.
async fn use_all(config: &RedisConfig, log: &Log) {
    let store = RedisStore::connect(config.clone()).await.expect(WORKS);
    let minute = Expiry::After(Duration::from_secs(60));
    let options = BackendWrite::new(minute, Condition::Always);
    store
        .set(KEY, Bytes::from(VALUE), options)
        .await
        .expect(WORKS);
    store.get(KEY).await.expect(WORKS);
    log.print(store.get_entry(KEY).await.expect(WORKS));
    store
        .swap(KEY, Bytes::from(VALUE), minute)
        .await
        .expect(WORKS);
    store
        .set_many(vec![(KEY, Bytes::from(VALUE))], minute)
        .await
        .expect(WORKS);
    store.get_many(&[KEY]).await.expect(WORKS);
    store.expiry(KEY).await.expect(WORKS);
    store.set_expiry(KEY, Expiry::Never).await.expect(WORKS);
    store
        .scan(&Scope::root(), cache_core::Cursor::Start, 10)
        .await
        .expect(WORKS);
    store.delete(KEY, Condition::Always).await.expect(WORKS);
    use_leases(&store, log).await;
    use_transactions(&store, log).await;
    store.clear(&Scope::root()).await.expect(WORKS);
    log.print((&store, store.wire_stats(), store.stats()));
}

async fn use_leases(store: &RedisStore, log: &Log) {
    let leases = store.abilities().leases.expect("a namespace has leases");
    let minute = Duration::from_secs(60);
    let claim = leases.claim(KEY, minute).await.expect(WORKS);
    log.print(&claim);
    if let Claim::Granted(lease) = claim {
        leases.ended(KEY, Duration::from_millis(50)).await;
        leases.extend(KEY, lease, minute).await.expect(WORKS);
        let value = Bytes::from(VALUE);
        let filled = leases.fill(KEY, lease, value.clone(), Expiry::Never);
        assert!(filled.await.expect(WORKS));
        log.print(leases.claim(KEY, minute).await.expect(WORKS));
        leases.release(KEY, lease).await.expect(WORKS);
        leases.discard(KEY, value).await.expect(WORKS);
    }
    let locks = store.abilities().locks.expect("a namespace has locks");
    let acquired = locks.acquire(KEY, minute).await.expect(WORKS);
    log.print(acquired);
    if let Acquired::Granted(token) = acquired {
        assert!(locks.extend(KEY, token, minute).await.expect(WORKS));
        assert!(locks.release(KEY, token).await.expect(WORKS));
    }
}

async fn use_transactions(store: &RedisStore, log: &Log) {
    let transactions = store.abilities().transactions.expect("it has some");
    for is_conflict in [false, true] {
        let (_, watch) = transactions.watch(&[KEY]).await.expect(WORKS);
        log.print(&watch);
        if is_conflict {
            store.delete(KEY, Condition::Always).await.expect(WORKS);
        }
        let write = TransactionWrite::Set(Bytes::from(VALUE), Expiry::Never);
        log.print(&write);
        match transactions.commit(watch, vec![(KEY, write)]).await {
            Ok(()) => assert!(!is_conflict),
            Err(error) => log.print_error(&error),
        }
    }
}

/// Has operations fail in several ways.
async fn fail_all(config: &RedisConfig, server: &Server, log: &Log) {
    let wrong = config.clone().password(format!("not-the-{PASSWORD}"));
    log.print_error(&RedisStore::connect(wrong).await.expect_err(FAILS));

    let impatient = config.clone().command_timeout(Duration::from_millis(50));
    let store = RedisStore::connect(impatient).await.expect(WORKS);
    let list = format!("cache:{KEY}");
    server.command(&["RPUSH", &list, VALUE]);
    log.print_error(
        &store
            .swap(KEY, Bytes::from(VALUE), Expiry::Never)
            .await
            .expect_err(FAILS),
    );
    server.command(&["DEL", &list]);
    server.pause();
    let options = BackendWrite::new(Expiry::Never, Condition::Always);
    for _ in 0..3 {
        let written = store.set(KEY, Bytes::from(VALUE), options.clone()).await;
        log.print_error(&written.expect_err(FAILS));
    }
    server.resume();
    server.kill();
    let locks = store.abilities().locks.expect("a namespace has locks");
    let error = locks.acquire(KEY, Duration::from_secs(60)).await;
    log.print_error(&error.expect_err(FAILS));
    for _ in 0..3 {
        if let Err(error) = store.get_many(&[KEY]).await {
            log.print_error(&error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.restart();
    change_password(config, server, log).await;
}

/// Has the server want another password for a while.
async fn change_password(config: &RedisConfig, server: &Server, log: &Log) {
    let store = RedisStore::connect(config.clone()).await.expect(WORKS);
    let change = |password| {
        let change = ["CONFIG", "SET", "requirepass", password];
        server.command(&change).assert_ok();
    };
    change("another");
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for _ in 0..50 {
        if let Err(error) = store.get(KEY).await {
            log.print_error(&error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    change(PASSWORD);
}
