//! Gathers what an HTTP/2 connection writes.
//!
//! h2 writes and flushes for every data frame of more than a few hundred bytes. Ten streams whose answers arrive
//! together would so become ten TLS records and ten system calls. Here they are copied together while the connection
//! is polled, and leave together when it has nothing more to do: [`Gathered::poll_send`] is called after each poll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A full TLS record: more gathered than this gains nothing.
const RECORD_BYTES: usize = 16 * 1024;
/// Writes of this size are not copied if nothing waits before them.
const LARGE_BYTES: usize = 8 * 1024;

/// A stream and the bytes that wait to be written to it. Clones are the same stream; one task uses all of them, the
/// lock is only there so that the task may be sent to another thread.
#[derive(Debug)]
pub(super) struct Gathered<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    waiting: BytesMut,
    needs_flush: bool,
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gathered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, waiting: BytesMut::new(), needs_flush: false })))
    }

    /// Writes and flushes what has been gathered. Pending: the task is woken when it can go on.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(cx)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
            self.needs_flush = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_waiting(cx))?;
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.waiting.len() + total > RECORD_BYTES {
            ready!(self.poll_waiting(cx))?;
        }
        if self.waiting.is_empty() && total >= LARGE_BYTES {
            self.needs_flush = true;
            return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        }
        if self.waiting.capacity() - self.waiting.len() < total {
            self.waiting.reserve(total.max(2 * 1024));
        }
        for piece in pieces {
            self.waiting.put_slice(piece);
        }
        Poll::Ready(Ok(total))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was gathered leaves later, by [`Gathered::poll_send`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn small_writes_leave_together_and_in_order() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let gathered = Gathered::new(ours);
        let mut writer = gathered.clone();
        for piece in [&b"one "[..], b"two ", b"three"] {
            writer.write_all(piece).await.expect("gathered");
            writer.flush().await.expect("nothing to wait for");
        }
        let mut buffer = [0; 64];
        let early =
            poll_fn(|cx| Poll::Ready(Pin::new(&mut theirs).poll_read(cx, &mut ReadBuf::new(&mut buffer)))).await;
        assert!(early.is_pending());
        poll_fn(|cx| gathered.poll_send(cx)).await.expect("sent");
        let count = theirs.read(&mut buffer).await.expect("read");
        assert_eq!(&buffer[..count], b"one two three");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn large_writes_follow_what_waits_and_pass_back_pressure() {
        let (ours, mut theirs) = duplex(1024);
        let gathered = Gathered::new(ours);
        let mut writer = gathered.clone();
        let large = vec![7; 100_000];
        let sent = async {
            writer.write_all(b"head").await.expect("gathered");
            writer.write_all(&large).await.expect("written");
            writer.shutdown().await.expect("shut");
        };
        let mut received = Vec::new();
        let (_, count) = tokio::join!(sent, theirs.read_to_end(&mut received));
        assert_eq!(count.expect("read"), 100_004);
        assert!(received.starts_with(b"head\x07"));
    }
}
