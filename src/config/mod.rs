//! The configuration: one YAML file, read into `raw`, checked and bridged by `build` into `model`.
//!
//! Only [`model`] is known to the rest of the program; it is pure data and compiles without the feature `gateway`.

pub mod model;
