//! The configuration: one YAML file, read into `raw`, checked and bridged by `build` into [`model`].
//!
//! ```text
//! file → yaml nodes → environment substituted → fragments merged → raw → build → model
//! ```
//!
//! Every problem is reported at once with file, line and column. Only [`model`] is known to the rest of the program; it
//! is pure data and compiles without the feature `gateway`.

pub mod model;

#[cfg(feature = "gateway")]
mod build;
#[cfg(feature = "gateway")]
pub mod decode;
#[cfg(feature = "gateway")]
pub mod defaults;
#[cfg(feature = "gateway")]
mod diff;
#[cfg(feature = "gateway")]
mod environment;
#[cfg(feature = "gateway")]
mod geo;
#[cfg(feature = "gateway")]
mod load;
#[cfg(feature = "gateway")]
pub mod raw;
#[cfg(feature = "gateway")]
mod rules;
#[cfg(feature = "gateway")]
mod schema;
#[cfg(all(test, feature = "gateway"))]
mod tests;

#[cfg(feature = "gateway")]
pub use build::Places;
#[cfg(feature = "gateway")]
pub use diff::{diff, needs_restart};
#[cfg(feature = "gateway")]
pub use environment::Environment;
#[cfg(feature = "gateway")]
pub use load::{Loaded, embedded, load, load_source};
#[cfg(feature = "gateway")]
pub use rules::{BUILTIN, RuleCache, builtin_ruleset};
#[cfg(feature = "gateway")]
pub use schema::{json_schema, markdown as configuration_markdown};
