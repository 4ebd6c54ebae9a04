//! What the targets of the codecs have in common.

use std::collections::BTreeMap;

use buildscale_cache::Codec;
use serde::{Deserialize, Serialize};

/// A value of each kind that serde knows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Unit,
    Point(i64, i64),
    Named { name: String, flag: Option<bool> },
    List(Vec<Shape>),
    Map(BTreeMap<String, Shape>),
}

/// Decodes bytes, and panics if what they were decoded as is not encoded and decoded as the same.
pub fn round_trip(codec: &impl Codec<Shape>, bytes: &[u8]) {
    if let Ok(value) = codec.decode(bytes) {
        let mut again = Vec::new();
        codec
            .encode(&value, &mut again)
            .expect("what was decoded can be encoded");
        let twice = codec.decode(&again).expect("what was encoded decodes");
        assert_eq!(twice, value);
    }
}
