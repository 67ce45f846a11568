//! Accepts connections and starts one task for each.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{Drain, Worker};

/// Serves one listener until draining starts.
pub async fn serve(_listener: TcpListener, _listener_index: usize, _worker: Arc<Worker>, _drain: Drain) {}
