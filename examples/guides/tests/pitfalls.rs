//! The tests that the documentation names exist.

use std::fs;
use std::path::Path;

/// Adds all Rust sources of a folder to a text.
fn read(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            read(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).expect("it is text"));
        }
    }
}

#[test]
fn every_test_that_the_pitfalls_name_is_there() {
    let mut sources = String::new();
    read(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates")),
        &mut sources,
    );
    let guide = include_str!("../../../docs/pitfalls.md");
    let quoted = guide.split('`').skip(1).step_by(2);
    let names: Vec<&str> = quoted
        .filter(|name| name.matches('_').count() > 2)
        .collect();
    assert!(names.len() > 50, "{}", names.len());
    for name in names {
        let is_there =
            sources.contains(&format!("fn {name}(")) || name.starts_with("every_test_that");
        assert!(is_there, "{name} is no test");
    }
}
