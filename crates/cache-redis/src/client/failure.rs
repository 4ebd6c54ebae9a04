//! What can go wrong on the way to a server and back, in our terms.

use std::error::Error as _;

use cache_core::{Error, ErrorKind};
use fred::error::{Error as FredError, ErrorKind as FredKind};
use fred::types::config::Server;

use super::detour::Redirection;

/// A command that did not succeed.
#[derive(Debug, Clone)]
pub(crate) struct Failure(FredError);

/// What is known of a command that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It was answered, with an error.
    Nothing,
    /// It was sent, and the connection broke before the answer.
    Reply,
    /// It was not sent, or nobody knows.
    Unknown,
}

/// Whether a read that failed so is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// It would fail again.
    Never,
    /// The read itself may be the reason.
    Once,
    /// The reason is another command, or that there was no connection.
    Freely,
}

/// The cause of an error, as operators see it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// What the first word of a server's error stands for.
const KINDS: &[(&str, ErrorKind)] = &[
    ("CLUSTERDOWN", ErrorKind::Unavailable),
    ("LOADING", ErrorKind::Unavailable),
    ("MASTERDOWN", ErrorKind::Unavailable),
    ("NOREPLICAS", ErrorKind::Unavailable),
    ("READONLY", ErrorKind::Unavailable),
    ("TRYAGAIN", ErrorKind::Unavailable),
    ("BUSY", ErrorKind::Unavailable),
    ("MISCONF", ErrorKind::Unavailable),
    ("NOAUTH", ErrorKind::Unauthorized),
    ("NOPERM", ErrorKind::Unauthorized),
    ("WRONGPASS", ErrorKind::Unauthorized),
];

/// What servers say if a user may run a script and not what the script does; some without `NOPERM`.
const REFUSED_IN_SCRIPT: [&str; 2] = [
    "ACL failure in script",
    "The user executing the script can't ",
];

/// Why a bus is of no use that listens to another server than the data comes from.
const APART: &str = "the bus and the data connections lead to different servers";

/// What makes fred break a connection. All commands that are under way over it then fail as the one that was
/// answered so.
const BREAKS: [&str; 3] = ["LOADING", "NOAUTH", "CLUSTERDOWN"];
/// One more of these, which no read is answered.
const REFUSED_WRITE: &str = "READONLY";

/// The longest text of a server, or of a library, that is kept, in characters.
const MAX_TEXT: usize = 400;

impl From<FredError> for Failure {
    fn from(cause: FredError) -> Self {
        Self(cause)
    }
}

impl Failure {
    /// Creates the failure that a server has told as a part of its reply.
    pub(super) fn answered(text: &str) -> Self {
        Self(FredError::new(FredKind::Unknown, text.to_owned()))
    }

    /// Creates the failure of a reply of another kind than the command has.
    pub(crate) fn unexpected() -> Self {
        Self(FredError::new(FredKind::Parse, "unexpected reply"))
    }

    /// Creates the failure of a command that took too long with all its redirections.
    pub(crate) fn timeout() -> Self {
        Self(FredError::new(FredKind::Timeout, "no answer in time"))
    }

    /// Creates the failure of a command for a cluster of which no node is known.
    pub(crate) fn nowhere() -> Self {
        Self(FredError::new(FredKind::Cluster, "no node is known"))
    }

    /// Creates the failure of a connection to another server than the others have.
    pub(crate) fn apart() -> Self {
        Self(FredError::new(FredKind::Cluster, APART))
    }

    pub(crate) fn is_apart(&self) -> bool {
        self.0.details() == APART
    }

    /// Creates the failure of a connection that has ended.
    pub(crate) fn ended() -> Self {
        Self(FredError::new(FredKind::IO, "the connection has ended"))
    }

    /// Creates the failure of a server that only follows another.
    pub(super) fn replica() -> Self {
        Self(FredError::new(
            FredKind::Unknown,
            "READONLY the server is a replica",
        ))
    }

    pub(crate) fn is_timeout(&self) -> bool {
        *self.0.kind() == FredKind::Timeout
    }

    /// Tells whether the server does not know the command, or has it for nobody, as managed services say it.
    pub(super) fn is_missing_command(&self) -> bool {
        let text = self.0.details();
        let is_blocked = text.starts_with("ERR command ") && text.ends_with(" is not allowed");
        text.starts_with("ERR unknown command")
            || text.starts_with("ERR unknown subcommand")
            || text.starts_with("ERR Unknown subcommand")
            || is_blocked
    }

