//! Keys and namespaces: how a user's key becomes a backend's key, without collisions.
//!
//! A namespace is a prefix `@name:`. A key that itself starts with `@` has that sign
//! doubled, so after the prefix of a namespace `@` followed by anything but `@` can only
//! open a nested namespace. Names hold no `:`; together this makes the join injective:
//! no choice of names and keys reaches another namespace.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use crate::{Error, MAX_TAG_BYTES, Result, Scope};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64 * 1024;
/// The longest namespace name, in bytes.
pub const MAX_NAMESPACE_BYTES: usize = 64;

/// What opens a namespace.
pub(crate) const MARK: u8 = b'@';
/// The namespace, within each other one, of copies of values that have ended.
const COPIES: &str = "_stale";
/// The namespace, within each other one, of the names of tags.
const TAGS: &str = "_tag";
/// The namespaces of the holders of locks and of their last tokens, in stores that keep them as entries.
const LOCKS: &str = "_lock";
const LOCK_TOKENS: &str = "_lock_token";

/// How long a key may be that leaves its room to the next one that is lent on its thread.
const MAX_LENT_BYTES: usize = 1024;

thread_local! {
    /// The room of the key that was lent last.
    static JOINED: Cell<String> = const { Cell::new(String::new()) };
}
/// The namespace, within each other one, of the groups of counters.
const COUNTERS: &str = "_counter";

/// A part of the key space: the root (empty prefix) or a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keyspace(Option<Arc<str>>);

impl Keyspace {
    /// Returns a namespace within others, from the outermost in.
    pub(crate) fn of(namespaces: &[&str]) -> Result<Self> {
        let within = |space: Result<Self>, name: &&str| space?.nested(name);
        namespaces.iter().fold(Ok(Self::default()), within)
    }

    fn prefix(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Returns the nested namespace of that name, which callers may use.
    pub(crate) fn named(&self, name: &str) -> Result<Self> {
        let taken_for = match name {
            COPIES => "values that outlive their time",
            TAGS => "tags",
            LOCKS | LOCK_TOKENS => "locks",
            COUNTERS => "counters",
            _ => return self.nested(name),
        };
        let problem = format!("is {name:?}, which is for {taken_for}");
        Err(Error::invalid("namespace", problem))
    }

    /// Returns the nested namespace of that name.
    pub(crate) fn nested(&self, name: &str) -> Result<Self> {
        check_name("namespace", name)?;
        Ok(self.within(name))
    }

    /// Returns the namespace of the counters of that group.
    pub(crate) fn counters(&self, group: &str) -> Result<Self> {
        check_name("group", group)?;
        Ok(self.within(COUNTERS).within(group))
    }

    /// Checks a user's key and returns the backend's key.
    #[inline]
    pub(crate) fn encode<'k>(&self, key: &'k str) -> Result<Cow<'k, str>> {
        check_bytes("key", key, MAX_KEY_BYTES)?;
        if self.0.is_none() && key.as_bytes()[0] != MARK {
            return Ok(Cow::Borrowed(key));
        }
        Ok(Cow::Owned(self.join(key)))
    }

    /// Tells whether a user's key is a good one, and the backend's key too.
    #[inline]
    pub(crate) fn is_raw(&self, key: &str) -> bool {
        let (first, length) = (key.as_bytes().first(), key.len());
        self.0.is_none() && length <= MAX_KEY_BYTES && first.is_some_and(|first| *first != MARK)
    }

    /// Checks a user's key and lends the backend's key, without an allocation.
    #[inline]
    pub(crate) fn lend<T>(&self, key: &str, take: impl FnOnce(&str) -> T) -> Result<T> {
        if self.is_raw(key) {
            return Ok(take(key));
        }
        check_bytes("key", key, MAX_KEY_BYTES)?;
        // The room is taken away for the time of the call, which may come here again.
        // A thread that ends has none left.
        let mut joined = JOINED.try_with(Cell::take).unwrap_or_default();
        joined.clear();
        joined.extend([self.prefix(), escape(key), key]);
        let taken = take(&joined);
        if joined.capacity() <= MAX_LENT_BYTES {
            let _ = JOINED.try_with(|room| room.set(joined));
        }
        Ok(taken)
    }

    /// Returns the backend's key of the copy of a value that outlives it.
    pub(crate) fn copy_of(&self, key: &str) -> String {
        self.copies().join(key)
    }

    /// Returns the namespace of these copies.
    pub(crate) fn copies(&self) -> Self {
        self.within(COPIES)
    }

    /// Checks the name of a tag and returns the key that names it to a backend.
    pub(crate) fn tag(&self, tag: &str) -> Result<String> {
        check_bytes("tag", tag, MAX_TAG_BYTES)?;
        Ok(self.within(TAGS).join(tag))
    }

    /// Returns the keys that name a tag of entries and the same of their copies.
    pub(crate) fn tag_and_copy(&self, tag: &str) -> Result<[String; 2]> {
        Ok([self.tag(tag)?, self.copies().tag(tag)?])
    }

    /// Returns the name of a tag of this namespace by the key that names it to a backend.
    pub(crate) fn tag_name(&self, key: &str) -> Option<String> {
        self.within(TAGS).decode(key).map(str::to_owned)
    }

    fn within(&self, name: &str) -> Self {
        Self(Some(format!("{}@{name}:", self.prefix()).into()))
    }

    fn join(&self, key: &str) -> String {
        [self.prefix(), escape(key), key].concat()
    }

    /// Returns the user's key, or `None` for a backend's key outside of this namespace.
    pub(crate) fn decode<'k>(&self, raw: &'k str) -> Option<&'k str> {
        let rest = raw.strip_prefix(self.prefix())?;
        match rest.as_bytes() {
            [MARK, MARK, ..] => Some(&rest[1..]),
            [MARK, ..] => None,
            _ => Some(rest),
        }
    }

    /// Returns the scope of the keys of this namespace that start with `key_prefix`.
    pub(crate) fn scope(&self, key_prefix: &str) -> Scope {
        Scope::new(self.join(key_prefix), self.prefix().len())
    }
}

