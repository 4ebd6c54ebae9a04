//! Stored values that were damaged or made up: each is a miss that is counted, whatever its
//! checksum says.
#![cfg(all(
    feature = "json",
    feature = "msgpack",
    feature = "lz4",
    feature = "zstd"
))]

use bytes::Bytes;
use cache_core::{Compression, EncodedBackend, JsonCodec};
use cache_local::LocalBackend;

use crate::sealed::{HEADER_BYTES, LZ4, PLAIN, ZSTD, flags_of, reads, reseal, sealed, stored_by};

fn json() -> EncodedBackend<LocalBackend<Bytes>, JsonCodec> {
    EncodedBackend::new(LocalBackend::default(), JsonCodec::new())
}

fn text() -> String {
    "so it goes ".repeat(30)
}

/// What `text` is as JSON, compressed, with the flags that say how.
fn both() -> [(u8, Vec<u8>); 2] {
    let payload = format!("\"{}\"", text());
    [
        (LZ4, lz4_flex::block::compress(payload.as_bytes())),
        (ZSTD, zstd::bulk::compress(payload.as_bytes(), 3).unwrap()),
    ]
}

const LENGTH: usize = 332;

async fn read(stored: impl Into<Bytes>) -> Option<String> {
    reads(&json(), stored).await
}

#[tokio::test]
async fn what_is_made_here_by_hand_is_what_is_written_and_read() {
    for ((flags, payload), compression) in both()
        .into_iter()
        .zip([Compression::lz4(), Compression::zstd(3)])
    {
        let by_hand = sealed(flags, LENGTH, &payload);
        let backend = json().with_compression(compression.above(0));
        assert_eq!(stored_by(&backend, text()).await, by_hand);
        assert_eq!(read(by_hand).await, Some(text()));
    }
}

#[tokio::test]
async fn every_flip_and_every_cut_of_a_compressed_value_is_a_miss() {
    for (flags, payload) in both() {
        let stored = sealed(flags, LENGTH, &payload);
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(flipped).await, None, "{flags}, bit {bit}");
        }
        for length in 0..stored.len() {
            let cut = stored[..length].to_vec();
            assert_eq!(read(cut).await, None, "{flags}, cut to {length}");
        }
    }
}

#[tokio::test]
async fn damage_that_the_checksum_agrees_with_never_passes_for_more_or_less_than_was_stated() {
    for (flags, payload) in both() {
        let stored = sealed(flags, LENGTH, &payload);
        for at in 0..payload.len() {
            for byte in 0..=255 {
                let mut changed = stored.clone();
                changed[HEADER_BYTES + at] = byte;
                reseal(&mut changed);
                // Whoever can make checksums can write values; but only of the stated length.
                let length = read(changed).await.map(|text| text.len() + 2);
                assert!(
                    length.is_none_or(|length| length <= LENGTH),
                    "{flags}, {at}"
                );
            }
            let mut cut = stored[..HEADER_BYTES + at].to_vec();
            reseal(&mut cut);
            assert_eq!(read(cut).await, None, "{flags}, cut to {at}");
        }
    }
}

#[tokio::test]
async fn a_length_that_lies_is_a_miss() {
    let limit = cache_core::DEFAULT_MAX_VALUE_BYTES;
    let plain = format!("\"{}\"", text()).into_bytes();
    for (flags, payload) in both().into_iter().chain([(PLAIN, plain)]) {
        for lie in [0, 1, LENGTH - 1, LENGTH + 1, limit, limit + 1, 0xFFFF_FFFF] {
            let stored = sealed(flags, lie, &payload);
            assert_eq!(read(stored).await, None, "{flags}, {lie}");
        }
        assert_eq!(read(sealed(flags, LENGTH, &payload)).await, Some(text()));
    }
}

#[tokio::test]
async fn a_raw_length_of_4_gib_for_one_byte_is_a_miss() {
    for flags in [PLAIN, LZ4, ZSTD] {
        for payload in [&b""[..], b"0", &[0xF0]] {
            assert_eq!(read(sealed(flags, 0xFFFF_FFFF, payload)).await, None);
        }
    }
}

