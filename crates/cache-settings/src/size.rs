//! Sizes as people write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::table::may_hide_a_password;

/// A number of bytes that a file holds as a number, or as a text such as `64MiB` or `10kB`.
///
/// A text without a unit is a number of bytes. Units are `B`, `kB`, `MB`, `GB` of 1000 and `KiB`, `MiB`, `GiB` of 1024.
///
/// ```
/// use cache_settings::HumanSize;
///
/// let read: HumanSize = serde_json::from_str(r#""64MiB""#)?;
/// assert_eq!(usize::from(read), 64 << 20);
/// assert_eq!(usize::from(serde_json::from_str::<HumanSize>("512")?), 512);
/// assert_eq!(usize::from(serde_json::from_str::<HumanSize>(r#""512""#)?), 512);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanSize(usize);

impl From<HumanSize> for usize {
    fn from(size: HumanSize) -> Self {
        size.0
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).map(Self)
    }
}

const FORMS: &str = "a number of bytes, or one with a unit such as 512B, 10kB or 64MiB";

struct Text;

impl Visitor<'_> for Text {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        let refused = || {
            if may_hide_a_password(text) {
                return E::custom(format_args!("is a text, expected {FORMS}"));
            }
            E::custom(format_args!("is {text:?}, expected {FORMS}"))
        };
        parse(text).ok_or_else(refused)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<usize, E> {
        let refused = |_| E::custom(format_args!("is {number}, the most is {}", usize::MAX));
        usize::try_from(number).map_err(refused)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
        let refused = |_| E::custom(format_args!("is {number}, expected {FORMS}"));
        usize::try_from(number).map_err(refused)
    }
}

fn parse(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}
