//! Recorded sequences of keys: `*.trace.zst`, a Zstandard stream of zig-zag LEB128 numbers, each
//! the difference from the key before.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use foldhash::fast::RandomState;
use ruzstd::decoding::StreamingDecoder;

/// A trace whose keys were renamed to the numbers from 0 on, by first appearance.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trace {
    /// How tables call it.
    pub name: String,
    /// What is asked for, in order.
    pub numbers: Vec<u32>,
    /// How many different keys there are.
    pub footprint: u32,
}

impl Trace {
    /// Renames keys to numbers.
    #[must_use]
    pub fn new(name: impl Into<String>, keys: impl IntoIterator<Item = u64>) -> Self {
        let mut names: HashMap<u64, u32, RandomState> = HashMap::default();
        let rename = |key| {
            let next = names.len() as u32;
            *names.entry(key).or_insert(next)
        };
        let numbers = keys.into_iter().map(rename).collect();
        Self {
            name: name.into(),
            numbers,
            footprint: names.len() as u32,
        }
    }
}

/// Reads all traces of a folder, sorted by name.
///
/// # Errors
/// If the folder or a trace cannot be read.
pub fn load(folder: &Path) -> io::Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = name.strip_suffix(".trace.zst") else {
            continue;
        };
        let stream = StreamingDecoder::new(std::fs::File::open(&path)?);
        let mut bytes = Vec::new();
        stream.map_err(io::Error::other)?.read_to_end(&mut bytes)?;
        traces.push(Trace::new(name, decode(&bytes)?));
    }
    traces.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(traces)
}

/// Returns the keys in a stream of differences.
///
/// # Errors
/// If a number is cut off or needs more than 64 bits.
pub fn decode(bytes: &[u8]) -> io::Result<Vec<u64>> {
    let (mut keys, mut key, mut number, mut shift) = (Vec::new(), 0u64, 0u64, 0);
    for byte in bytes {
        let bits = u64::from(byte & 0x7F);
        if shift > 63 || (bits << shift) >> shift != bits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a number is too long",
            ));
        }
        number |= bits << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let difference = (number >> 1) ^ (number & 1).wrapping_neg();
            key = key.wrapping_add(difference);
            keys.push(key);
            (number, shift) = (0, 0);
        }
    }
    match shift {
        0 => Ok(keys),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "a number is cut off",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Trace, decode};

    #[test]
    fn differences_become_keys() {
        // +1, +2, -3, +64 (in two bytes), 0.
        let bytes = [0x02, 0x04, 0x05, 0x80, 0x01, 0x00];
        assert_eq!(decode(&bytes).unwrap(), [1, 3, 0, 64, 64]);
    }

    #[test]
    fn the_ends_of_the_range_are_reached() {
        // -1 from 0, then i64::MIN, whose zig-zag form is all ones.
        let mut bytes = vec![0x01];
        bytes.extend([0xFF; 9]);
        bytes.push(0x01);
        assert_eq!(decode(&bytes).unwrap(), [u64::MAX, u64::MAX / 2]);
    }

    #[test]
    fn bad_streams_are_refused() {
        assert!(decode(&[0x80]).is_err());
        assert!(decode(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02]).is_err());
        assert!(decode(&[0x80; 11]).is_err());
    }

    #[test]
    fn keys_are_numbered_by_first_appearance() {
        let trace = Trace::new("t", [9, 7, 9, 8]);
        assert_eq!((trace.numbers, trace.footprint), (vec![0, 1, 0, 2], 3));
    }
}
