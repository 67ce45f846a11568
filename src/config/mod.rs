//! The configuration: one YAML file, read into `raw`, checked and bridged by `build` into [`model`].
//!
//! ```text
//! file → yaml nodes → environment substituted → fragments merged → raw → build → model
//! ```
//!
//! Every problem is reported at once with file, line and column. Only [`model`] is known to the rest of the program; it
//! is pure data and compiles without any feature; the rest needs the feature `config`, which `gateway` includes.

pub mod model;

#[cfg(feature = "config")]
mod build;
#[cfg(feature = "config")]
pub mod decode;
#[cfg(feature = "config")]
pub mod defaults;
#[cfg(feature = "config")]
mod diff;
#[cfg(feature = "config")]
mod environment;
#[cfg(feature = "config")]
pub(crate) mod geo;
#[cfg(feature = "config")]
mod load;
#[cfg(feature = "config")]
pub mod raw;
#[cfg(feature = "config")]
mod rules;
#[cfg(feature = "config")]
mod schema;
#[cfg(feature = "config")]
pub mod show;
#[cfg(all(test, feature = "config"))]
mod tests;

#[cfg(feature = "config")]
pub use build::Places;
#[cfg(feature = "config")]
pub use diff::{diff, needs_restart};
#[cfg(feature = "config")]
pub use environment::Environment;
#[cfg(feature = "config")]
pub use load::{Loaded, embedded, load, load_source, parse, source, survey};
#[cfg(feature = "config")]
pub use rules::{BUILTIN, RuleCache, builtin_ruleset};
#[cfg(feature = "config")]
pub use schema::{json_schema, markdown as configuration_markdown};