/// Tells whether a backend's key names a tag and not an entry.
///
/// ```
/// use cache_core::{is_tag_key, tag_keys};
///
/// let [of_entries, of_copies] = tag_keys(&["shop"], "team:7")?;
/// assert!(is_tag_key(&of_entries) && is_tag_key(&of_copies));
/// assert!(!is_tag_key("@shop:user:1") && !is_tag_key("team:7"));
/// # Ok::<(), cache_core::Error>(())
/// ```
#[must_use]
pub fn is_tag_key(key: &str) -> bool {
    let (mut rest, mut innermost) = (key, "");
    while let Some(named) = rest.strip_prefix('@').filter(|rest| !rest.starts_with('@'))
        && let Some((name, within)) = named.split_once(':')
    {
        (rest, innermost) = (within, name);
    }
    innermost == TAGS
}

/// Returns the keys that name a tag to a backend, of a cache in a namespace within others: that of its
/// entries, and that of the values which the cache keeps beyond their end.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is not a namespace, and unless
/// `tag` is 1 to [`MAX_TAG_BYTES`] bytes long.
pub fn tag_keys(namespaces: &[&str], tag: &str) -> Result<[String; 2]> {
    Keyspace::of(namespaces)?.tag_and_copy(tag)
}

/// Returns the key of the entry that is the holder of a lock.
pub(crate) fn lock_key(name: &str) -> String {
    Keyspace::default().within(LOCKS).prefix().to_owned() + name
}

/// Returns the key of the entry that keeps the last token of a lock.
pub(crate) fn lock_token_key(name: &str) -> String {
    Keyspace::default().within(LOCK_TOKENS).prefix().to_owned() + name
}

/// Returns the key that names a counter to a backend, of a cache in a namespace within others: by the group
/// of the counter and its key there.
///
/// ```
/// use cache_core::counter_key;
///
/// assert_eq!(counter_key(&["shop"], "requests", "10.0.0.7")?, "@shop:@_counter:@requests:10.0.0.7");
/// # Ok::<(), cache_core::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for names that are no namespace or no group, and unless
/// `key` is 1 to [`MAX_KEY_BYTES`] bytes long.
pub fn counter_key(namespaces: &[&str], group: &str, key: &str) -> Result<String> {
    let counters = Keyspace::of(namespaces)?.counters(group)?;
    Ok(counters.encode(key)?.into_owned())
}

