//! How a backend's key becomes a key in the database, and back.
//!
//! A namespace is the prefix `name:`. In a cluster, the first `{…}` of a key would choose its
//! slot. So a key with a `{` gets an empty `{}` in front, behind which braces mean nothing
//! to the server: `cache:{}a{b}c`. A key without one never starts with `{}`, so the join is injective.

use bytes::Bytes;
use cache_core::{Error, Result, Scope};

const NO_TAG: &str = "{}";

/// The keys of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// `name:`, or nothing for bare keys.
    prefix: String,
    /// Whether braces are made meaningless.
    neutral: bool,
    max_bytes: usize,
}

impl Keys {
    pub(crate) fn new(namespace: Option<&str>, hash_tags: bool, max_bytes: usize) -> Self {
        Self {
            prefix: namespace.map_or(String::new(), |name| format!("{name}:")),
            neutral: namespace.is_some() && !hash_tags,
            max_bytes,
        }
    }

    /// Returns the same keys under another namespace.
    pub(crate) fn renamed(&self, namespace: &str) -> Result<Self> {
        check_namespace(namespace)?;
        let hash_tags = !self.neutral && !self.prefix.is_empty();
        Ok(Self::new(Some(namespace), hash_tags, self.max_bytes))
    }

    /// Tells whether nothing tells these keys from those of other programs.
    pub(crate) const fn are_bare(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Returns the name in front of the keys.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.prefix.strip_suffix(':')
    }

    /// Returns what all keys in the database start with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns a key in the database that is none of this store, in the slot of the tag: with braces,
    /// and, where these are allowed, in a namespace of the facade that cannot be.
    pub(crate) fn generation(&self, tag: u32) -> Bytes {
        format!("{}@{{{tag}}}generation", self.prefix).into()
    }

    /// Returns the channel of those who change keys of this store: in a cluster each namespace has
    /// another slot.
    pub(crate) fn channel(&self) -> String {
        let name = self.namespace().unwrap_or_default();
        format!("{}@{{{name}}}invalidations", self.prefix)
    }

    /// Returns the channel of those who wait for the end of a load.
    pub(crate) fn lease_channel(&self) -> String {
        let name = self.namespace().unwrap_or_default();
        format!("{}@{{{name}}}leases", self.prefix)
    }

    /// Returns the key in the database of what changes with each invalidation of a tag, which is none
    /// of this store: in a cluster each namespace has another slot.
    pub(crate) fn tag_generation(&self) -> Bytes {
        let name = self.namespace().unwrap_or_default();
        format!("{}@{{{name}}}tags", self.prefix).into()
    }

    /// Returns the keys in the database of a lock and of the last token that it had, in one slot and
    /// none of this store.
    pub(crate) fn lock(&self, tag: u16, name: &str) -> [Bytes; 2] {
        let key = |what: &str| format!("{}@{{{tag}}}{what}:{name}", self.prefix).into();
        [key("lock"), key("token")]
    }

    /// Returns the key in the database of a counter, which is none of this store; under bare keys there is
    /// none. It does not start as keys of the store do: caches in memory would be told of each `add`.
    pub(crate) fn counter(&self, tag: u16, name: &str) -> Option<Bytes> {
        let namespace = self.namespace()?;
        Some(format!("{namespace}@{{{tag}}}counter:{name}").into())
    }

    /// Refuses a key that is too long.
    pub(crate) fn check(&self, key: &str) -> Result<()> {
        if key.len() <= self.max_bytes {
            return Ok(());
        }
        let problem = format!(
            "is {} bytes long with its namespaces, the most is {}",
            key.len(),
            self.max_bytes
        );
        Err(Error::invalid("key", problem))
    }

    /// Returns the key in the database, if it is not too long.
    pub(crate) fn encode(&self, key: &str) -> Result<Bytes> {
        self.check(key)?;
        Ok(self.join(key))
    }

    /// Returns the key in the database.
    pub(crate) fn join(&self, key: &str) -> Bytes {
        // Of exactly the right capacity, so that it becomes `Bytes` without another allocation.
        Bytes::from([&self.prefix, self.tag(key), key].concat())
    }

