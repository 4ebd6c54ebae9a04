//! Looks through a value before it is encoded for what could not be decoded again: nesting that
//! the decoder refuses, and floats that JSON cannot hold, for which `serde_json` writes `null`.
//!
//! For a flat type without floats the compiler leaves nothing of this pass but its loops.

use std::cell::Cell;

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

/// The form that a value is about to get.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// People can read it, and every float in it is finite.
    is_json: bool,
}

impl Form {
    #[cfg(feature = "json")]
    pub(super) const JSON: Self = Self { is_json: true };
    #[cfg(feature = "msgpack")]
    pub(super) const MSGPACK: Self = Self { is_json: false };
}

/// Fails if `value` is nested too deeply, or if a float in it is not finite and must be. Otherwise it tells
/// whether a part of the value has two forms, one for people and one for programs.
pub(super) fn check<V: Serialize>(value: &V, form: Form) -> Result<bool, CodecError> {
    let has_two_forms = Cell::new(false);
    match value.serialize(Checker::new(form, &has_two_forms)) {
        Err(Found::NotFinite) => Err(CodecError::new(
            "JSON has no form for a number that is not finite",
        )),
        Err(Found::TooDeep) => Err(CodecError::new(
            "the value is nested deeper than 120 levels",
        )),
        // What else can fail is for the real serializer to report.
        Ok(_) | Err(Found::Other) => Ok(has_two_forms.get()),
    }
}

/// Fails if a value has lost or gained parts on its way through the codec.
///
/// Parts are counted and not compared: the order of a map may be random, and a value may depend on the time.
/// This finds what serde gets wrong without an error: `Some` of nothing, which is written as `None`, and an
/// untagged type of which another variant fits too.
pub(super) fn compare<V: Serialize>(value: &V, decoded: &V, form: Form) -> Result<(), CodecError> {
    let count = |value: &V| {
        let parts = Parts::default();
        // What fails has failed before, in `check`.
        let _ = value.serialize(Checker::new(form, &parts));
        parts
    };
    if count(value) == count(decoded) {
        Ok(())
    } else {
        Err(CodecError::new("a part of it is lost"))
    }
}

/// What a pass takes note of.
trait Notes: Copy {
    /// A part has asked whether its form is for people or for programs.
    fn asked(self) {}
    /// There is an element or a field.
    fn element(self) {}
    /// There is a `Some`.
    fn some(self) {}
}

impl Notes for &Cell<bool> {
    fn asked(self) {
        self.set(true);
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    elements: Cell<u64>,
    somes: Cell<u64>,
}

impl Notes for &Parts {
    fn element(self) {
        self.elements.set(self.elements.get() + 1);
    }

    fn some(self) {
        self.somes.set(self.somes.get() + 1);
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
struct Checker<N> {
    form: Form,
    /// Levels that may still follow.
    levels: u8,
    notes: N,
}

impl<N: Notes> Checker<N> {
    const fn new(form: Form, notes: N) -> Self {
        Self {
            form,
            levels: MAX_ENCODED_LEVELS,
            notes,
        }
    }

    fn deeper(self) -> Result<Self, Found> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(Found::TooDeep),
        }
    }

    fn check_float(self, is_finite: bool) -> Result<Self, Found> {
        if is_finite || !self.form.is_json {
            Ok(self)
        } else {
            Err(Found::NotFinite)
        }
    }
}

/// What holds no float: accepted as it is.
macro_rules! accept {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method(self, $(_: $type),*) -> Result<Self, Found> {
            Ok(self)
        })*
    };
}

/// Elements with a name around them, which is a level of its own.
macro_rules! accept_named {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method(self, $(_: $type),*) -> Result<Self, Found> {
            self.deeper()
        })*
    };
}

/// What holds one value: look at it.
macro_rules! look_at {
    ($($method:ident($($type:ty),*))*) => {
        $(fn $method<T: Serialize + ?Sized>(
            self,
            $(_: $type,)*
            value: &T,
        ) -> Result<Self, Found> {
            value.serialize(self.deeper()?)
        })*
    };
}

impl<N: Notes> ser::Serializer for Checker<N> {
    type Ok = Self;
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        self.notes.asked();
        self.form.is_json
    }

    fn serialize_f32(self, number: f32) -> Result<Self, Found> {
        self.check_float(number.is_finite())
    }

    fn serialize_f64(self, number: f64) -> Result<Self, Found> {
        self.check_float(number.is_finite())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, Found> {
        self.notes.some();
        value.serialize(self.deeper()?)
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
        serialize_newtype_struct(&'static str)
        serialize_newtype_variant(&'static str, u32, &'static str)
    }
}

/// What has elements: look at each.
macro_rules! look_inside {
    ($($trait:ident { $($method:ident($($name:ty)?))* })*) => {
        $(impl<N: Notes> ser::$trait for Checker<N> {
            type Ok = Self;
            type Error = Found;

            $(fn $method<T: Serialize + ?Sized>(
                &mut self,
                $(_: $name,)?
                value: &T,
            ) -> Result<(), Found> {
                self.notes.element();
                value.serialize(self.deeper()?).map(drop)
            })*

            fn end(self) -> Result<Self, Found> {
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
