//! A connection that switched protocols (WebSocket): bytes both ways until both sides are done.
//!
//! Nothing is inspected here: the handshake was. An end of one side is passed on as an end, so half-closed
//! connections work; silence on both ends the tunnel after the listener's idle time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::Backend;
use super::fault::{Fault, FaultKind};
use super::relay::Http1Client;
use super::reply::response_fields;
use super::request::Exchange;
use super::wire::{Output, poll_fill};
use crate::http::Known;
use crate::http::h1::encode;
use crate::telemetry::Action;

/// Answers 101 and relays until the end.
pub(super) async fn tunnel(
    exchange: &mut Exchange,
    client: &mut Http1Client,
    backend: Box<Backend>,
) -> Result<(), Fault> {
    let out = &mut client.out.tail;
    encode::status_line(out, 101, backend.head.reason());
    response_fields(exchange, &backend, |name, value| encode::field(out, name, value));
    encode::field(out, b"connection", b"upgrade");
    let protocol = backend.head.fields.first(Known::Upgrade).or_else(|| exchange.head.fields.first(Known::Upgrade));
    encode::field(out, b"upgrade", protocol.unwrap_or_default());
    encode::end_of_head(out);
    exchange.outcome.status = 101;
    exchange.outcome.action = Action::Forward;
    let Some((mut connection, mut to_backend)) = backend.into_http1() else {
        return Err(Fault::new(FaultKind::Upgrade, "an HTTP/2 backend cannot switch protocols"));
    };
    let patience = exchange.snapshot.listener(exchange.client.listener).map(|listener| listener.timeouts.idle);
    let patience = patience.unwrap_or_default();
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let mut is_armed = false;
    let result = poll_fn(|cx| {
        let before = (up.moved, down.moved);
        let sent = up.poll(&mut client.stream, &mut client.read, &mut to_backend, &mut connection.stream, cx);
        let buffer = &mut connection.read_buffer;
        let received = down.poll(&mut connection.stream, buffer, &mut client.out, &mut client.stream, cx);
        match (sent, received) {
            (_, Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
            (Poll::Ready(Err(error)), _) if up.is_broken => return Poll::Ready(Err(error)),
            // The backend takes no more; what it still says goes out.
            (Poll::Ready(Err(_)), Poll::Pending) => up.is_done = true,
            (Poll::Ready(Err(_)), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        if !is_armed || before != (up.moved, down.moved) {
            is_armed = true;
            exchange.timer.arm(patience);
        }
        ready!(exchange.timer.poll(cx));
        Poll::Ready(Ok(()))
    })
    .await;
    exchange.outcome.received_bytes += up.moved;
    // Once protocols are switched there is no answer to give: an end without ceremony is an end.
    drop(result);
    Ok(())
}

#[derive(Debug, Default)]
struct Direction {
    moved: u64,
    is_source_done: bool,
    /// The source ended with an error; what had come before is sent on all the same, a clean end is not.
    is_broken: bool,
    is_done: bool,
}

impl Direction {
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        from: &mut R,
        buffer: &mut BytesMut,
        out: &mut Output,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_done {
            let mut is_waiting = false;
            while !self.is_source_done && !out.is_full() {
                if !buffer.is_empty() {
                    self.moved += buffer.len() as u64;
                    out.push(buffer.split().freeze());
                }
                match poll_fill(from, buffer, cx) {
                    Poll::Ready(Ok(0)) => self.is_source_done = true,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => (self.is_source_done, self.is_broken) = (true, true),
                    Poll::Pending => {
                        is_waiting = true;
                        break;
                    }
                }
            }
            ready!(out.poll_write(to, cx))?;
            if self.is_broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if self.is_source_done {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).ok();
                self.is_done = true;
            } else if is_waiting {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}
