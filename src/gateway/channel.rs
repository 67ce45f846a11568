//! A request body on its way to an HTTP/2 backend: what is held first, then what the client still sends, one piece at
//! a time.
//!
//! hyper's connection task polls the body, ours fills it; the one slot between them is the back-pressure. Complete
//! bodies need no slot.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::inspect::Held;
use crate::http::Fields;
use crate::http::h1::BodyPart;

/// The reading end: hyper's.
#[derive(Debug)]
pub(super) struct ChannelBody {
    held: VecDeque<Bytes>,
    trailers: Option<Fields>,
    slot: Option<Arc<Slot>>,
    length: Option<u64>,
}

/// The writing end: ours. Dropping it before the end breaks the stream off.
#[derive(Debug)]
pub(super) struct ChannelSender {
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    part: Option<BodyPart>,
    is_sender_gone: bool,
    is_reader_gone: bool,
    reader: Option<Waker>,
    sender: Option<Waker>,
}

/// The client broke off: the stream is reset rather than ended.
#[derive(Debug, thiserror::Error)]
#[error("the client broke off its request body")]
pub(super) struct BrokenOff;

impl ChannelBody {
    /// A body from what is held; if that is not all, with the end to send the rest through. `length` is what
    /// Content-Length says.
    pub(super) fn new(held: &Held, length: Option<u64>) -> (Self, Option<ChannelSender>) {
        let slot = (!held.is_complete).then(Arc::<Slot>::default);
        let body = Self {
            held: held.parts.iter().cloned().collect(),
            trailers: held.trailers.clone(),
            slot: slot.clone(),
            length,
        };
        (body, slot.map(|slot| ChannelSender { slot }))
    }
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let Some(slot) = &this.slot else {
            return Poll::Ready(this.trailers.take().map(|fields| Ok(Frame::trailers(header_map(&fields)))));
        };
        let mut state = slot.lock();
        match state.part.take() {
            Some(BodyPart::Data(bytes)) => {
                state.sender.take().into_iter().for_each(Waker::wake);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(BodyPart::Trailers(fields)) => {
                drop(state);
                this.slot = None;
                Poll::Ready(Some(Ok(Frame::trailers(header_map(&fields)))))
            }
            Some(BodyPart::End) => {
                drop(state);
                this.slot = None;
                Poll::Ready(None)
            }
            None if state.is_sender_gone => Poll::Ready(Some(Err(Box::new(BrokenOff)))),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.slot.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.slot, &self.trailers, self.length) {
            (None, None, _) => SizeHint::with_exact(self.held.iter().map(|bytes| bytes.len() as u64).sum()),
            (Some(_), _, Some(length)) => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for ChannelBody {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            let mut state = slot.lock();
            state.is_reader_gone = true;
            state.sender.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl ChannelSender {
    /// Is there room for a part (or nobody reading any more)?
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.slot.lock();
        if state.is_reader_gone || state.part.is_none() {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts a part into the free slot. Nobody may be reading any more: then the backend has answered already.
    pub(super) fn send(&self, part: BodyPart) {
        let mut state = self.slot.lock();
        if !state.is_reader_gone {
            state.part = Some(part);
            state.reader.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        state.is_sender_gone = true;
        state.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fields as hyper wants them. Names and values that it refuses are left out: our parser has refused the dangerous
/// ones before.
pub(super) fn header_map(fields: &Fields) -> http::HeaderMap {
    let mut map = http::HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        append(&mut map, name, value);
    }
    map
}

/// Appends one field.
pub(super) fn append(map: &mut http::HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value)) {
        // Fails only at 32,768 fields; heads are bounded far below.
        map.try_append(name, value).ok();
    }
}
