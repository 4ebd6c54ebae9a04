//! Values that tell whose they are.

use serde::{Deserialize, Serialize};

use crate::history::Seen;

const BEGIN: &str = "proof:";
const END: char = ';';

/// The longest padding: some values are of several network packets on a small link.
const PADDING: u64 = 300;

/// A value: key, version, writer, padding and a checksum, as text that is found in raw bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload(String);

impl Payload {
    pub(crate) fn new(key: u32, version: u64, writer: u32) -> Self {
        let padding = "x".repeat(usize::try_from(version * 37 % PADDING).unwrap_or_default());
        let body = format!("{key}:{version}:{writer}:{padding}");
        let sum = crc32fast::hash(body.as_bytes());
        Self(format!("{BEGIN}{body}:{sum:08x}{END}"))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.parse().unwrap_or(Seen::Broken)
    }

    /// Finds a value in the bytes that a store holds, whatever the library has put around it.
    pub(crate) fn seen_in(bytes: &[u8]) -> Seen {
        let text = String::from_utf8_lossy(bytes);
        let inner = text.find(BEGIN).and_then(|start| {
            let end = text[start..].find(END)?;
            Some(Self(text[start..=start + end].to_owned()))
        });
        inner.map_or(Seen::Broken, |value| value.seen())
    }

    fn parse(&self) -> Option<Seen> {
        let whole = self.0.strip_prefix(BEGIN)?.strip_suffix(END)?;
        let (body, sum) = whole.rsplit_once(':')?;
        if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(body.as_bytes())) {
            return None;
        }
        let mut parts = body.split(':');
        Some(Seen::Whole {
            key: parts.next()?.parse().ok()?,
            version: parts.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;
    use crate::history::Seen;

    #[test]
    fn a_value_tells_its_key_and_version_and_is_found_among_other_bytes() {
        let value = Payload::new(7, 12, 3);
        let expected = Seen::Whole {
            key: 7,
            version: 12,
        };
        assert_eq!(value.seen(), expected);
        let stored = [b"\xff\x00header", value.0.as_bytes(), b"\xfe"].concat();
        assert_eq!(Payload::seen_in(&stored), expected);
    }

    #[test]
    fn a_value_with_any_byte_changed_is_broken() {
        let value = Payload::new(7, 12, 3).0;
        for at in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let changed = Payload(String::from_utf8(bytes).expect("ASCII stays ASCII"));
            assert_eq!(changed.seen(), Seen::Broken, "{changed:?}");
        }
    }
}
