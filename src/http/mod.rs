//! HTTP as bytes: message heads with their wire order and case kept, targets, hop-by-hop fields, and the HTTP/1 codec.
//!
//! Nothing here does input or output. The gateway feeds bytes in and gets heads and body parts out; the fuzz targets
//! and the front-end table in the tests call the same functions.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod error;
pub mod h1;
mod head;
pub mod hop;
mod known;
mod target;

pub use error::{BodyError, HeadError};
pub use head::{Field, Fields, FieldsBuilder, RequestHead, ResponseHead, Span, Version};
pub use known::Known;
pub use target::{TargetForm, classify_target, is_host, path_of, split_host_port};
