//! The one error type of the workspace.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// The result of a cache operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a cache operation failed.
///
/// One word wide and cheap to clone, so that every task that waits for the same
/// operation can hold it. Two rules hold for every backend: **a miss is never an
/// error**, and **an outage is never silently a miss**.
///
/// The text of an error names the operation and a hash of the key. It never holds
/// a value, a key or a password.
///
/// ```
/// use cache_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Timeout).during("get").for_key("user:1");
/// assert!(error.is_transient());
/// assert!(error.to_string().starts_with("get (key #"));
/// ```
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    key_hash: Option<u64>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What went wrong, in the form a program can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, an option or an environment variable is outside its limits.
    #[error("{field} {problem}")]
    InvalidInput {
        /// The argument, option or variable, such as `key` or `BUILDSCALE_CACHE_DEFAULT_TTL`.
        field: Cow<'static, str>,
        /// What is wrong with it, naming the limit.
        problem: Cow<'static, str>,
    },
    /// The value weighs more than the cache can ever hold.
    #[error("value of weight {weight} exceeds the limit of {limit}")]
    TooLarge {
        /// The weight (or size in bytes) of the refused value.
        weight: u64,
        /// The largest weight that is accepted.
        limit: u64,
    },
    /// There is no room, and nothing that could make some.
    #[error("no room: {what} is {limit}")]
    Full {
        /// The option that sets the limit, such as `max_counters`.
        what: Cow<'static, str>,
        /// How much there is room for.
        limit: u64,
    },
    /// The codec refused to encode the value, or the value
    /// [would not come back](crate::EncodedBackend#values-that-do-not-come-back) as it is. The source names the reason.
    #[error("the value cannot be encoded")]
    Encode,
    /// The store did not answer in time. A write may or may not have happened.
    #[error("timed out")]
    Timeout,
    /// The store cannot be reached.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store refuses the credentials, or they do not permit this.
    #[error("the store refuses access")]
    Unauthorized,
    /// The backend cannot do this; see [`Capabilities`](crate::Capabilities).
    #[error("not supported: {what}")]
    Unsupported {
        /// The missing ability, and what lacks it.
        what: Cow<'static, str>,
    },
    /// A key of a transaction has changed, or has moved to another server, since it was read. Nothing was
    /// written.
    #[error("a key of the transaction has changed")]
    Conflict,
    /// The loader took longer than the hard timeout of the load.
    #[error("the load took longer than {limit:?}")]
    LoadTimeout {
        /// The hard timeout.
        limit: Duration,
    },
    /// The loader waits for the key that it loads, directly or through loaders of other keys.
    ///
    /// Loaders that wait for it in tasks that they spawn are not found out: they wait for ever, or
    /// until a hard timeout.
    #[error("the load waits for itself")]
    LoadCycle,
    /// The store answered with a failure of its own.
    #[error("the store failed")]
    Backend,
}

impl Error {
    /// Creates an error of the given kind.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation: None,
            key_hash: None,
            source: None,
        }))
    }

    /// Creates an [`ErrorKind::InvalidInput`].
    ///
    /// ```
    /// let error = cache_core::Error::invalid("capacity", "is 0, the least is 1");
    /// assert_eq!(error.to_string(), "capacity is 0, the least is 1");
    /// ```
    #[must_use]
    pub fn invalid(
        field: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::InvalidInput {
            field: field.into(),
            problem: problem.into(),
        })
    }

    /// Creates an [`ErrorKind::Unsupported`].
    ///
    /// ```
    /// let error = cache_core::Error::unsupported("tags by this backend");
    /// assert_eq!(error.to_string(), "not supported: tags by this backend");
    /// ```
    #[must_use]
    pub fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported { what: what.into() })
    }

    /// Creates an [`ErrorKind::Backend`] with the error that caused it, for `map_err`.
    ///
    /// ```
    /// let read = std::fs::read("/no/such/file").map_err(cache_core::Error::backend);
    /// assert_eq!(read.unwrap_err().to_string(), "the store failed");
    /// ```
    #[must_use]
    pub fn backend(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Backend).with_source(cause)
    }

    /// Names the operation that failed, unless one is named already.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        Arc::make_mut(&mut self.0)
            .operation
            .get_or_insert(operation);
        self
    }

    /// Adds a hash of the key, unless one is there already.
    ///
    /// The hash is the same in every process of one build, so that logs of one key can be joined
    /// without showing it. It hides a key from a reader, not from somebody who guesses it.
    #[must_use]
    pub fn for_key(mut self, key: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Arc::make_mut(&mut self.0)
            .key_hash
            .get_or_insert(hasher.finish());
        self
    }

    /// Adds the error that caused this one.
    ///
    /// The text of a source is shown to operators: a backend must strip passwords and
    /// values from it first.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// Returns what went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the name of the operation that failed, if it is known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Tells whether the call itself was refused before anything was done: the same call fails again.
    ///
    /// ```
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let cache: Cache<u32> = Cache::new(LocalBackend::default());
    /// let error = cache.set("", 1u32).await.unwrap_err();
    /// assert!(error.is_refused() && !error.is_transient());
    /// # }
    /// ```
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self.0.kind {
            ErrorKind::InvalidInput { .. }
            | ErrorKind::TooLarge { .. }
            | ErrorKind::Encode
            | ErrorKind::Unsupported { .. } => true,
            ErrorKind::Timeout
            | ErrorKind::Unavailable
            // Passwords and permissions change.
            | ErrorKind::Unauthorized
            | ErrorKind::Conflict
            | ErrorKind::LoadTimeout { .. }
            | ErrorKind::LoadCycle
            | ErrorKind::Full { .. }
            | ErrorKind::Backend => false,
        }
    }

    /// Tells whether the same call may succeed later without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::Conflict
                | ErrorKind::LoadTimeout { .. }
        )
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field(
                "key_hash",
                &self.0.key_hash.map(|hash| format!("{hash:016x}")),
            )
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.operation, self.key_hash) {
            (Some(operation), Some(hash)) => write!(f, "{operation} (key #{hash:016x}): ")?,
            (Some(operation), None) => write!(f, "{operation}: ")?,
            (None, Some(hash)) => write!(f, "key #{hash:016x}: ")?,
            (None, None) => {}
        }
        self.kind.fmt(f)
    }
}

impl StdError for Inner {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}
