//! Takes a body off a connection's buffer, part by part, as its framing says.

use bytes::{Bytes, BytesMut};

use super::super::{BodyError, Fields};
use super::{ChunkedDecoder, Length};

/// A piece of a body.
#[derive(Debug, Clone)]
pub enum BodyPart {
    /// Content, transfer coding removed.
    Data(Bytes),
    /// Trailers; the end follows.
    Trailers(Fields),
    /// The body is complete.
    End,
}

/// A decoder for one body.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyDecoder {
    state: State,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Done,
    Bytes(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyDecoder {
    /// A decoder for a body that ends so.
    #[must_use]
    pub fn new(length: Length) -> Self {
        let state = match length {
            Length::None | Length::Bytes(0) => State::Done,
            Length::Bytes(bytes) => State::Bytes(bytes),
            Length::Chunked => State::Chunked(ChunkedDecoder::default()),
            Length::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Is the body complete?
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many bytes are still to come, when that is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Bytes(left) => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// The next part from what has arrived, or `None` when more bytes are needed. `is_eof`: the peer has closed its
    /// side and the buffer holds all that will ever come.
    pub fn decode(&mut self, buffer: &mut BytesMut, is_eof: bool) -> Result<Option<BodyPart>, BodyError> {
        let part = match &mut self.state {
            State::Done => Some(BodyPart::End),
            State::Bytes(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= length as u64;
                let is_last = *left == 0;
                if is_last {
                    self.state = State::Done;
                }
                (length > 0).then(|| BodyPart::Data(buffer.split_to(length).freeze()))
            }
            State::Chunked(decoder) => {
                let part = decoder.decode(buffer)?;
                if matches!(part, Some(BodyPart::End | BodyPart::Trailers(_))) {
                    self.state = State::Done;
                }
                part
            }
            State::UntilClose if !buffer.is_empty() => Some(BodyPart::Data(buffer.split().freeze())),
            State::UntilClose if is_eof => {
                self.state = State::Done;
                Some(BodyPart::End)
            }
            State::UntilClose => None,
        };
        if part.is_none() && is_eof { Err(BodyError::Incomplete) } else { Ok(part) }
    }
}
