//! What a connection to a backend is.
//!
//! HTTP/1 is a plain byte stream that the gateway's own codec drives: one request at a time, then it is kept or
//! dropped. HTTP/2 is a handle of hyper's client, shared by all requests of one worker; its connection task runs on
//! that worker's runtime.
//!
//! [`BackendStream`] forwards vectored writes and flushes to what is inside: a wrapper that forgets them makes rustls
//! seal one record per slice.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::idle::{Keep, KeyId};
use crate::tls::socket::Socket;

/// Body of a request that goes out over HTTP/2.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A connection that is ready for a request.
#[derive(Debug)]
pub enum BackendConnection {
    /// Ours alone until it is given back.
    Http1(Http1Connection),
    /// Shared with other requests of this worker.
    Http2(Http2Connection),
}

impl BackendConnection {
    /// Has it carried a request before? A failure on such a connection may only mean that the backend closed it while
    /// it was idle.
    pub fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(connection) => connection.is_reused(),
        }
    }

    /// How long it took to make (name, TCP, TLS); `None` when it was at hand.
    pub fn connect_duration(&self) -> Option<Duration> {
        match self {
            Self::Http1(connection) => connection.connect_duration(),
            Self::Http2(connection) => connection.connect_duration(),
        }
    }
}

/// An HTTP/1 connection, between two requests or in one.
#[derive(Debug)]
pub struct Http1Connection {
    /// The bytes.
    pub stream: BackendStream,
    /// Read from the stream and not consumed yet. A connection that has any when it is given back is dropped: a
    /// backend that speaks out of turn cannot be trusted to match answers to requests.
    pub read_buffer: BytesMut,
    pub(super) key: KeyId,
    pub(super) keep: Keep,
    peer: SocketAddr,
    connect_duration: Option<Duration>,
    requests: u64,
}

impl Http1Connection {
    pub(super) fn new(stream: BackendStream, peer: SocketAddr, took: Duration, key: KeyId, keep: Keep) -> Self {
        Self { stream, read_buffer: BytesMut::new(), key, keep, peer, connect_duration: Some(took), requests: 0 }
    }

    /// The address connected to.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Has it carried a request before?
    pub fn is_reused(&self) -> bool {
        self.requests > 0
    }

    /// How long it took to make; `None` when it was at hand.
    pub fn connect_duration(&self) -> Option<Duration> {
        self.connect_duration
    }

    /// May it be kept: nothing left over, and the backend has not closed it or spoken out of turn?
    pub(super) fn is_clean(&self) -> bool {
        self.read_buffer.is_empty()
    }

    /// Marks it as given back.
    pub(super) fn park(&mut self) {
        self.requests += 1;
        self.connect_duration = None;
    }
}

/// An HTTP/2 connection, held for one request (or, cloned into several by the pool, for many).
///
/// Dropping it gives the stream's place back.
#[derive(Debug)]
pub struct Http2Connection {
    /// hyper's handle; `send_request` on it starts a stream.
    pub sender: SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
    connect_duration: Option<Duration>,
}

impl Http2Connection {
    pub(super) fn new(sender: SendRequest<RequestBody>, streams: Arc<AtomicUsize>, took: Option<Duration>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self { sender, streams, connect_duration: took }
    }

    /// Was it at hand? Other requests may have used it, or be using it.
    pub fn is_reused(&self) -> bool {
        self.connect_duration.is_none()
    }

    /// How long it took to make; `None` when it was at hand.
    pub fn connect_duration(&self) -> Option<Duration> {
        self.connect_duration
    }
}

impl Drop for Http2Connection {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes to and from a backend.
#[derive(Debug)]
pub enum BackendStream {
    /// Clear text.
    Plain(TcpStream),
    /// TLS; boxed so that moving a connection between pool and request moves a pointer.
    Tls(Box<TlsStream<Socket>>),
}

impl BackendStream {
    /// The TCP connection underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0.tcp(),
        }
    }

    /// The negotiated TLS version and cipher suite, as rustls names them (`TLSv1_3`, `TLS13_AES_256_GCM_SHA384`).
    pub fn tls(&self) -> Option<(rustls::ProtocolVersion, rustls::CipherSuite)> {
        let Self::Tls(stream) = self else { return None };
        let session = stream.get_ref().1;
        Some((session.protocol_version()?, session.negotiated_cipher_suite()?.suite()))
    }

    /// Is it open and silent, as an idle connection must be? Costs no system call while the reactor has seen nothing
    /// arrive; otherwise one read, which also takes in TLS messages that are not data (tickets, key updates).
    pub fn is_idle_and_open(&mut self) -> bool {
        if let Self::Tls(stream) = self {
            // Decrypted and not read yet: it left the socket together with what was asked for.
            let state = stream.get_mut().1.process_new_packets();
            if !state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed()) {
                return false;
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        if self.tcp().poll_read_ready(&mut context).is_pending() {
            return true;
        }
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        // Ready with nothing is the end, ready with a byte is speech out of turn.
        Pin::new(self).poll_read(&mut context, &mut buffer).is_pending()
    }
}

impl AsyncRead for BackendStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
