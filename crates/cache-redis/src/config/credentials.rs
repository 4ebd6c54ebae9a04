//! Credentials that change.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Secret;

/// The shortest time after which a provider is asked again: one that returns expired credentials would otherwise be
/// asked without a pause.
const SHORTEST: Duration = Duration::from_millis(100);

/// A password, and whose it is, as a [provider](super::RedisConfig::credentials) returns them.
///
/// `Debug` output shows neither.
///
/// ```
/// use cache_redis::Credentials;
/// use std::time::Duration;
///
/// let credentials = Credentials::new("token")
///     .username("app")
///     .valid_for(Duration::from_secs(900));
/// assert!(!format!("{credentials:?}").contains("token"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Secret,
    valid_for: Option<Duration>,
}

impl Credentials {
    /// Logs in as the user `default` with this password or token.
    ///
    /// ```
    /// let credentials = cache_redis::Credentials::new("secret");
    /// ```
    pub fn new(password: impl Into<String>) -> Self {
        Self {
            username: None,
            password: Secret(password.into()),
            valid_for: None,
        }
    }

    /// Logs in as this ACL user.
    ///
    /// ```
    /// let credentials = cache_redis::Credentials::new("secret").username("app");
    /// ```
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Says for how long from now a connection may go on that logs in with them.
    ///
    /// When three quarters of that time are over, but no sooner than after 100 milliseconds, the provider is asked
    /// again, and open connections log in with what it returns. Without it only new connections do.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let credentials = cache_redis::Credentials::new("token").valid_for(Duration::from_secs(900));
    /// ```
    pub const fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    /// Returns when the next ones are asked for.
    fn due(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.valid_for?.mul_f64(0.75).max(SHORTEST))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What is asked for credentials.
pub(crate) struct Provider {
    ask: Box<dyn Fn() -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync>,
    /// When the first of those expire soon with which a connection has logged in.
    due: watch::Sender<Option<Instant>>,
}

impl Provider {
    pub(super) fn new<F, Fut, E>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let ask = move || -> BoxFuture<'static, _> {
            let asked = ask();
            Box::pin(async move { asked.await.map_err(Into::into) })
        };
        Self {
            ask: Box::new(ask),
            due: watch::Sender::new(None),
        }
    }

    /// Returns credentials for a new connection.
    pub(crate) async fn credentials(&self) -> Result<Credentials, BoxError> {
        let credentials = (self.ask)().await?;
        if let Some(due) = credentials.due(Instant::now()) {
            self.due.send_if_modified(|first| {
                let is_first = first.is_none_or(|first| due < first);
                if is_first {
                    *first = Some(due);
                }
                is_first
            });
        }
        Ok(credentials)
    }

    /// Waits until those expire soon that connections have, and returns the next ones for all of them.
    pub(crate) async fn renewed(&self) -> Result<Credentials, BoxError> {
        let mut first = self.due.subscribe();
        loop {
            let due = *first.borrow_and_update();
            // The sender is in self.
            let changed = first.changed();
            match due {
                None => drop(changed.await),
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    _ = changed => {}
                },
            }
        }
        let credentials = (self.ask)().await?;
        self.due.send_replace(credentials.due(Instant::now()));
        Ok(credentials)
    }

    /// Has the next ones asked for after this time.
    pub(crate) fn ask_again_after(&self, time: Duration) {
        self.due.send_replace(Instant::now().checked_add(time));
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}
