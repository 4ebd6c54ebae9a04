//! The error of a load.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::io;
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// Why a load has failed.
///
/// Everybody who waited for one load gets the same error of its loader.
///
/// It is an [`std::error::Error`] for every loader's error that can be displayed, so `?` hands it on in
/// functions that return `anyhow::Result` or a boxed error. Its text says what the loader's error says,
/// with the causes that `anyhow` adds in `{:#}`. Its [`source`](StdError::source) goes on with the causes
/// of the loader's error if that is an [`Error`], an [`io::Error`] or a `Box<dyn Error + Send + Sync>`. Of
/// other types nothing says whether they have causes: [`loader`](Self::loader) returns the error itself.
///
/// ```
/// use std::sync::Arc;
///
/// use cache_core::LoadError;
///
/// fn report(error: LoadError<String>) -> Box<dyn std::error::Error + Send + Sync> {
///     error.into()
/// }
/// let error = report(LoadError::Loader(Arc::new("no such user".to_owned())));
/// assert_eq!(error.to_string(), "the loader failed: no such user");
/// ```
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "it was the loader or it was the cache"
)]
pub enum LoadError<E> {
    /// The loader failed. Nothing was stored.
    Loader(Arc<E>),
    /// The cache failed, or the load took too long or waited for itself.
    Cache(Error),
}

impl<E> LoadError<E> {
    /// Returns the error of the loader, if it was the loader that failed.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use cache_core::LoadError;
    ///
    /// let error = LoadError::Loader(Arc::new("no such user"));
    /// assert_eq!(error.loader(), Some(&"no such user"));
    /// ```
    #[must_use]
    pub fn loader(&self) -> Option<&E> {
        match self {
            Self::Loader(error) => Some(error),
            Self::Cache(_) => None,
        }
    }

    /// Returns what the cache reports, if it was not the loader that failed.
    ///
    /// ```
    /// use cache_core::{Error, ErrorKind, LoadError};
    ///
    /// let error: LoadError<std::io::Error> = Error::new(ErrorKind::LoadCycle).into();
    /// assert_eq!(error.cache().map(Error::kind), Some(&ErrorKind::LoadCycle));
    /// ```
    #[must_use]
    pub const fn cache(&self) -> Option<&Error> {
        match self {
            Self::Loader(_) => None,
            Self::Cache(error) => Some(error),
        }
    }
}

// Written by hand: an error that is shared need not be cloneable.
impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Cache(error) => Self::Cache(error.clone()),
        }
    }
}

impl<E: Display> Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In this form `anyhow` tells the causes, which are not told by `source`.
            Self::Loader(error) => write!(f, "the loader failed: {error:#}"),
            Self::Cache(error) => Display::fmt(error, f),
        }
    }
}

// Written by hand: `anyhow::Error` and boxed errors are no `Error` themselves.
impl<E: Debug + Display + 'static> StdError for LoadError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // The error itself is told by the text already.
            Self::Loader(error) => known(&**error)?.source(),
            Self::Cache(error) => error.source(),
        }
    }
}

impl<E> From<Error> for LoadError<E> {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

impl<E> From<ErrorKind> for LoadError<E> {
    fn from(kind: ErrorKind) -> Self {
        Self::Cache(kind.into())
    }
}

/// Returns what is known to be an error.
fn known(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return Some(error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error);
    }
    let boxed = error.downcast_ref::<Box<dyn StdError + Send + Sync>>();
    boxed.map(|error| &**error as _)
}
