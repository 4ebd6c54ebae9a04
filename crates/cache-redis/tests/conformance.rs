//! The contract, clause by clause, on every server, topology, protocol and format.

use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cache_conformance::{Erased, Fixture, TestValue, conformance_tests};
use cache_core::{CacheBackend, Compression, EncodedBackend, JsonCodec, MsgPackCodec};
use cache_redis::{Protocol, RedisBackend, RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Sentinels, Server};

static REDIS_7: LazyLock<Server> = LazyLock::new(|| Server::builder(Flavor::Redis7).start());
static REDIS_8: LazyLock<Server> = LazyLock::new(|| Server::builder(Flavor::Redis8).start());
static VALKEY_9: LazyLock<Server> = LazyLock::new(|| Server::builder(Flavor::Valkey9).start());
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(Flavor::Redis7));
static SENTINELS: LazyLock<Sentinels> = LazyLock::new(|| Sentinels::start(Flavor::Redis7));
static ACL: LazyLock<Server> = LazyLock::new(|| {
    let server = Server::builder(Flavor::Redis7).password("root");
    server.acl_user(LEAST_PRIVILEGE).start()
});

/// The user of `docs/redis.md`.
const LEAST_PRIVILEGE: &str = "app on >secret ~conformance-* -@all +get +set +mget +mset +unlink \
    +pttl +pexpire +persist +scan +evalsha +eval +ping +hello +auth +select +client|id \
    +client|setname +info +role +getrange +setrange +time +watch +unwatch +multi +exec +incrby";

/// As many databases as a server has.
const DATABASES: u64 = 16;

/// Stores on one server, each with a namespace of its own.
struct Remote<V, B> {
    config: RedisConfig,
    databases: u64,
    wrap: fn(RedisStore) -> B,
    value: PhantomData<V>,
}

impl<V: TestValue, B: CacheBackend<V>> Fixture for Remote<V, B> {
    type Value = V;
    type Backend = B;

    async fn fresh(&self) -> B {
        (self.wrap)(connect(self.config.clone(), self.databases).await)
    }

    async fn oversized(&self) -> Option<(B, V)> {
        let config = self.config.clone().max_value_bytes(1_000);
        let store = connect(config, self.databases).await;
        // Noise, which no compression makes smaller.
        let noise: String = (0..2_000_u64)
            .map(|i| {
                char::from(b'a' + (i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 16) as u8 % 26)
            })
            .collect();
        Some(((self.wrap)(store), V::from_text(&noise)))
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(40)
    }
}

impl<V, B> Remote<V, B> {
    /// A cluster has one.
    fn in_one_database(mut self) -> Self {
        self.databases = 1;
        self
    }
}

/// Connects a store with a namespace of its own, to each database in turn: a scan walks the keys of all tests that
/// are in the same.
async fn connect(config: RedisConfig, databases: u64) -> RedisStore {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let config = config.namespace(format!("conformance-{number}"));
    let config = config.database((number % databases) as u8);
    let store = RedisStore::connect(config).await;
    store.expect("the server is there")
}

/// A fixture of a server at a URL.
fn at<V, B>(url: &str, wrap: fn(RedisStore) -> B) -> Remote<V, B> {
    with(RedisConfig::from_url(url).expect("the URL is right"), wrap)
}

fn with<V, B>(config: RedisConfig, wrap: fn(RedisStore) -> B) -> Remote<V, B> {
    // The suite runs many tests at once; a loaded machine is not what it is about.
    let patience = Duration::from_secs(10);
    Remote {
        config: config.command_timeout(patience).connect_timeout(patience),
        databases: DATABASES,
        wrap,
        value: PhantomData,
    }
}

fn msgpack(store: RedisStore) -> RedisBackend<MsgPackCodec> {
    EncodedBackend::new(store, MsgPackCodec::new())
}

fn json(store: RedisStore) -> RedisBackend<JsonCodec> {
    EncodedBackend::new(store, JsonCodec::new())
}

fn lz4(store: RedisStore) -> RedisBackend<MsgPackCodec> {
    msgpack(store).with_compression(Compression::lz4().above(0))
}

fn raw(store: RedisStore) -> RedisBackend<JsonCodec> {
    json(store).raw()
}

fn plain(store: RedisStore) -> RedisStore {
    store
}

fn as_least_privileged_user() -> RedisConfig {
    let config = RedisConfig::standalone("127.0.0.1", ACL.port());
    config.username("app").password("secret")
}

