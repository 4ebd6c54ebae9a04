//! Which keys of which store a backend and a bus are about.

use std::fmt::{self, Display};
use std::sync::Arc;

/// Names the part of a store that a backend keeps its entries in, or that a bus tells of.
///
/// Two that are equal are about the same keys. It is shown in errors, so it holds no secret.
///
/// ```
/// use cache_core::StoreId;
///
/// let (one, other) = (StoreId::new("db:5432/users"), StoreId::new("db:5432/orders"));
/// assert_ne!(one, other);
/// assert_eq!(one.to_string(), "db:5432/users");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreId(Arc<str>);

impl StoreId {
    /// Wraps a name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

impl Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