    /// Returns many keys in the database, which share one allocation.
    pub(crate) fn join_all<'k>(&self, keys: impl Iterator<Item = &'k str> + Clone) -> Vec<Bytes> {
        let length = |key: &str| self.prefix.len() + self.tag(key).len() + key.len();
        let mut joined = String::with_capacity(keys.clone().map(length).sum());
        let lengths = keys.map(|key| {
            joined.extend([&self.prefix, self.tag(key), key]);
            length(key)
        });
        let lengths: Vec<usize> = lengths.collect();
        let mut rest = Bytes::from(joined);
        let keys = lengths.into_iter().map(|length| rest.split_to(length));
        keys.collect()
    }

    /// Writes the key in the database over `buffer`.
    pub(crate) fn join_into(&self, key: &str, buffer: &mut String) {
        buffer.clear();
        buffer.extend([&self.prefix, self.tag(key), key]);
    }

    fn tag(&self, key: &str) -> &'static str {
        if self.neutral && key.contains('{') {
            NO_TAG
        } else {
            ""
        }
    }

    /// Returns the backend's key, or `None` for a key of somebody else.
    pub(crate) fn decode<'k>(&self, stored: &'k [u8]) -> Option<&'k str> {
        let key = stored.strip_prefix(self.prefix.as_bytes())?;
        let key = std::str::from_utf8(key).ok()?;
        if !self.neutral || !key.contains('{') {
            return Some(key);
        }
        key.strip_prefix(NO_TAG).filter(|key| key.contains('{'))
    }

    /// Returns a glob pattern that matches at least the stored keys of those that start with
    /// `key_prefix`.
    pub(crate) fn pattern(&self, key_prefix: &str) -> String {
        let mut pattern = escape_glob(&self.prefix);
        if self.neutral && !key_prefix.is_empty() {
            // There may be an empty tag in between. What else matches is sorted out by `decode`.
            pattern.push('*');
        }
        pattern.push_str(&escape_glob(key_prefix));
        pattern.push('*');
        pattern
    }
}

/// Makes every character of a pattern stand for itself.
fn escape_glob(literal: &str) -> String {
    let mut escaped = String::with_capacity(literal.len());
    for character in literal.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Refuses names that could be mistaken for patterns or for parts of keys.
pub(crate) fn check_namespace(name: &str) -> Result<()> {
    Scope::of(&[name], "").map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keys, escape_glob};

    fn key() -> impl Strategy<Value = String> {
        "[{}:ab*\\[\\]\n\u{0}é]{1,6}"
    }

    proptest! {
        #[test]
        fn a_key_comes_back_and_no_two_keys_or_namespaces_meet(
            a in ("[ab]{1,2}", key()), b in ("[ab]{1,2}", key()), tags in any::<bool>(),
        ) {
            let keys = |name: &str| Keys::new(Some(name), tags, usize::MAX);
            let left = keys(&a.0).encode(&a.1).unwrap();
            prop_assert_eq!(keys(&a.0).decode(&left), Some(a.1.as_str()));
            prop_assert_eq!(left == keys(&b.0).encode(&b.1).unwrap(), a == b);
            prop_assert_eq!(keys(&b.0).decode(&left).is_some(), a.0 == b.0);
            let both = keys(&a.0).join_all([a.1.as_str(), &b.1].into_iter());
            prop_assert_eq!(both, [left, keys(&a.0).join(&b.1)]);
        }

        #[test]
        fn what_decodes_to_a_key_is_how_that_key_is_stored(
            stored in "a:[{}ab]{0,6}", tags in any::<bool>(),
        ) {
            let keys = Keys::new(Some("a"), tags, usize::MAX);
            if let Some(key) = keys.decode(stored.as_bytes()) {
                prop_assert_eq!(&keys.encode(key).unwrap()[..], stored.as_bytes());
            }
        }
    }

    #[test]
    fn the_keys_of_buses_locks_tags_and_counters_are_none_of_a_cache() {
        let root = cache_core::Scope::root();
        for tags in [false, true] {
            let keys = Keys::new(Some("a"), tags, usize::MAX);
            let key = keys.generation(7);
            assert_eq!(&key[..], b"a:@{7}generation");
            let [lock, token] = keys.lock(9, "{b}:c");
            assert_eq!(&lock[..], b"a:@{9}lock:{b}:c");
            assert_eq!(&token[..], b"a:@{9}token:{b}:c");
            let of_tags = keys.tag_generation();
            assert_eq!(&of_tags[..], b"a:@{a}tags");
            let counter = keys.counter(9, "@_counter:@b:{c}").unwrap();
            assert_eq!(&counter[..], b"a@{9}counter:@_counter:@b:{c}");
            assert!(!counter.starts_with(keys.prefix().as_bytes()));
            assert_eq!(Keys::new(None, tags, usize::MAX).counter(9, "b"), None);
            for key in [key, lock, token, of_tags, counter] {
                let decoded = keys.decode(&key);
                assert!(decoded.is_none_or(|key| tags && !root.contains(key)));
            }
        }
    }

    #[test]
    fn glob_characters_are_escaped() {
        assert_eq!(escape_glob(r"a*?[^b-c]\"), r"a\*\?\[\^b\-c\]\\");
    }
}
