//! A compiled ruleset.

/// Immutable; share it in an `Arc`.
#[derive(Debug, Default)]
pub struct Program {}
