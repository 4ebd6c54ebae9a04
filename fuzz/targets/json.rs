//! What the codec decodes it encodes again to what decodes to the same.
#![no_main]

use buildscale_cache::JsonCodec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cache_fuzz::round_trip(&JsonCodec::new(), bytes));
