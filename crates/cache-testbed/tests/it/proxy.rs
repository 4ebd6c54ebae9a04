//! Each fault of the network.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cache_testbed::{Client, Direction, Flavor, Proxy, Reply, Server};

const SHORT: Duration = Duration::from_millis(200);

async fn behind_a_proxy() -> (Server, Proxy, Client) {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let mut client = Client::connect(&proxy.address()).unwrap();
    assert_eq!(client.command(&["PING"]).unwrap().text(), "PONG");
    assert_eq!(proxy.connections(), 1);
    (server, proxy, client)
}

/// Waits for the next reply in a thread, and sees that none comes soon.
fn held(mut client: Client) -> JoinHandle<(Client, Reply)> {
    let waiting = thread::spawn(move || {
        let reply = client.receive().unwrap();
        (client, reply)
    });
    thread::sleep(SHORT);
    assert!(!waiting.is_finished());
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_in_both_directions() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    let value = vec![b'x'; 5_000_000];
    let set: [&[u8]; 3] = [b"SET", b"k", &value];
    client.command(&set).unwrap().assert_ok();
    assert_eq!(
        client.command(&["GET", "k"]).unwrap().bytes(),
        Some(&*value)
    );
    assert_ne!(proxy.port(), server.port());
    Client::connect(&proxy.address())
        .unwrap()
        .command(&["PING"])
        .unwrap();
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_added_once_for_pipelined_requests() {
    let (_server, proxy, mut client) = behind_a_proxy().await;
    proxy.delay(Direction::Request, SHORT);
    let start = Instant::now();
    for _ in 0..10 {
        client.send(&["PING"]).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..10 {
        client.receive().unwrap();
    }
    let took = start.elapsed();
    assert!(took >= SHORT && took < 4 * SHORT, "{took:?}");

    proxy.delay(Direction::Reply, SHORT);
    let start = Instant::now();
    client.command(&["PING"]).unwrap();
    assert!(start.elapsed() >= 2 * SHORT);

    proxy.forward().await;
    let start = Instant::now();
    client.command(&["PING"]).unwrap();
    assert!(start.elapsed() < SHORT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_request_does_not_reach_the_server_until_it_is_released() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    proxy.stall(Direction::Request);
    client.send(&["SET", "k", "v"]).unwrap();
    let waiting = held(client);
    assert_eq!(server.calls("set"), 0);
    proxy.unstall(Direction::Request);
    waiting.join().unwrap().1.assert_ok();
    assert_eq!(server.calls("set"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reply_is_of_a_request_that_was_served() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    proxy.stall(Direction::Reply);
    client.send(&["SET", "k", "v"]).unwrap();
    let waiting = held(client);
    assert_eq!(server.calls("set"), 1);
    proxy.forward().await;
    let (mut client, reply) = waiting.join().unwrap();
    reply.assert_ok();
    client.command(&["PING"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_reply_is_of_a_request_that_was_served_and_later_connections_are_whole() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    proxy.drop_replies_then_close();
    let error = client.command(&["INCR", "k"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(server.command(&["GET", "k"]).text(), "1");
    let mut next = Client::connect(&proxy.address()).unwrap();
    assert_eq!(next.command(&["INCR", "k"]).unwrap().integer(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_reset() {
    let (_server, proxy, mut client) = behind_a_proxy().await;
    proxy.reset_all();
    let error = client.receive().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    Client::connect(&proxy.address())
        .unwrap()
        .command(&["PING"])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_closed_even_while_they_stall() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    proxy.stall(Direction::Request);
    client.send(&["PING"]).unwrap();
    proxy.close_all();
    let error = client.receive().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    proxy.unstall(Direction::Request);
    Client::connect(&proxy.address())
        .unwrap()
        .command(&["PING"])
        .unwrap();
    assert_eq!(server.calls("ping"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_are_refused_and_old_ones_go_on() {
    let (_server, proxy, mut client) = behind_a_proxy().await;
    for _ in 0..10 {
        proxy.refuse().await;
        let error = Client::connect(&proxy.address()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        client.command(&["PING"]).unwrap();
        proxy.forward().await;
        Client::connect(&proxy.address())
            .unwrap()
            .command(&["PING"])
            .unwrap();
    }
    assert_eq!(proxy.connections(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_are_accepted_and_silent() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    proxy.refuse().await;
    proxy.accept_then_silent().await;
    let mut silent = TcpStream::connect(proxy.address()).unwrap();
    silent.write_all(b"PING\r\n").unwrap();
    silent.set_read_timeout(Some(SHORT)).unwrap();
    let error = silent.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.command(&["PING"]).unwrap();
    proxy.forward().await;
    Client::connect(&proxy.address())
        .unwrap()
        .command(&["PING"])
        .unwrap();
    assert_eq!(server.calls("ping"), 3);
    proxy.close_all();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_of_one_reply_is_flipped() {
    let (_server, proxy, mut client) = behind_a_proxy().await;
    client.command(&["SET", "k", "0123456789"]).unwrap();
    proxy.flip_reply_byte();
    let reply = client.command(&["GET", "k"]).unwrap();
    // The middle of the 17 bytes "$10\r\n0123456789\r\n".
    let expected = [b"012".as_slice(), &[!b'3'], b"456789"].concat();
    assert_eq!(reply.bytes(), Some(&*expected));
    assert_eq!(client.command(&["GET", "k"]).unwrap().text(), "0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_is_seen_through_the_proxy() {
    let (server, proxy, mut client) = behind_a_proxy().await;
    server.kill();
    client.receive().unwrap_err();
    let mut next = Client::connect(&proxy.address()).unwrap();
    next.command(&["PING"]).unwrap_err();
    server.restart();
    Client::connect(&proxy.address())
        .unwrap()
        .command(&["PING"])
        .unwrap();
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_proxy_closes_its_connections_and_port() {
    let (_server, proxy, mut client) = behind_a_proxy().await;
    let address = proxy.address();
    drop(proxy);
    client.receive().unwrap_err();
    let error = Client::connect(&address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_want_it_otherwise_at_the_same_time_neither_waits_for_ever() {
    let proxy = Proxy::start("127.0.0.1:1").await;
    // Each panics after a while if what it waits for does not come.
    for _ in 0..100 {
        tokio::join!(proxy.refuse(), proxy.accept_then_silent());
        tokio::join!(proxy.refuse(), proxy.forward());
    }
}
