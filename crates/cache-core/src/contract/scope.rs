//! Scopes: the parts of the key space that scans and clears cover.

use crate::Result;
use crate::keyspace::{Keyspace, MARK};

/// Which keys a [`scan`](crate::CacheBackend::scan) or a
/// [`clear`](crate::CacheBackend::clear) covers: one namespace, perhaps narrowed to a prefix.
///
/// A backend that can look keys up by prefix asks for [`prefix`](Self::prefix) and then
/// keeps the keys that the scope [`contains`](Self::contains): the prefix alone also covers
/// nested namespaces.
///
/// ```
/// use cache_core::Scope;
///
/// let scope = Scope::root();
/// assert!(scope.contains("user:1"));
/// assert!(!scope.contains("@sessions:user:1")); // of the namespace `sessions`
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    prefix: String,
    namespace_bytes: usize,
}

impl Scope {
    /// Joins what every key starts with and how many bytes of that are the namespace.
    pub(crate) const fn new(prefix: String, namespace_bytes: usize) -> Self {
        Self {
            prefix,
            namespace_bytes,
        }
    }

    /// Returns the scope of all keys that belong to no namespace. Namespaces are not part of it.
    #[must_use]
    pub const fn root() -> Self {
        Self {
            prefix: String::new(),
            namespace_bytes: 0,
        }
    }

    /// Returns the scope of the keys that start with `key_prefix`, in a namespace within others.
    ///
    /// ```
    /// use cache_core::Scope;
    ///
    /// let scope = Scope::of(&["sessions"], "user:")?;
    /// assert_eq!(scope.prefix(), "@sessions:user:");
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is not a namespace.
    pub fn of(namespaces: &[&str], key_prefix: &str) -> Result<Self> {
        Ok(Keyspace::of(namespaces)?.scope(key_prefix))
    }

    /// Returns what every key of the scope starts with, literally.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Takes the scope apart into what [`of`](Self::of) makes the same scope from: the namespaces,
    /// from the outermost in, and what the keys there start with.
    ///
    /// ```
    /// use cache_core::Scope;
    ///
    /// let scope = Scope::of(&["shop", "sessions"], "user:")?;
    /// let (namespaces, key_prefix) = scope.parts();
    /// assert_eq!((&*namespaces, key_prefix), (&["shop", "sessions"][..], "user:"));
    /// assert_eq!(Scope::of(&namespaces, key_prefix)?, scope);
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    #[must_use]
    pub fn parts(&self) -> (Vec<&str>, &str) {
        let (namespaces, escaped) = self.prefix.split_at(self.namespace_bytes);
        // Each is `@name:`.
        let names = namespaces.split_terminator(':').map(|name| &name[1..]);
        let escape = usize::from(escaped.as_bytes().first() == Some(&MARK));
        (names.collect(), &escaped[escape..])
    }

    /// Tells whether a backend's key belongs to the scope.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && match &key.as_bytes()[self.namespace_bytes..] {
                [MARK, MARK, ..] => true,
                [MARK, ..] => false,
                _ => true,
            }
    }
}
