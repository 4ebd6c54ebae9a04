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
    /// assert_ne!(Compression::lz4(), Compression::zstd(1));
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
    /// # #[cfg(feature = "lz4")] {
    /// use cache_core::Compression;
    ///
    /// assert_eq!(Compression::lz4().above(1024), Compression::lz4());
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
