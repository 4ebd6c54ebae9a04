//! Certificates are good or bad as told.

use std::process::Command;

use cache_testbed::{Client, Flavor, Server, TestCa};

#[test]
fn a_tls_server_answers_tls_and_refuses_plain_text() {
    let ca = TestCa::new();
    let server = Server::builder(Flavor::Redis7).tls(&ca).start();
    assert_eq!(server.url(), format!("rediss://{}", server.address()));
    Client::connect(&server.address())
        .unwrap()
        .command(&["PING"])
        .unwrap_err();
    assert_eq!(ping(&server, &ca, None), "PONG");
    assert_eq!(server.command(&["PING"]).text(), "PONG");

    let stranger = TestCa::new();
    assert!(ping(&server, &stranger, None).contains("certificate verify failed"));
}

#[test]
fn a_tls_server_can_ask_for_certificates_of_clients() {
    let ca = TestCa::new();
    let builder = Server::builder(Flavor::Redis7).tls(&ca);
    let server = builder.require_client_certificates().start();
    assert_eq!(ping(&server, &ca, Some(&ca.client())), "PONG");
    assert_ne!(ping(&server, &ca, None), "PONG");
    assert_ne!(ping(&server, &ca, Some(&TestCa::new().client())), "PONG");
}

#[test]
fn certificates_can_be_expired_or_of_another_host() {
    let ca = TestCa::new();
    let builder = Server::builder(Flavor::Redis7);
    let server = builder.tls_certificate(&ca, ca.expired()).start();
    assert!(ping(&server, &ca, None).contains("certificate verify failed"));
    // redis-cli looks at no host names.
    for (certificate, host) in [
        (ca.server(), "IP Address:127.0.0.1"),
        (ca.wrong_host(), "DNS:other.example"),
    ] {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
            .arg(certificate.path)
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(host),
            "{output:?}"
        );
    }
}

/// Pings by a client that knows TLS, and returns what it says.
fn ping(server: &Server, ca: &TestCa, client: Option<&cache_testbed::Certificate>) -> String {
    let mut command = Command::new("redis-cli");
    let port = server.port().to_string();
    command
        .args(["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert"])
        .arg(ca.path());
    if let Some(client) = client {
        command
            .arg("--cert")
            .arg(&client.path)
            .arg("--key")
            .arg(&client.key_path);
    }
    let output = command.arg("PING").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}
