//! What configurations are read with.
#![cfg(feature = "serde")]

mod tables;
mod values;

use serde::de::DeserializeOwned;

/// What `serde_json` says, without the place.
fn refusal<T: DeserializeOwned>(json: &str) -> String {
    let Err(error) = serde_json::from_str::<T>(json) else {
        panic!("{json} is accepted");
    };
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}
