//! What inspection costs: requests as data, the rules they run on, and how they are timed.
//!
//! One place for everybody who measures: the criterion benches, the instruction counts, the comparison with other
//! engines and `portcullis bench` run the same [`Scenario`]s, and each asserts the expected [`Decision`] before it
//! times anything. Nothing here reads a clock; who measures hands one down ([`Clock`]).
//!
//! In order of flow: [`rules`] chooses what the requests run on, [`scenario`] lists them, a [`Subject`] is one of them
//! taken apart and ready to run, [`measure`] times it, [`profile`] says where the time went, and [`worst`] looks for
//! input that costs most.

mod attack;
mod large;
pub mod measure;
mod ordinary;
pub mod profile;
mod response;
pub mod rules;
pub mod scenario;
mod subject;
pub mod worst;

pub use measure::{Clock, Figures};
pub use rules::{Base, Setup};
pub use scenario::{Decision, Scenario};
pub use subject::{Run, Subject};
