//! Compression of payloads, inside the envelope.

#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "zstd")]
mod zstd;

/// The flags of a payload that is stored as it is.
pub(super) const PLAIN: u8 = 0;
#[cfg(feature = "lz4")]
const LZ4: u8 = 1;
#[cfg(feature = "zstd")]
const ZSTD: u8 = 2;

/// How values are made smaller on their way to a store of bytes; see
/// [`EncodedBackend::with_compression`](crate::EncodedBackend::with_compression).
///
/// Its constructors come with features: `lz4` and `zstd`.
///
/// ```
/// # #[cfg(feature = "lz4")] {
/// use cache_core::Compression;
///
/// let compression = Compression::lz4().above(4096);
/// # let _ = compression;
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    algorithm: Algorithm,
    threshold: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    #[cfg(feature = "lz4")]
    Lz4,
    #[cfg(feature = "zstd")]
    Zstd { level: i32 },
}

impl Compression {
    /// Compresses with LZ4: hardly slower than copying, for values that are read often.
    ///
    /// ```
    /// use cache_core::Compression;
    ///
    /// assert_eq!(Compression::lz4(), Compression::lz4().above(1024));
    /// ```
    #[cfg(feature = "lz4")]
    #[cfg_attr(docsrs, doc(cfg(feature = "lz4")))]
    #[must_use]
    pub const fn lz4() -> Self {
        Self::of(Algorithm::Lz4)
    }

    /// Compresses with Zstandard: smaller than LZ4 and slower, for large values and a thin line.
    ///
    /// `level` goes from 1, the fastest, to 19, the smallest; 3 is a good start. A level outside
    /// of that is taken as the nearest one in it: beyond 19, a reader would need more memory.
    ///
    /// ```
    /// use cache_core::Compression;
    ///
    /// assert_eq!(Compression::zstd(22), Compression::zstd(19));
    /// ```
    #[cfg(feature = "zstd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    #[must_use]
    pub const fn zstd(level: i32) -> Self {
        let level = match level {
            ..1 => 1,
            1..=19 => level,
            20.. => 19,
        };
        Self::of(Algorithm::Zstd { level })
    }

    #[cfg(any(feature = "lz4", feature = "zstd"))]
    const fn of(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            // What a kilobyte saves on the way is less than what compressing it costs.
            threshold: 1024,
        }
    }

    /// Leaves payloads of up to this many bytes as they are; 1024 unless it is set.
    ///
    /// ```
    /// # #[cfg(feature = "zstd")] {
    /// use cache_core::Compression;
    ///
    /// let large_ones = Compression::zstd(3).above(64 << 10);
    /// assert_ne!(large_ones, Compression::zstd(3));
    /// # }
    /// ```
    #[must_use]
    pub const fn above(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Appends the compressed form of what is in `buffer`, and returns the flags that say how to
    /// read it; or `None`, with anything appended, if the payload is to be stored as it is.
    #[cfg_attr(
        not(any(feature = "lz4", feature = "zstd")),
        expect(clippy::ptr_arg, reason = "without an algorithm nothing is appended")
    )]
    pub(super) fn append_to(self, buffer: &mut Vec<u8>) -> Option<u8> {
        if buffer.len() <= self.threshold {
            return None;
        }
        match self.algorithm {
            #[cfg(feature = "lz4")]
            Algorithm::Lz4 => lz4::append_to(buffer).then_some(LZ4),
            #[cfg(feature = "zstd")]
            Algorithm::Zstd { level } => zstd::append_to(buffer, level).then_some(ZSTD),
        }
    }
}

/// Fills a buffer with what was compressed, and returns how much that was; `None` if the bytes
/// are not of the algorithm, or are of more than the buffer has room for.
type Decompress = fn(&[u8], &mut [u8]) -> Option<usize>;

