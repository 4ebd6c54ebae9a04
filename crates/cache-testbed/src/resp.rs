//! A blocking client, small enough to be trusted: the library under test has another one.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A reply of a server, as RESP2 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A status, as `OK`.
    Simple(String),
    /// An error, with its code in front.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of bytes, or nil.
    Bulk(Option<Vec<u8>>),
    /// A list of replies; a nil list is `Bulk(None)`.
    Array(Vec<Self>),
}

impl Reply {
    /// Returns the text of a status, error, number or string; panics for nil and lists.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Bulk(None) | Self::Array(_) => panic!("no text: {self:?}"),
        }
    }

    /// Returns the number; panics for other replies.
    #[must_use]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            _ => panic!("no number: {self:?}"),
        }
    }

    /// Returns the bytes of a string, `None` for nil; panics for other replies.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) => bytes.as_deref(),
            _ => panic!("no string: {self:?}"),
        }
    }

    /// Returns the elements of a list; panics for other replies.
    #[must_use]
    pub fn array(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            _ => panic!("no list: {self:?}"),
        }
    }

    /// Returns whether the server answered with an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Panics unless the reply is `OK`.
    pub fn assert_ok(&self) {
        assert_eq!(*self, Self::Simple("OK".into()));
    }
}

/// A connection to a server.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects to "host:port".
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self::new(stream))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub fn connect_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self::new(stream))
    }

    /// Sends a command and waits up to 10 s for its reply.
    ///
    /// # Errors
    ///
    /// Those of the connection, [`WouldBlock`](io::ErrorKind::WouldBlock) when no reply came, and
    /// [`InvalidData`](io::ErrorKind::InvalidData) when it is not RESP2.
    pub fn command(&mut self, arguments: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.send(arguments)?;
        self.receive()
    }

    /// Sends a command and waits for nothing.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn send(&mut self, arguments: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments.iter().map(AsRef::as_ref) {
            write!(request, "${}\r\n", argument.len())?;
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)
    }

    /// Waits up to 10 s for a reply, or for a message to a subscriber.
    ///
    /// # Errors
    ///
    /// As of [`command`](Self::command).
    pub fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| invalid(&line))?;
        let number = || rest.parse::<i64>().map_err(|_| invalid(&line));
        Ok(match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(number()?),
            "$" | "*" => match (usize::try_from(number()?), kind) {
                (Err(_), _) => Reply::Bulk(None),
                (Ok(length), "$") => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(Some(bytes))
                }
                (Ok(length), _) => Reply::Array(
                    (0..length)
                        .map(|_| self.receive())
                        .collect::<Result<_, _>>()?,
                ),
            },
            _ => return Err(invalid(&line)),
        })
    }

    fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: BufReader::new(Box::new(stream)),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line);
        line.strip_suffix("\r\n")
            .map(Into::into)
            .ok_or_else(|| invalid(&line))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP2: {line:?}"))
}