    pub(crate) fn lost(&self) -> Lost {
        match self.0.kind() {
            FredKind::Cluster if self.is_elsewhere() => Lost::Nothing,
            FredKind::IO => Lost::Reply,
            FredKind::InvalidArgument | FredKind::Auth => Lost::Nothing,
            // fred has errors of its own of this kind, such as that of a client that has ended.
            FredKind::Unknown if is_reply(self.0.details()) => Lost::Nothing,
            _ => Lost::Unknown,
        }
    }

    /// Tells whether the server does not know the command or does not permit it to us.
    pub(crate) fn is_unknown_command(&self) -> bool {
        self.is_missing_command() || self.0.details().starts_with("NOPERM")
    }

    /// Tells whether the connection was gone before the command was sent over it, and is opened anew.
    pub(super) fn is_unsent(&self) -> bool {
        self.0.details() == "Failed to route command."
    }

    /// Tells whether the command was not sent, as there is no connection.
    pub(super) fn is_for_want_of_a_connection(&self) -> bool {
        self.is_unsent() || *self.0.kind() == FredKind::Canceled
    }

    /// Tells whether a read that failed so is sent again.
    pub(super) fn repeats(&self) -> Repeats {
        let text = self.0.details();
        if self.is_unsent() || text.starts_with(REFUSED_WRITE) {
            return Repeats::Freely;
        }
        if self.lost() == Lost::Reply || BREAKS.iter().any(|word| text.starts_with(word)) {
            return Repeats::Once;
        }
        Repeats::Never
    }

    /// Tells whether the key holds something that is not a string.
    pub(super) fn is_wrong_type(&self) -> bool {
        self.0.details().starts_with("WRONGTYPE")
    }

    /// Tells whether the command was sent elsewhere by the cluster, and followed nowhere by fred.
    pub(super) fn is_redirected(&self) -> bool {
        *self.0.kind() == FredKind::Routing && self.0.details() == "Too many redirections."
    }

    /// Tells whether the server says that another one has the key.
    pub(super) fn is_elsewhere(&self) -> bool {
        let text = self.0.details();
        text.starts_with("MOVED ") || text.starts_with("ASK ")
    }

    /// Returns where the answer of this server sends the command: `MOVED slot host:port`.
    pub(super) fn redirection(&self, from: &Server) -> Option<Redirection> {
        let mut words = self.0.details().split(' ');
        let asks = match words.next()? {
            "ASK" => true,
            "MOVED" => false,
            _ => return None,
        };
        let (host, port) = words.nth(1)?.rsplit_once(':')?;
        // Without a name it is the same host.
        let host = if host.is_empty() { &from.host } else { host };
        let server = Server::new(host, port.parse().ok()?);
        Some(Redirection { server, asks })
    }

    pub(super) fn is_missing_script(&self) -> bool {
        self.0.details().starts_with("NOSCRIPT")
    }

    /// Returns the error that the caller sees.
    pub(crate) fn to_error(&self) -> Error {
        let text = self.0.details();
        let answered = KINDS.iter().find(|(word, _)| text.starts_with(word));
        let kind = match self.0.kind() {
            _ if answered.is_some() => {
                answered.map_or(ErrorKind::Backend, |(_, kind)| kind.clone())
            }
            FredKind::Auth => ErrorKind::Unauthorized,
            _ if is_refused_in_script(text) => ErrorKind::Unauthorized,
            FredKind::Timeout => ErrorKind::Timeout,
            FredKind::IO
            | FredKind::Canceled
            | FredKind::Routing
            | FredKind::Cluster
            | FredKind::Sentinel
            | FredKind::Backpressure => ErrorKind::Unavailable,
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            FredKind::Tls => ErrorKind::Unavailable,
            FredKind::Unknown if !is_reply(text) => ErrorKind::Unavailable,
            _ if text.starts_with("ERR unknown command 'HELLO'")
                || text.starts_with("ERR unknown command `HELLO`")
                || text.starts_with("NOPROTO") =>
            {
                ErrorKind::Unsupported {
                    what: "RESP3 by this server; choose protocol resp2".into(),
                }
            }
            _ => ErrorKind::Backend,
        };
        Error::new(kind).with_source(Cause(self.text()))
    }

