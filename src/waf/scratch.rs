//! What a worker reuses from request to request: regex caches, arenas, buffers.

/// One per worker thread.
#[derive(Debug, Default)]
pub struct Scratch {}
