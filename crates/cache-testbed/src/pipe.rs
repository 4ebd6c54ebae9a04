//! The faults of a proxy, and what they do to the bytes of a connection.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::Direction;

/// What a proxy and its connections know of each other.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: String,
    pub(crate) faults: watch::Sender<Faults>,
    pub(crate) listening: watch::Sender<bool>,
    pub(crate) connections: AtomicU64,
}

/// What is wrong now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) arrivals: Arrivals,
    pub(crate) request: Way,
    pub(crate) reply: Way,
    /// The next reply chunk gets a wrong byte.
    pub(crate) flip: bool,
    /// Connections before this one lose their next reply.
    pub(crate) cut_before: u64,
    /// Connections before this one have to end.
    pub(crate) end_before: u64,
    pub(crate) end: End,
}

/// What is wrong in one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    pub(crate) stalled: bool,
}

/// What happens to new connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Arrivals {
    #[default]
    Forward,
    Refuse,
    Silent,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Close,
    Reset,
}

/// Bytes and the time from which they may go on; none at all is the end of the stream.
type Chunk = (Option<Instant>, Vec<u8>);

impl Faults {
    /// Tells whether new connections are accepted, be they silent.
    pub(crate) fn listens(&self) -> bool {
        self.arrivals != Arrivals::Refuse
    }

    const fn way(self, direction: Direction) -> Way {
        match direction {
            Direction::Request => self.request,
            Direction::Reply => self.reply,
        }
    }

    pub(crate) const fn way_mut(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Reply => &mut self.reply,
        }
    }
}

impl Shared {
    pub(crate) async fn until(&self, condition: impl FnMut(&Faults) -> bool) -> Faults {
        let mut faults = self.faults.subscribe();
        let seen = faults.wait_for(condition).await;
        *seen.expect("the sender is in self")
    }
}

/// Passes bytes on in both directions, and returns how the connection has to end.
pub(crate) async fn forward(
    shared: &Shared,
    id: u64,
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
) -> End {
    let Ok(connected) = TcpStream::connect(&shared.target).await else {
        return End::Reset;
    };
    let server = server.insert(connected);
    for stream in [&*client, &*server] {
        stream.set_nodelay(true).ok();
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let pipe = |direction, from, to| Pipe {
        shared,
        id,
        direction,
        from,
        to,
    };
    let asked = AtomicBool::new(false);
    let both = tokio::try_join!(
        pipe(Direction::Request, from_client, to_server).run(&asked),
        pipe(Direction::Reply, from_server, to_client).run(&asked),
    );
    both.map_or_else(|end| end, |_| End::Close)
}

/// One direction of a connection.
struct Pipe<'a> {
    shared: &'a Shared,
    id: u64,
    direction: Direction,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
}

impl Pipe<'_> {
    /// Passes bytes on until their end; `asked` tells that the reply to them has to be cut.
    async fn run(self, asked: &AtomicBool) -> Result<(), End> {
        let Self {
            shared,
            id,
            direction,
            mut from,
            mut to,
        } = self;
        let (sender, mut chunks) = mpsc::channel::<Chunk>(64);
        let read = async {
            let mut bytes = vec![0; 16 * 1024];
            loop {
                let length = from.read(&mut bytes).await.map_err(reset)?;
                let delay = shared.faults.borrow().way(direction).delay;
                // Even a moment that is now would wait for a tick of the timer.
                let due = (!delay.is_zero()).then(|| Instant::now() + delay);
                let chunk = (due, bytes[..length].to_vec());
                if sender.send(chunk).await.is_err() || length == 0 {
                    return Ok(());
                }
            }
        };
        let write = async {
            while let Some((due, mut bytes)) = chunks.recv().await {
                if let Some(due) = due {
                    sleep_until(due).await;
                }
                let faults = shared.until(|faults| !faults.way(direction).stalled);
                let faults = faults.await;
                if bytes.is_empty() {
                    // The other side may have gone, which is just as well.
                    to.shutdown().await.ok();
                    break;
                }
                match direction {
                    Direction::Request if faults.cut_before > id => {
                        asked.store(true, Ordering::Relaxed);
                    }
                    Direction::Reply if asked.load(Ordering::Relaxed) => return Err(End::Close),
                    Direction::Reply if take_flip(shared) => flip(&mut bytes),
                    _ => {}
                }
                to.write_all(&bytes).await.map_err(reset)?;
            }
            Ok(())
        };
        tokio::try_join!(read, write).map(|_| ())
    }
}

/// Inverts the first byte from the middle on that ends no line.
fn flip(bytes: &mut [u8]) {
    let (_, rest) = bytes.split_at_mut(bytes.len() / 2);
    if let Some(byte) = rest.iter_mut().find(|byte| !b"\r\n".contains(byte)) {
        *byte = !*byte;
    }
}

fn take_flip(shared: &Shared) -> bool {
    let take = |faults: &mut Faults| std::mem::take(&mut faults.flip);
    shared.faults.send_if_modified(take)
}

/// A side that vanished makes the other one vanish.
fn reset(_: io::Error) -> End {
    End::Reset
}
