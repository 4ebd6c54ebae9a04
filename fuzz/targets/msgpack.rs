//! What the codec decodes it encodes again to what decodes to the same.
#![no_main]

use std::collections::BTreeMap;

use buildscale_cache::{Codec, MsgPackCodec};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Point(i64, i64),
    Named { name: String, flag: Option<bool> },
    List(Vec<Shape>),
    Map(BTreeMap<String, Shape>),
}

fuzz_target!(|bytes: &[u8]| {
    let codec = MsgPackCodec::new();
    let decoded: Result<Shape, _> = codec.decode(bytes);
    if let Ok(value) = decoded {
        let mut again = Vec::new();
        codec.encode(&value, &mut again).expect("what was decoded can be encoded");
        let twice: Shape = codec.decode(&again).expect("what was encoded decodes");
        assert_eq!(twice, value);
    }
});