/// Checks what is to stand between `@` and `:`.
fn check_name(field: &'static str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(field, "is empty, the least is 1 byte"));
    }
    if name.len() > MAX_NAMESPACE_BYTES {
        return Err(too_long(field, name.len(), MAX_NAMESPACE_BYTES));
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = name.chars().find(|c| !allowed(c)) {
        let problem = format!("holds {bad:?}, allowed are ASCII letters, digits, '-', '_' and '.'");
        return Err(Error::invalid(field, problem));
    }
    Ok(())
}

/// Returns what stands in front of a user's key, so that it opens no namespace.
const fn escape(key: &str) -> &'static str {
    match key.as_bytes() {
        [MARK, ..] => "@",
        _ => "",
    }
}

/// Refuses what is empty and what is too long.
#[inline]
pub(crate) fn check_bytes(field: &'static str, text: &str, limit: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(field, "is empty, the least is 1 byte"));
    }
    if text.len() > limit {
        return Err(too_long(field, text.len(), limit));
    }
    Ok(())
}

#[cold]
fn too_long(field: &'static str, bytes: usize, limit: usize) -> Error {
    Error::invalid(field, format!("is {bytes} bytes long, the most is {limit}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keyspace, is_tag_key};
    use crate::Scope;

    /// Names and keys made of the characters that could break the join.
    fn key() -> impl Strategy<Value = String> {
        "[@:ab*{}\\[\\]\n\u{0}é]{1,6}"
    }
    fn path() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab]{1,2}", 0..3)
    }
    fn keyspace(path: &[String]) -> Keyspace {
        path.iter().fold(Keyspace::default(), |space, name| {
            space.nested(name).unwrap()
        })
    }

    proptest! {
        #[test]
        fn two_different_keys_or_namespaces_never_meet(
            a in (path(), key()), b in (path(), key()),
        ) {
            let left = keyspace(&a.0).encode(&a.1).unwrap().into_owned();
            let right = keyspace(&b.0).encode(&b.1).unwrap().into_owned();
            prop_assert_eq!(left == right, a == b);
        }

        #[test]
        fn a_key_is_decoded_and_contained_by_its_own_namespace_alone(
            own in path(), other in path(), key in key(),
        ) {
            let raw = keyspace(&own).encode(&key).unwrap().into_owned();
            prop_assert_eq!(keyspace(&own).decode(&raw), Some(key.as_str()));
            prop_assert_eq!(keyspace(&other).decode(&raw).is_some(), own == other);
            prop_assert_eq!(keyspace(&other).scope("").contains(&raw), own == other);
        }

        #[test]
        fn a_tag_is_told_from_every_entry_and_no_two_tags_meet(
            a in (path(), key()), b in (path(), key()),
        ) {
            let left = keyspace(&a.0).tag(&a.1).unwrap();
            prop_assert_eq!(left == keyspace(&b.0).tag(&b.1).unwrap(), a == b);
            prop_assert!(is_tag_key(&left));
            prop_assert!(!is_tag_key(&keyspace(&b.0).encode(&b.1).unwrap()));
            prop_assert!(!keyspace(&b.0).scope("").contains(&left));
        }

        #[test]
        fn a_counter_is_in_no_scope_of_entries_and_no_two_counters_meet(
            a in (path(), "[ab]{1,2}", key()), b in (path(), "[ab]{1,2}", key()),
        ) {
            let name = |(path, group, key): &(Vec<String>, String, String)| {
                keyspace(path).counters(group).unwrap().encode(key).unwrap().into_owned()
            };
            let left = name(&a);
            prop_assert_eq!(left == name(&b), a == b);
            prop_assert!(!keyspace(&b.0).scope("").contains(&left));
            prop_assert!(!is_tag_key(&left));
            prop_assert!(left != *keyspace(&b.0).encode(&b.2).unwrap());
        }

        #[test]
        fn a_scope_with_a_prefix_holds_the_keys_that_start_with_it(
            own in path(), key in key(), prefix in key(),
        ) {
            let space = keyspace(&own);
            let raw = space.encode(&key).unwrap().into_owned();
            let scope = space.scope(&prefix);
            prop_assert_eq!(scope.contains(&raw), key.starts_with(&prefix));
            let (namespaces, key_prefix) = scope.parts();
            prop_assert_eq!(Scope::of(&namespaces, key_prefix).unwrap(), scope.clone());
        }
    }
}
