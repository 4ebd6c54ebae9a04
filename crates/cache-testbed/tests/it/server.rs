//! Servers start, stop, count and end.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cache_testbed::{Client, Flavor, Reply, Server};

#[test]
fn each_flavor_starts_answers_and_ends_with_its_handle() {
    for (flavor, version) in Flavor::ALL.into_iter().zip(["7.0.", "8.2.", "9.1."]) {
        let server = Server::builder(flavor).start();
        let mut client = Client::connect(&server.address()).unwrap();
        client.command(&["SET", "k", "v"]).unwrap().assert_ok();
        assert_eq!(server.command(&["GET", "k"]).text(), "v");
        let name = if flavor == Flavor::Valkey9 {
            "valkey_version"
        } else {
            "redis_version"
        };
        assert!(server.info(name).starts_with(version), "{flavor:?}");
        let (address, dir) = (server.address(), server.dir().to_owned());
        drop(server);
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(!dir.exists());
    }
}

#[test]
fn a_server_that_is_killed_and_restarted_is_empty_and_has_its_port() {
    let server = Server::builder(Flavor::Redis7).start();
    let address = server.address();
    server.command(&["SET", "k", "v"]).assert_ok();
    server.kill();
    assert!(!server.is_running());
    TcpStream::connect(&address).unwrap_err();
    server.restart();
    assert!(server.is_running());
    assert_eq!(server.address(), address);
    let mut client = Client::connect(&address).unwrap();
    assert_eq!(client.command(&["GET", "k"]).unwrap(), Reply::Bulk(None));
}

#[test]
fn a_paused_server_accepts_and_is_silent_until_it_is_resumed() {
    let server = Server::builder(Flavor::Redis7).start();
    server.pause();
    let mut client = Client::connect(&server.address()).unwrap();
    client.send(&["PING"]).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || client.receive().unwrap().text());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!answer.is_finished());
        server.resume();
        assert_eq!(answer.join().unwrap(), "PONG");
    });
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_paused_server_can_be_dropped() {
    let server = Server::builder(Flavor::Redis7).start();
    let address = server.address();
    server.pause();
    drop(server);
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn passwords_users_options_and_sockets_are_as_told() {
    let server = Server::builder(Flavor::Redis8)
        .password("secret")
        .acl_user("alice on >wonder ~a:* +get")
        .arg("--maxmemory", "50mb")
        .start();
    let address = server.address();
    assert_eq!(server.url(), format!("redis://:secret@{address}"));
    let mut client = Client::connect(&address).unwrap();
    assert!(client.command(&["PING"]).unwrap().is_error());
    client.command(&["AUTH", "secret"]).unwrap().assert_ok();
    let limit = client.command(&["CONFIG", "GET", "maxmemory"]).unwrap();
    assert_eq!(limit.array()[1].text(), "52428800");

    let mut alice = Client::connect_unix(&server.unix_socket()).unwrap();
    alice
        .command(&["AUTH", "alice", "wonder"])
        .unwrap()
        .assert_ok();
    assert_eq!(alice.command(&["GET", "a:1"]).unwrap(), Reply::Bulk(None));
    assert!(
        alice
            .command(&["GET", "b:1"])
            .unwrap()
            .text()
            .starts_with("NOPERM")
    );

    // The handle has a user of its own.
    server
        .command(&["ACL", "SETUSER", "default", "off"])
        .assert_ok();
    assert_eq!(server.command(&["PING"]).text(), "PONG");
}

#[test]
fn a_fixed_port_is_used_and_one_that_is_taken_is_told() {
    let first = Server::builder(Flavor::Redis7).start();
    let port = first.port();
    let result = std::panic::catch_unwind(|| Server::builder(Flavor::Redis7).port(port).start());
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("Address already in use"), "{message}");
    drop(first);
    assert_eq!(
        Server::builder(Flavor::Redis7).port(port).start().port(),
        port
    );
}

#[test]
fn only_calls_of_clients_are_counted() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        let mut client = Client::connect(&server.address()).unwrap();
        client.command(&["GET", "before"]).unwrap();
        assert_eq!(
            (server.calls("get"), server.total_calls()),
            (1, 1),
            "{flavor:?}"
        );
        server.reset_stats();
        assert_eq!(server.total_calls(), 0, "{flavor:?}");
        for _ in 0..3 {
            client.command(&["GET", "k"]).unwrap();
            server.command(&["GET", "k"]);
        }
        client.command(&["CONFIG", "GET", "save"]).unwrap();
        assert_eq!(server.calls("GET"), 3);
        assert_eq!(server.calls("config"), 1);
        assert_eq!(server.calls("config|get"), 1);
        assert_eq!(server.total_calls(), 4);

        // A connection of the handle that a test closed is made anew.
        client
            .command(&["CLIENT", "KILL", "TYPE", "normal"])
            .unwrap();
        assert_eq!(server.total_calls(), 5);
        assert_eq!(server.calls("client|kill"), 1);
    }
}

#[test]
fn the_slowest_command_of_a_client_is_known() {
    let server = Server::builder(Flavor::Redis7).start();
    server.log_slower_than(Duration::from_millis(5));
    assert_eq!(server.slowest_command(), None);
    let mut client = Client::connect(&server.address()).unwrap();
    client.command(&["DEBUG", "SLEEP", "0.02"]).unwrap();
    server.command(&["DEBUG", "SLEEP", "0.05"]);
    let (time, command) = server.slowest_command().unwrap();
    assert_eq!(command, ["DEBUG", "SLEEP", "0.02"]);
    assert!(time >= Duration::from_millis(20), "{time:?}");
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let start = || Server::builder(Flavor::Redis7).start();
    let server = std::thread::spawn(start).join().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.command(&["PING"]).text(), "PONG");
}

#[tokio::test]
async fn a_server_starts_inside_of_a_runtime() {
    let server = Server::builder(Flavor::Redis7).start();
    assert_eq!(server.command(&["PING"]).text(), "PONG");
}

/// The process that the next test kills.
#[test]
#[ignore = "runs in a process of its own"]
fn start_a_server_and_wait() {
    let server = Server::builder(Flavor::Redis7).start();
    println!("\nport {}", server.port());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_process_that_is_killed_leaves_no_server() {
    // Nobody is there to remove the directory of that server.
    let dir = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .env("TMPDIR", dir.path())
        .args([
            "server::start_a_server_and_wait",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines
        .find_map(|line| line.unwrap().strip_prefix("port ").map(str::to_owned))
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let mut client = Client::connect(&address).unwrap();
    assert_eq!(client.command(&["PING"]).unwrap().text(), "PONG");
    process.kill().unwrap();
    process.wait().unwrap();
    // The kernel ends the server, and so its connections and then its port.
    client.receive().unwrap_err();
    let start = Instant::now();
    while TcpStream::connect(&address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(1));
    }
}
