//! Host and path to a route, and what a route makes of them. Pure: bytes in, references and bytes out.
//!
//! The site is found first, because its policy must be known before phase 1; the route after inspection.

mod host;
mod rewrite;
mod router;

pub use rewrite::{RedirectParts, redirect_location, rewrite_prefix};
pub use router::Router;
