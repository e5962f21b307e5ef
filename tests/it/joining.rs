//! What administrators do so that hosts come aboard by themselves: settings, join tokens, those who wait.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "joining/scene.rs"]
mod scene;
#[path = "joining/settings.rs"]
mod settings;
#[path = "joining/tokens.rs"]
mod tokens;
#[path = "joining/waiting.rs"]
mod waiting;