fn resp2() -> RedisConfig {
    RedisConfig::standalone("127.0.0.1", VALKEY_9.port()).protocol(Protocol::Resp2)
}

// MessagePack alone is run on Redis 7 as a user with few rights, on a cluster, over Sentinels and with RESP2, and
// each server with another codec or a compression.
conformance_tests!(
    #[ignore = "repeats acl_user; run by ./scripts/test --long"]
    redis_7,
    at(&REDIS_7.url(), msgpack) as Remote<String, _>
);
conformance_tests!(
    #[ignore = "repeats with_json; run by ./scripts/test --long"]
    redis_8,
    at(&REDIS_8.url(), msgpack) as Remote<String, _>
);
conformance_tests!(
    #[ignore = "repeats with_lz4; run by ./scripts/test --long"]
    valkey_9,
    at(&VALKEY_9.url(), msgpack) as Remote<String, _>
);
conformance_tests!(
    cluster,
    at(&CLUSTER.url(), msgpack).in_one_database() as Remote<String, _>,
    erased = false
);
conformance_tests!(
    sentinels,
    at(&SENTINELS.url(), msgpack) as Remote<String, _>,
    erased = false
);
conformance_tests!(
    acl_user,
    with(as_least_privileged_user(), msgpack) as Remote<String, _>
);
conformance_tests!(
    with_resp2,
    with(resp2(), msgpack) as Remote<String, _>,
    erased = false
);
// The tests of erased backends, which are compiled for the least privileged user anyway.
conformance_tests!(
    with_json,
    Erased::new(at(&REDIS_8.url(), json) as Remote<String, _>),
    erased = false
);
conformance_tests!(
    with_lz4,
    at(&VALKEY_9.url(), lz4) as Remote<String, _>,
    erased = false
);
conformance_tests!(
    with_raw_json,
    Erased::new(at(&REDIS_7.url(), raw) as Remote<String, _>),
    erased = false
);
conformance_tests!(plain_bytes, at(&REDIS_8.url(), plain) as Remote<Bytes, _>);

/// Transactions of several keys, which need a slot in common.
mod cluster_with_hash_tags {
    use cache_conformance::suite::{commits, transactions};
    use cache_redis::RedisConfig;

    use super::{CLUSTER, Remote, msgpack, with};

    macro_rules! tests {
        ($($module:ident::$test:ident)*) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let config = RedisConfig::from_url(&CLUSTER.url()).expect("the URL is right");
                let fixture: Remote<String, _> =
                    with(config.hash_tags(true), msgpack).in_one_database();
                $module::$test(&fixture).await.expect("nothing is skipped");
            }
        )*};
    }

    tests! {
        transactions::c36_a_watch_answers_as_get_many
        transactions::c36_a_commit_makes_all_its_writes
        transactions::c36_no_watch_sees_a_commit_in_part
        transactions::c37_a_conflict_stops_all_writes
        commits::c36_what_commits_move_is_neither_lost_nor_made
        commits::c27_a_commit_of_what_never_fits_changes_nothing
    }
}

/// Over TLS, by whichever libraries are built in.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls {
    use std::sync::LazyLock;

    use cache_conformance::conformance_tests;
    use cache_redis::{RedisConfig, Tls};
    use cache_testbed::{Flavor, Server, TestCa};

    use super::{Remote, msgpack, with};

    static CA: LazyLock<TestCa> = LazyLock::new(TestCa::new);
    static TLS: LazyLock<Server> = LazyLock::new(|| {
        let server = Server::builder(Flavor::Redis7).tls(&CA);
        server.require_client_certificates().start()
    });

    fn tls() -> Tls {
        let client = CA.client();
        Tls::new()
            .trust_only(CA.pem())
            .client_certificate(client.pem, client.key_pem)
    }

    fn over_tls(tls: Tls) -> RedisConfig {
        RedisConfig::standalone("127.0.0.1", TLS.port()).tls(tls)
    }

    #[cfg(feature = "rustls")]
    conformance_tests!(
        tls_rustls,
        with(over_tls(tls()), msgpack) as Remote<String, _>,
        erased = false
    );
    #[cfg(feature = "native-tls")]
    conformance_tests!(
        tls_native,
        with(over_tls(tls().native()), msgpack) as Remote<String, _>,
        erased = false
    );
}
