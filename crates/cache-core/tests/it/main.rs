//! The facade, the codecs and the envelope, over an in-memory store.

mod encoded;
mod errors;
mod golden;
mod input;
