//! What the buses of a channel say to each other, in bytes.
//!
//! A version, the origin in 16 bytes, a kind, and then texts, each behind its length in four bytes, the
//! least first. These are keys, or the parts of a scope: its namespaces and what its keys start with.

use bytes::Bytes;
use cache_core::{Invalidation, Scope};

const VERSION: u8 = 1;
/// The version, the origin and the kind.
const HEAD: usize = 1 + 16 + 1;
const LENGTH: usize = 4;
/// The longest message, in bytes.
const MOST: usize = 64 * 1024;

const KEYS: u8 = 0;
const SCOPE: u8 = 1;
const ALL: u8 = 2;
const NONCE: u8 = 3;

/// What is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Changed(Invalidation),
    /// Something that no message has room for.
    All,
    /// What is sent only to be heard by its sender.
    Nonce(u64),
}

/// Returns the messages that tell of a change; none for one of a later version of the contract.
pub(super) fn tell(origin: u128, change: &Invalidation) -> Option<Vec<Bytes>> {
    match change {
        Invalidation::Keys(keys) => {
            let fit = |key: &&String| HEAD + LENGTH + key.len() <= MOST;
            if !keys.iter().all(|key| fit(&key)) {
                return Some(vec![head(origin, ALL).into()]);
            }
            let mut messages = vec![head(origin, KEYS)];
            for key in keys {
                if messages
                    .last()
                    .is_some_and(|last| last.len() + LENGTH + key.len() > MOST)
                {
                    messages.push(head(origin, KEYS));
                }
                messages
                    .last_mut()
                    .into_iter()
                    .for_each(|last| push(last, key));
            }
            Some(messages.into_iter().map(Bytes::from).collect())
        }
        Invalidation::Scope(scope) => {
            let (namespaces, key_prefix) = scope.parts();
            let mut message = head(origin, SCOPE);
            for part in namespaces.into_iter().chain([key_prefix]) {
                push(&mut message, part);
            }
            if message.len() > MOST {
                message = head(origin, ALL);
            }
            Some(vec![message.into()])
        }
        _ => None,
    }
}

/// Returns a message for its sender.
pub(super) fn nonce(origin: u128, nonce: u64) -> Bytes {
    let mut message = head(origin, NONCE);
    message.extend(nonce.to_le_bytes());
    message.into()
}

/// Returns the origin of a message and what it says, or nothing for what is no message of this version.
pub(super) fn read(bytes: &[u8]) -> Option<(u128, Message)> {
    if bytes.len() > MOST {
        return None;
    }
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let [VERSION, origin @ .., kind] = head else {
        return None;
    };
    let origin = u128::from_le_bytes(*origin);
    let message = match *kind {
        KEYS => Message::Changed(Invalidation::Keys(
            texts(rest)?.map(str::to_owned).collect(),
        )),
        SCOPE => {
            let parts: Vec<&str> = texts(rest)?.collect();
            let (key_prefix, namespaces) = parts.split_last()?;
            Message::Changed(Invalidation::Scope(Scope::of(namespaces, key_prefix).ok()?))
        }
        ALL if rest.is_empty() => Message::All,
        NONCE => Message::Nonce(u64::from_le_bytes(rest.try_into().ok()?)),
        _ => return None,
    };
    Some((origin, message))
}

fn head(origin: u128, kind: u8) -> Vec<u8> {
    let mut head = vec![VERSION];
    head.extend(origin.to_le_bytes());
    head.push(kind);
    head
}

fn push(message: &mut Vec<u8>, text: &str) {
    // It is shorter than a message.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    message.extend(length.to_le_bytes());
    message.extend(text.as_bytes());
}

/// Returns all texts, if there is nothing else.
fn texts(mut bytes: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        texts.push(std::str::from_utf8(text).ok()?);
        bytes = rest;
    }
    Some(texts.into_iter())
}

#[cfg(test)]
mod tests {
    use cache_core::{Invalidation, Scope};
    use proptest::prelude::*;

    use super::{HEAD, MOST, Message, nonce, read, tell};

    fn said(change: &Invalidation) -> Vec<Message> {
        let messages = tell(7, change).unwrap();
        let read = messages.iter().map(|message| {
            assert!(message.len() <= MOST);
            let (origin, message) = read(message).unwrap();
            assert_eq!(origin, 7);
            message
        });
        read.collect()
    }

    proptest! {
        #[test]
        fn keys_come_back(keys in proptest::collection::vec(".{0,40}", 0..50)) {
            let change = Invalidation::Keys(keys);
            prop_assert_eq!(said(&change), [Message::Changed(change)]);
        }

        #[test]
        fn scopes_come_back(
            names in proptest::collection::vec("[a-z]{1,3}", 0..3), prefix in "[@:ab]{0,4}",
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let change = Invalidation::Scope(Scope::of(&names, &prefix).unwrap());
            prop_assert_eq!(said(&change), [Message::Changed(change)]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), kind in 0_u8..5,
        ) {
            let _ = read(&bytes);
            let mut known = vec![1; HEAD];
            known[HEAD - 1] = kind;
            known.extend(bytes);
            let _ = read(&known);
        }
    }

    #[test]
    fn many_keys_are_split_and_none_is_lost() {
        let keys: Vec<String> = (0..10_000).map(|i| format!("{i:0100}")).collect();
        let mut heard = Vec::new();
        let messages = said(&Invalidation::Keys(keys.clone()));
        assert_eq!(messages.len(), 16);
        for message in messages {
            match message {
                Message::Changed(Invalidation::Keys(some)) => heard.extend(some),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard, keys);
    }

    #[test]
    fn what_does_not_fit_stands_for_everything() {
        let longest = "k".repeat(MOST - HEAD - 4);
        let one = Invalidation::Keys(vec![longest.clone()]);
        assert_eq!(said(&one), [Message::Changed(one)]);
        let longer = Invalidation::Keys(vec!["a".into(), longest.clone() + "k"]);
        assert_eq!(said(&longer), [Message::All]);
        let scope = Scope::of(&[], &(longest + "k")).unwrap();
        assert_eq!(said(&Invalidation::Scope(scope)), [Message::All]);
    }

    #[test]
    fn what_is_of_another_version_or_cut_off_or_too_long_is_no_message() {
        let whole = nonce(7, 9);
        assert_eq!(read(&whole), Some((7, Message::Nonce(9))));
        let mut later = whole.to_vec();
        later[0] = 2;
        assert_eq!(read(&later), None);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None);
        }
        let change = Invalidation::Keys(vec!["a".into()]);
        let mut long = tell(7, &change).unwrap()[0].to_vec();
        long[HEAD..HEAD + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&long), None);
        assert_eq!(read(&vec![1; 1024 * 1024]), None);
        assert_eq!(read(&[]), None);
    }
}
