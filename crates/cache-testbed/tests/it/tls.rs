//! Certificates are good or bad as told.

use std::process::Command;

use cache_testbed::{Certificate, Client, Flavor, Server, TestCa};

#[test]
fn a_tls_server_answers_tls_and_refuses_plain_text() {
    let ca = TestCa::new();
    let server = Server::builder(Flavor::Redis7).tls(&ca).start();
    assert_eq!(server.url(), format!("rediss://{}", server.address()));
    Client::connect(&server.address())
        .unwrap()
        .command(&["PING"])
        .unwrap_err();
    assert_eq!(ping(&server, &ca, None), "+PONG");
    assert_eq!(server.command(&["PING"]).text(), "PONG");

    let stranger = TestCa::new();
    assert!(ping(&server, &stranger, None).contains("certificate verify failed"));
}

#[test]
fn a_tls_server_can_ask_for_certificates_of_clients() {
    let ca = TestCa::new();
    let builder = Server::builder(Flavor::Redis7).tls(&ca);
    let server = builder.require_client_certificates().start();
    assert_eq!(ping(&server, &ca, Some(&ca.client())), "+PONG");
    assert_ne!(ping(&server, &ca, None), "+PONG");
    assert_ne!(ping(&server, &ca, Some(&TestCa::new().client())), "+PONG");
}

#[test]
fn certificates_can_be_expired_or_of_another_host() {
    let ca = TestCa::new();
    for (certificate, fault) in [
        (ca.expired(), "certificate has expired"),
        (ca.wrong_host(), "IP address mismatch"),
    ] {
        let builder = Server::builder(Flavor::Redis7);
        let server = builder.tls_certificate(&ca, certificate).start();
        let said = ping(&server, &ca, None);
        assert!(said.contains(fault), "{said}");
    }
}

/// Pings by a client that is careful about certificates, and returns what it says.
fn ping(server: &Server, ca: &TestCa, client: Option<&Certificate>) -> String {
    let script = "
import socket, ssl, sys
port, ca, *client = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if client:
    context.load_cert_chain(*client)
try:
    with socket.create_connection(('127.0.0.1', int(port)), 10) as plain:
        with context.wrap_socket(plain, server_hostname='127.0.0.1') as stream:
            stream.sendall(b'PING\\r\\n')
            print(stream.recv(100).decode())
except OSError as error:
    print(error)
";
    let mut command = Command::new("python3");
    command.args(["-c", script, &server.port().to_string()]);
    command.arg(ca.path());
    if let Some(client) = client {
        command.arg(&client.path).arg(&client.key_path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
