//! The value that stands under a key while somebody has its load lease.
//!
//! It stands under the key itself, so that whoever writes or deletes the key, be it another program,
//! revokes the lease by that. It is eight bytes that no value of this cache starts with (the second is
//! the version of the envelope, which is never 0), the fencing token in 16 decimal digits and the
//! nonce in 16 hexadecimal ones. All readers take it for an absent key; see [`crate::client`] for the
//! scripts that do so in the server.

use bytes::Bytes;
use cache_core::LoadLease;

const PREFIX: &[u8; 8] = b"\xC1\x00lease\x01";
/// How many bytes a placeholder has.
const LENGTH: usize = 8 + 16 + 16;

/// Returns the placeholder of a lease.
pub(crate) fn of(lease: LoadLease) -> Bytes {
    let mut bytes = PREFIX.to_vec();
    let (token, nonce) = (lease.fencing_token(), nonce(lease.nonce()));
    bytes.extend(format!("{token:016}{nonce}").into_bytes());
    bytes.into()
}

/// Returns the digits of a nonce.
pub(crate) fn nonce(nonce: u64) -> String {
    format!("{nonce:016x}")
}

/// Returns the lease of a placeholder; `None` if it is none.
pub(crate) fn lease(stored: &[u8]) -> Option<LoadLease> {
    let digits = std::str::from_utf8(stored.strip_prefix(PREFIX)?).ok()?;
    let (token, nonce) = digits.split_at_checked(16)?;
    let nonce = u64::from_str_radix(nonce, 16).ok()?;
    Some(LoadLease::new(token.parse().ok()?, nonce))
}

/// Tells whether a stored value is a placeholder.
pub(crate) fn is_one(stored: &[u8]) -> bool {
    stored.len() == LENGTH && stored.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use cache_core::LoadLease;

    use super::{LENGTH, is_one, lease, of};

    #[test]
    fn only_what_is_made_for_a_lease_is_a_placeholder() {
        for (token, nonce) in [(1, 0), (1_790_000_000_000_000, u64::MAX)] {
            let made = of(LoadLease::new(token, nonce));
            assert!(is_one(&made));
            assert_eq!(lease(&made), Some(LoadLease::new(token, nonce)));
            assert_eq!(lease(&made[1..]), None);
            assert!(!is_one(&made[..LENGTH - 1]));
            assert!(!is_one(&[&made[..], b"0"].concat()));
        }
        let mut later = of(LoadLease::new(1, 0)).to_vec();
        later[1] = 1;
        assert!(!is_one(&later));
    }
}
