//! What users write, and what the environment may say.

mod environment;
mod user_code;
