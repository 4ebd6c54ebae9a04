//! Looks through a value before it is encoded for what could not be decoded again: nesting that
//! the decoder refuses, and floats that JSON cannot hold, for which `serde_json` writes `null`.
//!
//! For a flat type without floats the compiler leaves nothing of this pass but its loops.

use serde::Serialize;
use serde::ser;

use crate::CodecError;

/// How deep a decoder follows nested values: `serde_json`'s own limit, and the one that rmp-serde
/// is given, whose own of 1024 overflows a stack of 2 MiB on a kilobyte of hostile input.
#[cfg(feature = "msgpack")]
pub(super) const MAX_DECODED_LEVELS: usize = 128;
/// How deep a value may be nested to be encoded; a little less, because decoders count some
/// levels that are not containers.
const MAX_ENCODED_LEVELS: u8 = 120;

/// Fails if `value` is nested too deeply, or if a float in it is not finite and must be.
pub(super) fn check<V: Serialize>(value: &V, finite: bool) -> Result<(), CodecError> {
    match value.serialize(Checker {
        finite,
        levels: MAX_ENCODED_LEVELS,
    }) {
        Err(Found::NotFinite) => Err(CodecError::new(
            "JSON has no form for a number that is not finite",
        )),
        Err(Found::TooDeep) => Err(CodecError::new(
            "the value is nested deeper than 120 levels",
        )),
        // What else can fail is for the real serializer to report.
        Ok(_) | Err(Found::Other) => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
enum Found {
    #[error("not finite")]
    NotFinite,
    #[error("too deep")]
    TooDeep,
    #[error("another error")]
    Other,
}

impl ser::Error for Found {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

/// The serializer, and the serializer of everything that has elements: it keeps nothing.
#[derive(Clone, Copy)]
struct Checker {
    /// Whether floats must be finite.
    finite: bool,
    /// Levels that may still follow.
    levels: u8,
}

impl Checker {
    fn deeper(self) -> Checked {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(Found::TooDeep),
        }
    }
}

type Checked = Result<Checker, Found>;

/// What holds no float: accepted as it is.
macro_rules! accept {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method(self, $(_: $type),*) -> Checked {
            Ok(self)
        })*
    };
}

/// Elements with a name around them, which is a level of its own.
macro_rules! accept_named {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method(self, $(_: $type),*) -> Checked {
            self.deeper()
        })*
    };
}

/// What holds one value: look at it.
macro_rules! look_at {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method<T: Serialize + ?Sized>(self, $(_: $type,)* value: &T) -> Checked {
            value.serialize(self.deeper()?)
        })*
    };
}

impl ser::Serializer for Checker {
    type Ok = Self;
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_f32(self, number: f32) -> Checked {
        if !self.finite || number.is_finite() {
            Ok(self)
        } else {
            Err(Found::NotFinite)
        }
    }

    fn serialize_f64(self, number: f64) -> Checked {
        if !self.finite || number.is_finite() {
            Ok(self)
        } else {
            Err(Found::NotFinite)
        }
    }

    accept! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_u128(u128)
        serialize_none() serialize_unit() serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
        serialize_seq(Option<usize>) serialize_map(Option<usize>) serialize_tuple(usize)
        serialize_tuple_struct(&'static str, usize) serialize_struct(&'static str, usize)
    }

    accept_named! {
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
        serialize_struct_variant(&'static str, u32, &'static str, usize)
    }

    look_at! {
        serialize_some()
        serialize_newtype_struct(&'static str)
        serialize_newtype_variant(&'static str, u32, &'static str)
    }
}

/// What has elements: look at each.
macro_rules! look_inside {
    ($($trait:ident { $($method:ident($($name:ty)?))* })*) => {
        $(impl ser::$trait for Checker {
            type Ok = Self;
            type Error = Found;

            $(fn $method<T: Serialize + ?Sized>(
                &mut self,
                $(_: $name,)?
                value: &T,
            ) -> Result<(), Found> {
                value.serialize(self.deeper()?).map(drop)
            })*

            fn end(self) -> Checked {
                Ok(self)
            }
        })*
    };
}
look_inside! {
    SerializeSeq { serialize_element() }
    SerializeTuple { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeMap { serialize_key() serialize_value() }
    SerializeStruct { serialize_field(&'static str) }
    SerializeStructVariant { serialize_field(&'static str) }
}
