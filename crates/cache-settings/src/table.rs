//! Tables, of which every field must be known.

mod quiet;

use std::fmt;

use serde::de::Visitor;
use serde::de::value::StringDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess};

use self::quiet::Quiet;

/// How near a name must be to be meant, from 0 to 1.
const NEAR: f64 = 0.8;

/// Reads a struct that derives `Deserialize` from a table, in a format that describes itself.
///
/// An unknown field is refused with the nearest one that is known. An error is preceded by the name
/// of the field that it is about. It quotes nothing when there is something else in place of the table:
/// somebody may have put a URL with a password there. For the same reason it quotes no text that looks
/// like one in place of a field, a variant or a number.
///
/// # Errors
/// Those of the deserializer, and its custom one for an unknown field.
pub fn read<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(Table(deserializer))
}

/// Sets a field if the table has one.
pub fn put<T, U: Into<T>>(field: &mut T, read: Option<U>) {
    if let Some(value) = read {
        *field = value.into();
    }
}

/// A deserializer of one struct; what is in it is not its concern.
struct Table<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Table<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        // Whoever is asked for a struct quotes what is none.
        self.0.deserialize_any(Checked { visitor, fields })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The entries of a table, or the visitor of one, with the fields that it may have.
struct Checked<V> {
    visitor: V,
    fields: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<V::Value, E> {
        Err(E::custom("is a text, expected a table"))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Entries {
            entries,
            fields: self.fields,
            last: "",
        })
    }
}

struct Entries<A> {
    entries: A,
    fields: &'static [&'static str],
    last: &'static str,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error>
    where
        K: DeserializeSeed<'de>,
    {
        let Some(name) = self.entries.next_key::<String>()? else {
            return Ok(None);
        };
        let known = self.fields.iter().find(|field| **field == name);
        self.last = known.ok_or_else(|| unknown(&name, self.fields))?;
        let name: StringDeserializer<A::Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S>(&mut self, seed: S) -> Result<S::Value, A::Error>
    where
        S: DeserializeSeed<'de>,
    {
        let value = self.entries.next_value_seed(Quiet(seed));
        value.map_err(|error| {
            let text = error.to_string();
            // Some formats say in further lines where it is, which the name says already.
            let text = text.lines().next().unwrap_or_default();
            A::Error::custom(format_args!("{}: {text}", self.last))
        })
    }
}

/// Whether a text in the wrong place could be a URL, or the end of one: an error does not quote it.
pub(crate) fn may_hide_a_password(text: &str) -> bool {
    text.contains([':', '@'])
}

fn unknown<E: Error>(name: &str, fields: &[&str]) -> E {
    let nearness = |field: &&&str| strsim::jaro_winkler(name, field);
    let near = fields.iter().filter(|field| nearness(field) >= NEAR);
    let nearest = near.max_by(|one, other| nearness(one).total_cmp(&nearness(other)));
    let known = fields.join(", ");
    if may_hide_a_password(name) {
        return E::custom(format_args!("unknown field, known are {known}"));
    }
    match nearest {
        Some(field) => E::custom(format_args!(
            "unknown field `{name}`, did you mean `{field}`? known are {known}"
        )),
        None => E::custom(format_args!("unknown field `{name}`, known are {known}")),
    }
}