    /// Returns the error of a command that was not sent, as there is no connection for this reason.
    pub(super) fn to_error_of_unsent(&self) -> Error {
        let error = self.to_error();
        match error.kind() {
            ErrorKind::Unauthorized => error,
            _ => Error::new(ErrorKind::Unavailable).with_source(Cause(self.text())),
        }
    }

    /// Returns the error that the caller sees, which also says why there is no connection.
    pub(super) fn to_error_because(&self, reason: &Self) -> Error {
        let text = format!("{}; no connection: {}", self.text(), reason.text());
        Error::new(self.to_error().kind().clone()).with_source(Cause(text))
    }

    /// Returns the text of the cause, without the arguments that servers quote.
    pub(super) fn text(&self) -> String {
        let text = self.0.details();
        let text = match self.0.kind() {
            // Its text may quote the reply.
            FredKind::Parse | FredKind::Protocol | FredKind::NotFound => {
                "the answer is not one of Redis"
            }
            FredKind::Backpressure => "too many commands wait for the connection",
            _ => text,
        };
        own_words(text)
            .chars()
            .take(MAX_TEXT)
            .filter(|c| !c.is_control())
            .collect()
    }
}

/// Tells whether a command was refused, by whom it was executed in no part, because a slot moves and
/// some of its keys are here and some there. Each key alone is at one place.
pub(crate) fn is_torn(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|Cause(text)| text.starts_with("TRYAGAIN"))
}

/// Returns what a server says before it quotes arguments or the script.
fn own_words(text: &str) -> &str {
    let quotes = [", with args beginning with", " user_script:"];
    let end = quotes.iter().filter_map(|quote| text.find(quote)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Tells whether a user may run a script and not what the script does.
fn is_refused_in_script(text: &str) -> bool {
    let says = |words: &&str| own_words(text).contains(*words);
    text.starts_with("ERR ") && REFUSED_IN_SCRIPT.iter().any(says)
}

/// Tells whether a text of an unknown kind comes from a server: these start with a word in capitals.
fn is_reply(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use fred::error::{Error as FredError, ErrorKind as FredKind};

    use super::{Failure, Repeats};

    #[test]
    fn reads_are_sent_again_after_what_broke_the_connection_of_all() {
        let cases = [
            (
                FredKind::Unknown,
                "READONLY You can't write",
                Repeats::Freely,
            ),
            (
                FredKind::Unknown,
                "Failed to route command.",
                Repeats::Freely,
            ),
            (FredKind::IO, "Connection closed.", Repeats::Once),
            (FredKind::Unknown, "LOADING the dataset", Repeats::Once),
            (
                FredKind::Auth,
                "NOAUTH Authentication required.",
                Repeats::Once,
            ),
            (
                FredKind::Cluster,
                "CLUSTERDOWN Hash slot not served",
                Repeats::Once,
            ),
            (FredKind::Unknown, "OOM command not allowed", Repeats::Never),
            (FredKind::Unknown, "NOPERM no permissions", Repeats::Never),
            (
                FredKind::InvalidArgument,
                "WRONGTYPE not a string",
                Repeats::Never,
            ),
            (FredKind::Timeout, "Request timed out.", Repeats::Never),
        ];
        for (kind, text, expected) in cases {
            let failure = Failure::from(FredError::new(kind, text));
            assert_eq!(failure.repeats(), expected, "{text}");
        }
    }

    #[test]
    fn a_command_that_a_service_does_not_have_is_known_by_each_of_their_words() {
        let missing = [
            "ERR unknown command 'MSETEX', with args beginning with: '1'",
            "ERR Unknown subcommand or wrong number of arguments for 'TRACKING'. Try CLIENT HELP",
            // ElastiCache 7.1: https://github.com/redis/rueidis/issues/612
            "ERR unknown subcommand 'tracking'. Try CLIENT HELP.",
            // Redis Cloud: https://github.com/bezzad/HybridRedisCache/issues/16
            "ERR command 'client|tracking' is not allowed",
        ];
        for text in missing {
            let failure = Failure::from(FredError::new(FredKind::Unknown, text));
            assert!(failure.is_missing_command(), "{text}");
            assert!(failure.is_unknown_command(), "{text}");
        }
        let full = FredError::new(
            FredKind::Unknown,
            "OOM command not allowed when used memory",
        );
        assert!(!Failure::from(full).is_unknown_command());
    }
}
