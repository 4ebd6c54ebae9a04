//! What users write, and what the environment may say.

#[cfg(feature = "tiered")]
mod advice;
mod child;
mod environment;
#[cfg(feature = "full")]
mod loading;
#[cfg(feature = "local")]
mod loading_variables;
#[cfg(feature = "local")]
mod memory_variables;
#[cfg(feature = "full")]
mod news;
#[cfg(feature = "full")]
mod settings;
mod user_code;
