//! The HTTP/1 codec: bytes in, heads and body parts out; heads and body parts in, bytes out.
//!
//! Pure and incremental: the caller owns the buffer and reads more when a function says so. What is accepted follows
//! httpd's strict mode, made safer where two readers could see two messages; `tests/http_front_end.rs` holds it to
//! the table row by row. `httparse` was tried first: it refuses targets that rules must see, accepts bare LF, and
//! does not tell one defect from another.

mod body;
mod chunked;
pub mod encode;
mod framing;
mod lines;
mod request;
mod response;

pub use body::{BodyDecoder, BodyPart};
pub use chunked::ChunkedDecoder;
pub use framing::{Framing, Length, request_framing, response_framing};
pub use lines::{has_control, is_token};
pub use request::{HeadLimits, RequestReader};
pub use response::ResponseReader;