/// Decompresses a payload that must be of `length` bytes into `buffer`, which is empty.
///
/// The caller has checked that it accepts so many. What so few bytes cannot stand for is refused
/// before anything is allocated.
pub(super) fn decompress(
    flags: u8,
    compressed: &[u8],
    length: usize,
    buffer: &mut Vec<u8>,
) -> Option<()> {
    let (max_expansion, decompress) = reader_of(flags)?;
    if length > compressed.len().saturating_mul(max_expansion) {
        return None;
    }
    // Not a byte more than was stated, and all of them zero: neither can the bytes write beyond,
    // nor can they show what was in the buffer before.
    buffer.reserve_exact(length);
    buffer.resize(length, 0);
    let written = decompress(compressed, buffer)?;
    (written == length).then_some(())
}

/// Returns how many bytes one byte can stand for at most, and the way to get them.
fn reader_of(flags: u8) -> Option<(usize, Decompress)> {
    match flags {
        #[cfg(feature = "lz4")]
        LZ4 => Some((lz4::MAX_EXPANSION, lz4::decompress)),
        #[cfg(feature = "zstd")]
        ZSTD => Some((zstd::MAX_EXPANSION, zstd::decompress)),
        _ => None,
    }
}

#[cfg(all(test, feature = "lz4", feature = "zstd"))]
mod tests {
    use super::{Compression, LZ4, PLAIN, ZSTD, decompress, lz4, zstd};

    const BOTH: [(u8, Compression); 2] = [(LZ4, Compression::lz4()), (ZSTD, Compression::zstd(19))];

    /// A megabyte of one byte, compressed.
    fn bomb(compression: Compression) -> Vec<u8> {
        let mut buffer = vec![b'a'; 1 << 20];
        assert!(compression.append_to(&mut buffer).is_some());
        buffer.split_off(1 << 20)
    }

    #[test]
    fn decompressing_takes_the_stated_length_and_not_a_byte_more() {
        for (flags, compression) in BOTH {
            let bomb = bomb(compression);
            for length in [0, 1, 1_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
                let mut buffer = Vec::new();
                let found = decompress(flags, &bomb, length, &mut buffer);
                assert_eq!(found.is_some(), length == 1 << 20, "{flags}, {length}");
                assert_eq!(buffer.capacity(), length, "{flags}");
            }
        }
    }

    #[test]
    fn what_so_few_bytes_cannot_stand_for_takes_nothing() {
        for (flags, expansion) in [(LZ4, lz4::MAX_EXPANSION), (ZSTD, zstd::MAX_EXPANSION)] {
            let mut buffer = Vec::new();
            let length = 10 * expansion + 1;
            assert_eq!(decompress(flags, &[0xF0; 10], length, &mut buffer), None);
            assert_eq!(decompress(flags, &[], 1, &mut buffer), None);
            assert_eq!(buffer.capacity(), 0, "{flags}");
        }
    }

    #[test]
    fn nothing_real_is_refused_for_standing_for_too_much() {
        for length in (1..2_000).chain([65_535, 65_536, 1 << 20, 16 << 20]) {
            for (flags, compression) in BOTH {
                if length > 1 << 20 && flags == ZSTD {
                    // The same block over and over; the highest level takes its time for it.
                    continue;
                }
                let mut compressed = vec![0; length];
                let compression = compression.above(0);
                if compression.append_to(&mut compressed).is_some() {
                    let mut buffer = Vec::new();
                    let compressed = &compressed[length..];
                    assert_eq!(decompress(flags, compressed, length, &mut buffer), Some(()));
                }
            }
        }
    }

    #[test]
    fn flags_that_are_not_known_are_refused() {
        for flags in (0..=u8::MAX).filter(|flags| ![LZ4, ZSTD].contains(flags)) {
            let mut buffer = Vec::new();
            assert_eq!(decompress(flags, b"00", 2, &mut buffer), None);
            assert_eq!(buffer.capacity(), 0);
        }
        assert_eq!(PLAIN, 0);
    }

    #[test]
    fn what_was_in_the_buffer_before_cannot_be_shown() {
        // A match of 8 bytes at a distance of 4, of which none was written.
        let reaches_back = [0x04, 4, 0, 0x10, b'x'];
        let mut buffer = b"secret secret".to_vec();
        buffer.clear();
        assert_eq!(decompress(LZ4, &reaches_back, 9, &mut buffer), None);
        assert!(!buffer.windows(6).any(|bytes| bytes == b"secret"));
    }
}
