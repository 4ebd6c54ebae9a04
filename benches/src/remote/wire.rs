//! What server and socket can do: commands that are encoded before, and replies that are counted.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::load::{Load, Meter, Sample};
use super::{BATCH, Operation, Payload, Record, Target, stored_key, ttl_millis};

/// A connection without a client: as many operations are written at once as there are tasks, and
/// the next ones once all replies are there.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    /// The commands of one round.
    commands: Vec<u8>,
    /// How many bytes answer them.
    reply_bytes: usize,
    replies: Vec<u8>,
    operations: usize,
}

impl Wire {
    /// Connects and encodes the commands.
    ///
    /// # Panics
    /// If there is no server.
    pub async fn connect(target: &Target, load: Load, keys: &[String]) -> Self {
        let socket = TcpStream::connect(target.address()).await;
        let mut socket = socket.expect("the server is there");
        socket.set_nodelay(true).expect("it is a socket");
        let mut select = Vec::new();
        encode(&mut select, &[b"SELECT", b"1"]);
        socket.write_all(&select).await.expect("no failure");
        socket.read_exact(&mut [0; 5]).await.expect("no failure");

        let value = Record::of_size(load.size).to_stored();
        let (ok, found) = (5, format!("${}\r\n\r\n", value.len()).len() + value.len());
        let ttl = ttl_millis().to_string();
        let (mut commands, mut reply_bytes) = (Vec::new(), 0);
        let mut keys = keys.iter().map(|key| stored_key(key)).cycle();
        let mut next = || keys.next().expect("there are keys");
        for _ in 0..load.tasks {
            match load.operation {
                Operation::Get => {
                    encode(&mut commands, &[b"GET", next().as_bytes()]);
                    reply_bytes += found;
                }
                Operation::GetMany => {
                    let batch: Vec<String> = (0..BATCH).map(|_| next()).collect();
                    let arguments = batch.iter().map(String::as_bytes);
                    let arguments: Vec<&[u8]> =
                        std::iter::once(&b"MGET"[..]).chain(arguments).collect();
                    encode(&mut commands, &arguments);
                    reply_bytes += format!("*{BATCH}\r\n").len() + BATCH * found;
                }
                Operation::Set | Operation::SetMany => {
                    let single = load.operation == Operation::Set;
                    for _ in 0..if single { 1 } else { BATCH } {
                        let key = next();
                        let arguments = [b"SET", key.as_bytes(), &value, b"PX", ttl.as_bytes()];
                        encode(&mut commands, &arguments);
                        reply_bytes += ok;
                    }
                }
            }
        }
        Self {
            socket,
            commands,
            reply_bytes,
            replies: vec![0; 64 << 10],
            operations: load.tasks,
        }
    }

    /// Runs rounds until the time is over.
    ///
    /// # Panics
    /// If the server closes the connection.
    pub async fn run(&mut self, span: Duration) -> Sample {
        let (meter, mut done) = (Meter::start(span), 0);
        while Instant::now() < meter.deadline() {
            let (mut reading, mut writing) = self.socket.split();
            let write = writing.write_all(&self.commands);
            let read = async {
                let mut left = self.reply_bytes;
                while left > 0 {
                    let room = self.replies.len().min(left);
                    let read = reading.read(&mut self.replies[..room]).await;
                    match read.expect("no failure") {
                        0 => panic!("the server has gone"),
                        bytes => left -= bytes,
                    }
                }
            };
            // Together, or both sides would wait with full buffers.
            let (written, ()) = tokio::join!(write, read);
            written.expect("no failure");
            done += self.operations;
        }
        meter.sample(done)
    }
}

fn encode(commands: &mut Vec<u8>, arguments: &[&[u8]]) {
    commands.extend(format!("*{}\r\n", arguments.len()).bytes());
    for argument in arguments {
        commands.extend(format!("${}\r\n", argument.len()).bytes());
        commands.extend_from_slice(argument);
        commands.extend(b"\r\n");
    }
}
