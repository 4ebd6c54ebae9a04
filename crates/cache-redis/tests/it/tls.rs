//! TLS: what is trusted, and what is not.

use std::time::{Duration, Instant};

use cache_core::{CacheBackend, ErrorKind};
use cache_redis::{RedisConfig, RedisStore, Tls};
use cache_testbed::{Certificate, Flavor, Server, TestCa};

use crate::chain;

/// Both libraries, each trusting one authority.
fn libraries(authority: &TestCa) -> [(&'static str, Tls); 2] {
    let tls = Tls::new().trust_only(authority.pem());
    [("rustls", tls.clone()), ("native", tls.native())]
}

fn config(server: &Server, tls: Tls) -> RedisConfig {
    RedisConfig::standalone("127.0.0.1", server.port()).tls(tls)
}

async fn refusal(config: RedisConfig) -> cache_core::Error {
    let start = Instant::now();
    let error = RedisStore::connect(config)
        .await
        .expect_err("it is refused");
    assert!(start.elapsed() < Duration::from_secs(5));
    error
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_authority_is_trusted() {
    let ca = TestCa::new();
    let server = Server::builder(Flavor::Redis7).tls(&ca).start();
    for (library, tls) in libraries(&ca) {
        let store = RedisStore::connect(config(&server, tls)).await;
        assert!(store.unwrap().ping().await.is_ok(), "{library}");
    }
}

#[tokio::test]
async fn expired_foreign_and_misplaced_certificates_are_refused() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let with = |certificate: Certificate| {
        let server = Server::builder(Flavor::Redis7).tls_certificate(&ca, certificate);
        server.start()
    };
    let cases = [
        ("expired", with(ca.expired())),
        ("of another host", with(ca.wrong_host())),
        ("of another authority", with(other.server())),
    ];
    for (case, server) in &cases {
        for (library, tls) in libraries(&ca) {
            let error = refusal(config(server, tls)).await;
            assert_eq!(
                *error.kind(),
                ErrorKind::Unavailable,
                "{case}, {library}: {}",
                chain(&error)
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_it() {
    let ca = TestCa::new();
    let server = Server::builder(Flavor::Redis7).tls(&ca);
    let server = server.require_client_certificates().start();
    for (library, tls) in libraries(&ca) {
        let error = refusal(config(&server, tls.clone())).await;
        assert_eq!(
            *error.kind(),
            ErrorKind::Unavailable,
            "{library}: {}",
            chain(&error)
        );
        let client = ca.client();
        let tls = tls.client_certificate(client.pem, client.key_pem);
        let store = RedisStore::connect(config(&server, tls)).await;
        assert!(store.unwrap().ping().await.is_ok(), "{library}");
    }
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn a_file_names_the_files_of_certificates() {
    let ca = TestCa::new();
    let server = Server::builder(Flavor::Redis7).tls(&ca);
    let server = server.require_client_certificates().start();
    let client = ca.client();
    let path = |name: &str, pem: &str| {
        let path = server.dir().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let read = |tls: serde_json::Value| {
        let json = serde_json::json!({"url": server.url(), "tls": tls});
        serde_json::from_value::<RedisConfig>(json)
    };
    let (ca_cert, cert) = (path("ca.pem", ca.pem()), path("app.pem", &client.pem));
    let key = path("app.key", &client.key_pem);
    let config = read(serde_json::json!({
        "ca_cert_file": ca_cert, "cert_file": cert, "key_file": key,
    }));
    let store = RedisStore::connect(config.unwrap()).await;
    assert!(store.unwrap().ping().await.is_ok());

    let refused = |tls| read(tls).unwrap_err().to_string();
    let missing = server.dir().join("missing.pem");
    let text = refused(serde_json::json!({ "ca_cert_file": missing }));
    assert!(text.starts_with("tls: ca_cert_file is "), "{text}");
    assert!(
        text.contains("missing.pem") && text.contains("cannot be read"),
        "{text}"
    );
    assert_eq!(
        refused(serde_json::json!({ "cert_file": cert })),
        "tls: key_file is missing: cert_file and key_file come together"
    );
    assert_eq!(
        refused(serde_json::json!({ "key_file": key })),
        "tls: cert_file is missing: cert_file and key_file come together"
    );
}

#[tokio::test]
async fn tls_to_a_plain_port_and_plain_text_to_a_tls_port_are_refused_in_time() {
    let ca = TestCa::new();
    let plain = Server::builder(Flavor::Redis7).start();
    let encrypted = Server::builder(Flavor::Redis7).tls(&ca).start();
    for (library, tls) in libraries(&ca) {
        let error = refusal(config(&plain, tls)).await;
        assert!(error.is_transient(), "{library}: {}", chain(&error));
    }
    let error = refusal(RedisConfig::standalone("127.0.0.1", encrypted.port())).await;
    assert!(
        error.is_transient() || *error.kind() == ErrorKind::Backend,
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn all_authorities_of_a_bundle_are_trusted() {
    let (first, second, stranger) = (
        TestCa::named("first"),
        TestCa::named("second"),
        TestCa::new(),
    );
    let bundle = format!("{}{}", first.pem(), second.pem());
    let tls = Tls::new().trust_only(bundle);
    for (library, tls) in [("rustls", tls.clone()), ("native", tls.native())] {
        for authority in [&first, &second] {
            let server = Server::builder(Flavor::Redis7).tls(authority).start();
            let store = RedisStore::connect(config(&server, tls.clone())).await;
            assert!(store.unwrap().ping().await.is_ok(), "{library}");
        }
        let server = Server::builder(Flavor::Redis7).tls(&stranger).start();
        let error = refusal(config(&server, tls)).await;
        assert_eq!(*error.kind(), ErrorKind::Unavailable, "{library}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named_by_later_operations_too() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let server = Server::builder(Flavor::Redis7).tls(&other).start();
    let reasons = ["InvalidCertificate", "certificate verify failed"];
    for ((library, tls), reason) in libraries(&ca).into_iter().zip(reasons) {
        let config = config(&server, tls).connect_lazily(true);
        let store = RedisStore::connect(config).await.unwrap();
        let start = Instant::now();
        loop {
            let error = store.get("a").await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Unavailable, "{library}");
            let text = chain(&error);
            if text.contains(reason) {
                break;
            }
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{library}: {text}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn what_is_no_certificate_is_an_error_that_names_the_option() {
    for tls in [Tls::new(), Tls::new().native()] {
        let config = RedisConfig::default().tls(tls.clone().trust_only("nonsense"));
        let error = refusal(config).await;
        assert_eq!(
            error.to_string(),
            "tls.trust_only holds no certificate in PEM"
        );
        let config = RedisConfig::default().tls(tls.client_certificate("nonsense", "hunter2"));
        let error = refusal(config).await;
        assert!(
            error
                .to_string()
                .starts_with("tls.client_certificate holds no"),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
