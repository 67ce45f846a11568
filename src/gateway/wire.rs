//! Bytes to and from a peer: the client's stream, reading into a buffer, writing what is queued, one timer.
//!
//! Everything is a poll function, because one task drives two peers at once; an `async` block for each direction would
//! need to borrow both sides twice.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use crate::runtime::clock;
use crate::tls::socket::Socket;

/// A client's connection.
#[derive(Debug)]
pub(super) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Socket>>),
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
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
        true
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

/// Room made for one read: a TLS record's plaintext.
const READ_BYTES: usize = 16 * 1024;
/// Less room than this and the buffer grows before the next read.
const READ_ROOM_BYTES: usize = 4 * 1024;

/// Reads once; 0 is the end.
pub(super) fn poll_fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Where nobody refers to what came before, it is read over: behind it lies memory that no cache has, and a gateway
    // with a hundred connections would walk through megabytes.
    let is_whole = buffer.is_empty() && buffer.try_reclaim(READ_BYTES);
    if !is_whole && buffer.capacity() - buffer.len() < READ_ROOM_BYTES {
        buffer.reserve(READ_BYTES);
    }
    pin!(stream.read_buf(buffer)).poll(cx)
}

/// Bytes waiting to be written: small pieces copied together, so that a head and a short body become one TLS record
/// and one system call; large ones referenced.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// What comes behind the queue.
    pub(super) tail: BytesMut,
    sent: u64,
    needs_flush: bool,
}

/// Pieces up to this size are copied: cheaper than another slice for the sealer.
pub(super) const COPY_BYTES: usize = 4 * 1024;
/// Slices given to one write.
const SLICES: usize = 16;
/// More than this waiting and the source is not read any further.
pub(super) const HIGH_WATER_BYTES: usize = 64 * 1024;

impl Output {
    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// Is so much waiting that the source must wait?
    pub(super) fn is_full(&self) -> bool {
        self.len() >= HIGH_WATER_BYTES
    }

    /// Bytes written since the count was last taken.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Queues a piece.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_BYTES {
            self.tail.put_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.queued += self.tail.len();
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Queues a piece that somebody else has as well.
    pub(super) fn push_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY_BYTES {
            self.tail.put_slice(bytes);
        } else {
            self.push(bytes.clone());
        }
    }

    /// Writes and flushes everything.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.len() > 0 {
            let written = if self.queue.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let pieces = self.queue.iter().map(Bytes::as_ref).chain([self.tail.as_ref()]);
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                }
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(written);
            self.needs_flush = true;
        }
        if self.needs_flush {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn consume(&mut self, mut written: usize) {
        self.sent += written as u64;
        while let Some(first) = self.queue.front_mut() {
            let length = first.len().min(written);
            first.advance(length);
            written -= length;
            self.queued -= length;
            if !first.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        let whole = self.tail.capacity();
        self.tail.advance(written.min(self.tail.len()));
        // From the beginning again, as in [`poll_fill`]; where somebody still has a piece of it, it goes on behind.
        let _is_whole = self.tail.is_empty() && self.tail.try_reclaim(whole);
    }
}

/// The deadline of whatever is waited for. One timer per connection: it is only touched when a deadline comes nearer
/// than the one it stands at, which in steady traffic is once in many requests.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { sleep: None, deadline: clock::now() }
    }

    /// From now on, this is how long the peer has.
    pub(super) fn arm(&mut self, patience: Duration) {
        self.arm_from(clock::now(), patience);
    }

    pub(super) fn arm_from(&mut self, now: Instant, patience: Duration) {
        /// Beyond it nobody waits; `Instant` cannot say "never".
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
        self.deadline = now + patience.min(LONGEST);
    }

    /// Ready when the deadline has passed. Call it only when everything else is pending.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if clock::now() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
