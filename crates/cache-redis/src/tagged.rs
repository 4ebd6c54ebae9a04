//! Values that have tags: how they are stored.
//!
//! In front of such a value stands a header: eight bytes that no value of this cache starts with (the
//! second is the version of the envelope, which is never 0), the length of the whole header in four
//! bytes, and for each tag the length of its name in two bytes, its name and the eight bytes of the
//! version that it had. Numbers are big endian; see [`crate::client`] for the scripts that cut the
//! header off in the server.

use bytes::Bytes;
use cache_core::MAX_TAGS;

use crate::random;

const MAGIC: &[u8; 8] = b"\xC1\x00tags\x00\x01";
/// How many bytes stand in front of the tags.
const START: usize = 12;
/// The longest header; the scripts know it too.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The longest name of a tag, with its namespaces.
pub(crate) const MAX_NAME_BYTES: usize = u16::MAX as usize;

/// What a tag has another one of after each invalidation.
pub(crate) type Version = [u8; 8];
/// The version that no tag ever has.
pub(crate) const NO_VERSION: Version = [0; 8];

/// Returns a version that no tag has had yet.
pub(crate) fn new_version() -> Version {
    random::number().max(1).to_be_bytes()
}

/// The tags of a value and the versions that they had when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header(Bytes);

impl Header {
    /// Reads a header, if the bytes are one and nothing else.
    pub(crate) fn parse(bytes: Bytes) -> Option<Self> {
        if length(&bytes)? != bytes.len() {
            return None;
        }
        let mut rest = &bytes[START..];
        let mut tags = 0;
        while !rest.is_empty() {
            (_, rest) = first_tag(rest)?;
            tags += 1;
        }
        (1..=MAX_TAGS).contains(&tags).then_some(Self(bytes))
    }

    /// Returns the names of the tags and their versions.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&str, Version)> {
        let mut rest = &self.0[START..];
        std::iter::from_fn(move || {
            let (tag, others) = first_tag(rest)?;
            rest = others;
            Some(tag)
        })
    }
}

/// Tells whether a stored value has, or seems to have, a header.
pub(crate) fn is_one(stored: &[u8]) -> bool {
    stored.starts_with(MAGIC)
}

/// Puts a header in front of a value. The names are at most [`MAX_NAME_BYTES`] long.
pub(crate) fn join(tags: &[(&str, Version)], value: &[u8]) -> Bytes {
    let of_tags = tags.iter().map(|(name, _)| 2 + name.len() + 8);
    let length = START + of_tags.sum::<usize>();
    let mut stored = Vec::with_capacity(length + value.len());
    stored.extend(MAGIC);
    stored.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for (name, version) in tags {
        stored.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        stored.extend(name.as_bytes());
        stored.extend(version);
    }
    stored.extend(value);
    stored.into()
}

/// Cuts a value from the bytes of its header, as the scripts do, whether these can be read or not.
pub(crate) fn cut(stored: &Bytes) -> Option<(Bytes, Bytes)> {
    let length = length(stored)?;
    Some((stored.slice(..length), stored.slice(length..)))
}

/// Returns how long the header is.
fn length(stored: &[u8]) -> Option<usize> {
    let length = stored.strip_prefix(MAGIC)?.first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let most = stored.len().min(MAX_BYTES);
    (START..=most).contains(&length).then_some(length)
}

/// Returns the first of some tags, and the others.
fn first_tag(tags: &[u8]) -> Option<((&str, Version), &[u8])> {
    let (length, rest) = tags.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (version, rest) = rest.split_first_chunk()?;
    Some(((std::str::from_utf8(name).ok()?, *version), rest))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{Header, MAX_TAGS, Version, cut, is_one, join, new_version};

    fn tags() -> impl Strategy<Value = Vec<(String, Version)>> {
        proptest::collection::vec(("[a@:é]{0,9}", any::<Version>()), 1..5)
    }

    fn borrowed(tags: &[(String, Version)]) -> Vec<(&str, Version)> {
        let tags = tags.iter();
        tags.map(|(name, version)| (&**name, *version)).collect()
    }

    proptest! {
        #[test]
        fn tags_and_value_come_back(tags in tags(), value in any::<Vec<u8>>()) {
            let stored = join(&borrowed(&tags), &value);
            prop_assert!(is_one(&stored));
            let (header, payload) = cut(&stored).unwrap();
            prop_assert_eq!(&payload[..], &value);
            let header = Header::parse(header).unwrap();
            prop_assert_eq!(header.tags().collect::<Vec<_>>(), borrowed(&tags));
        }

        #[test]
        fn no_bytes_are_too_strange_to_be_looked_at(
            tags in tags(), change in any::<(usize, u8)>(), end in any::<usize>(),
        ) {
            let mut stored = join(&borrowed(&tags), b"value").to_vec();
            let place = change.0 % stored.len();
            stored[place] = change.1;
            stored.truncate(end % (stored.len() + 1));
            if let Some((header, _)) = cut(&stored.into())
                && let Some(header) = Header::parse(header)
            {
                prop_assert!((1..=MAX_TAGS).contains(&header.tags().count()));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_that_the_scripts_cut() {
        let stored = join(&[("ab", *b"versions")], b"value");
        assert_eq!(
            &stored[..],
            b"\xC1\0tags\0\x01\0\0\0\x18\0\x02abversionsvalue"
        );
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let stored = |length: u32, rest: &[u8]| {
            let start = b"\xC1\0tags\0\x01".to_vec();
            Bytes::from([&start, &length.to_be_bytes()[..], rest].concat())
        };
        let one = b"\0\x01a12345678";
        let header = |length, rest: &[u8]| Header::parse(stored(length, rest));
        assert!(header(23, one).is_some());
        for (length, rest) in [
            (0, &one[..]),
            (11, one),
            // Without tags, cut short and too long.
            (12, b""),
            (22, &one[..10]),
            (24, b"\0\x01a123456789"),
            // A length of another value, and a name that is no text.
            (22, one),
            (23, b"\0\x01\xFF12345678"),
            (u32::MAX, one),
        ] {
            assert_eq!(header(length, rest), None, "{length} {rest:?}");
        }
        for length in [0, 11, 24, u32::MAX] {
            assert_eq!(cut(&stored(length, one)), None, "{length}");
        }
        let many = one.repeat(MAX_TAGS + 1);
        assert_eq!(header(12 + many.len() as u32, &many), None);
        assert_eq!(cut(&Bytes::from_static(b"\xC1\0tags\0\x01\0\0\0")), None);
    }

    #[test]
    fn no_two_versions_are_the_same() {
        let versions: std::collections::HashSet<_> = (0..1_000).map(|_| new_version()).collect();
        assert_eq!(versions.len(), 1_000);
    }
}
