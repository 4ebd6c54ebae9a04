//! A bad network.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::pipe::{Arrivals, End, Faults, Shared, forward};
use crate::spawn::free_port;

/// A TCP proxy in front of a server, of which the faults change while connections are open.
///
/// It needs a runtime, and runs on it until the handle is dropped, which closes all connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    task: JoinHandle<()>,
}

/// A way of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Reply,
}

impl Proxy {
    /// Starts in front of "host:port".
    pub async fn start(target: impl Into<String>) -> Self {
        let (port, listener) = loop {
            let port = free_port();
            // Somebody else may take the port meanwhile.
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                break (port, listener);
            }
        };
        let shared = Arc::new(Shared {
            target: target.into(),
            faults: watch::Sender::default(),
            listening: watch::Sender::new(true),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(serve(Arc::clone(&shared), port, listener));
        Self { shared, port, task }
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns "127.0.0.1:port".
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns how many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Ends all faults; a connection that was accepted as silent stays it.
    pub async fn forward(&self) {
        self.change(|faults| {
            *faults = Faults {
                end_before: faults.end_before,
                end: faults.end,
                ..Faults::default()
            };
        });
        self.listens(true).await;
    }

    /// Passes bytes of one direction on after this time; zero is the end of it.
    pub fn delay(&self, direction: Direction, time: Duration) {
        self.change(|faults| faults.way_mut(direction).delay = time);
    }

    /// Holds the bytes of one direction, and the end of the stream; connections stay open.
    pub fn stall(&self, direction: Direction) {
        self.change(|faults| faults.way_mut(direction).stalled = true);
    }

    /// Passes on what was held, and what follows.
    pub fn unstall(&self, direction: Direction) {
        self.change(|faults| faults.way_mut(direction).stalled = false);
    }

    /// Takes the next reply from each connection that is open now, and closes it instead.
    ///
    /// The request before it reaches the server. Connections that are made later are not touched.
    pub fn drop_replies_then_close(&self) {
        self.change(|faults| faults.cut_before = self.connections());
    }

    /// Ends all open connections by RST.
    pub fn reset_all(&self) {
        self.end(End::Reset);
    }

    /// Ends all open connections by FIN.
    pub fn close_all(&self) {
        self.end(End::Close);
    }

    /// Refuses new connections until [`forward`](Self::forward).
    pub async fn refuse(&self) {
        self.change(|faults| faults.arrivals = Arrivals::Refuse);
        self.listens(false).await;
    }

    /// Accepts new connections and never answers, until [`forward`](Self::forward).
    pub async fn accept_then_silent(&self) {
        self.change(|faults| faults.arrivals = Arrivals::Silent);
        self.listens(true).await;
    }

    /// Inverts all bits of the byte in the middle of the next piece of a reply, once.
    ///
    /// The end of a line is left as it is: without it two replies become one, and a client takes
    /// each later reply for that of the command before.
    pub fn flip_reply_byte(&self) {
        self.change(|faults| faults.flip = true);
    }

    fn end(&self, end: End) {
        self.change(|faults| {
            faults.end_before = self.connections();
            faults.end = end;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Waits until it listens or does not, or until somebody else wants it otherwise.
    async fn listens(&self, expected: bool) {
        let mut listening = self.shared.listening.subscribe();
        let mut faults = self.shared.faults.subscribe();
        let changed = async {
            tokio::select! {
                running = listening.wait_for(|is| *is == expected) => running.is_ok(),
                running = faults.wait_for(|faults| faults.listens() != expected) => running.is_ok(),
            }
        };
        let changed = timeout(Duration::from_secs(10), changed).await;
        let is_running = changed.expect("the port is free and the runtime runs");
        assert!(is_running, "the senders are in self");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener that ends when it is dropped.
///
/// A process that is just being forked for a server has a copy of it for a moment, and so would
/// keep it open.
struct Listener(TcpListener);

impl Drop for Listener {
    fn drop(&mut self) {
        // It fails only for one that has ended.
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both).ok();
    }
}

/// Accepts connections until the task is aborted, and with it all of them.
async fn serve(shared: Arc<Shared>, port: u16, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut listener = Some(Listener(listener));
    let mut faults = shared.faults.subscribe();
    loop {
        if !faults.borrow_and_update().listens() {
            listener = None;
        } else if listener.is_none() {
            listener = Some(Listener(bind_again(port).await));
        }
        shared.listening.send_replace(listener.is_some());
        tokio::select! {
            client = accept(listener.as_ref()) => {
                let id = shared.connections.fetch_add(1, Ordering::Relaxed);
                // Not as it was when the loop began: both arms may be ready at once.
                let silent = shared.faults.borrow().arrivals == Arrivals::Silent;
                connections.spawn(connection(Arc::clone(&shared), client, id, silent));
            }
            _ = faults.changed() => {}
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Takes a port that somebody who looks for a free one may hold for a moment.
async fn bind_again(port: u16) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(listener: Option<&Listener>) -> TcpStream {
    let Some(listener) = listener else {
        return pending().await;
    };
    loop {
        if let Ok((client, _)) = listener.0.accept().await {
            return client;
        }
    }
}

async fn connection(shared: Arc<Shared>, mut client: TcpStream, id: u64, silent: bool) {
    let ended = shared.until(|faults| faults.end_before > id);
    let mut server = None;
    let end = tokio::select! {
        faults = ended => faults.end,
        end = forward(&shared, id, &mut client, &mut server), if !silent => end,
    };
    for stream in [Some(client), server].into_iter().flatten() {
        finish(stream, end).await;
    }
}

async fn finish(mut stream: TcpStream, end: End) {
    match end {
        // A socket that is closed with unread bytes sends a reset, unless it sent its end before.
        End::Close => stream.shutdown().await.ok(),
        End::Reset => stream.set_zero_linger().ok(),
    };
}