#[tokio::test]
async fn a_bomb_is_a_miss_when_it_is_above_the_limit_and_a_value_below() {
    // A string of 4 MiB of JSON.
    let bomb = format!("\"{}\"", "a".repeat((4 << 20) - 2));
    let length = bomb.len();
    let lz4 = lz4_flex::block::compress(bomb.as_bytes());
    let zstd = zstd::bulk::compress(bomb.as_bytes(), 19).unwrap();
    assert!(lz4.len() * 250 < length, "{}", lz4.len());
    assert!(zstd.len() * 10_000 < length, "{}", zstd.len());
    for (flags, payload) in [(LZ4, lz4), (ZSTD, zstd)] {
        let honest = sealed(flags, length, &payload);
        let found: Option<String> = reads(&json(), honest.clone()).await;
        assert_eq!(found.map(|text| text.len()), Some(length - 2));

        let limited = json().with_max_value_bytes(length - 1);
        let found: Option<String> = reads(&limited, honest).await;
        assert_eq!(found, None, "{flags}");
        // It says that it is smaller than it is.
        for lie in [0, 1, 1_000, length - 1] {
            let found: Option<String> = reads(&limited, sealed(flags, lie, &payload)).await;
            assert_eq!(found, None, "{flags}, {lie}");
        }
    }
}

#[tokio::test]
async fn zstandard_frames_that_say_or_hold_something_else_are_misses() {
    let payload = format!("\"{}\"", text());
    let frame = zstd::bulk::compress(payload.as_bytes(), 3).unwrap();
    // A frame twice, of which each is as long as was stated.
    assert_eq!(read(sealed(ZSTD, LENGTH, &frame.repeat(2))).await, None);
    // A value in two frames is a value: they say themselves where they end.
    let (first, second) = payload.as_bytes().split_at(100);
    let halves = [first, second].map(|half| zstd::bulk::compress(half, 3).unwrap());
    assert_eq!(
        read(sealed(ZSTD, LENGTH, &halves.concat())).await,
        Some(text())
    );
    // Bytes behind the frame.
    let trailing = [&frame[..], b"\0"].concat();
    assert_eq!(read(sealed(ZSTD, LENGTH, &trailing)).await, None);
    // A window of 2 GiB (byte 5 of a frame whose descriptor says that there is one), which a
    // reader in one pass never allocates, with a raw last block of one byte.
    let window = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 0x09, 0x00, 0x00, b'7'];
    let number: Option<u8> = reads(&json(), sealed(ZSTD, 1, &window)).await;
    assert_eq!(number, Some(7));
    let number: Option<u8> = reads(&json(), sealed(ZSTD, 2, &window)).await;
    assert_eq!(number, None);
    // A block of 128 KiB of one byte, in a frame that says nothing about its length.
    let block = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58, 0x03, 0x00, 0x10, b'7'];
    for lie in [0, 1, (128 << 10) - 1, (128 << 10) + 1] {
        let number: Option<f64> = reads(&json(), sealed(ZSTD, lie, &block)).await;
        assert_eq!(number, None, "{lie}");
    }
}

#[tokio::test]
async fn a_payload_under_the_flags_of_another_algorithm_is_a_miss() {
    let [(_, lz4), (_, zstd)] = both();
    let plain = format!("\"{}\"", text()).into_bytes();
    for (flags, payload) in [
        (LZ4, &zstd),
        (LZ4, &plain),
        (ZSTD, &lz4),
        (ZSTD, &plain),
        (PLAIN, &lz4),
        (PLAIN, &zstd),
    ] {
        for length in [LENGTH, payload.len()] {
            assert_eq!(read(sealed(flags, length, payload)).await, None, "{flags}");
        }
    }
}

#[tokio::test]
async fn a_wrong_magic_version_codec_or_flags_is_a_miss_though_the_checksum_is_right() {
    for flags in [PLAIN, LZ4, ZSTD] {
        let backend = match flags {
            LZ4 => json().with_compression(Compression::lz4().above(0)),
            ZSTD => json().with_compression(Compression::zstd(3).above(0)),
            _ => json(),
        };
        let stored = stored_by(&backend, text()).await.to_vec();
        assert_eq!(flags_of(&stored), flags);
        for at in 0..4 {
            for byte in 0..=255 {
                let mut changed = stored.clone();
                changed[at] = byte;
                reseal(&mut changed);
                let expected = (changed == stored).then(text);
                assert_eq!(read(changed).await, expected, "byte {at} is {byte}");
            }
        }
    }
}

#[tokio::test]
async fn a_checksum_that_is_off_by_any_bit_is_a_miss() {
    for (flags, payload) in both() {
        let stored = sealed(flags, LENGTH, &payload);
        for bit in 0..32 {
            let mut off = stored.clone();
            off[12 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(off).await, None, "{flags}, bit {bit}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_with_a_right_checksum_are_a_value_or_a_miss(
        flags in 0..4_u8,
        length in 0..100_000_usize,
        payload in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
    ) {
        use futures_util::FutureExt as _;
        // That there is an answer is what is tested; which one, `reads` compares with the counter.
        let answered = read(sealed(flags, length, &payload)).now_or_never();
        proptest::prop_assert!(answered.is_some());
    }
}
