//! What errors say, and what they never say.

use std::error::Error as _;

use cache_core::{Error, ErrorKind};

#[test]
fn an_error_is_one_word_wide_and_shared_by_its_clones() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Error>();
}

#[test]
fn an_error_names_the_operation_and_a_hash_of_the_key_but_not_the_key() {
    let error = Error::new(ErrorKind::Timeout)
        .during("get")
        .for_key("user:secret");
    let text = format!("{error} {error:?}");
    assert!(text.starts_with("get (key #"), "{text}");
    assert!(text.contains("timed out"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(error.operation(), Some("get"));
}

#[test]
fn the_innermost_operation_and_key_stay() {
    let inner = Error::new(ErrorKind::Backend).during("l2 get").for_key("a");
    let text = inner.to_string();
    assert_eq!(inner.during("get").for_key("b").to_string(), text);
}

#[test]
fn a_source_is_reported_once_and_by_source_alone() {
    let cause = std::io::Error::other("disk on fire");
    let error = Error::new(ErrorKind::Backend).with_source(cause);
    assert_eq!(error.to_string(), "the store failed");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
}

#[test]
fn only_faults_that_may_pass_are_transient() {
    let transient = [ErrorKind::Timeout, ErrorKind::Unavailable];
    let lasting = [
        ErrorKind::Backend,
        ErrorKind::Encode,
        ErrorKind::TooLarge {
            weight: 2,
            limit: 1,
        },
        ErrorKind::Unsupported {
            what: "scan".into(),
        },
        ErrorKind::InvalidInput {
            field: "key".into(),
            problem: "is empty".into(),
        },
    ];
    assert!(
        transient
            .into_iter()
            .all(|kind| Error::new(kind).is_transient())
    );
    assert!(
        !lasting
            .into_iter()
            .any(|kind| Error::new(kind).is_transient())
    );
}
