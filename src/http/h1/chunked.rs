//! The chunked transfer coding, decoded incrementally and strictly: hexadecimal digits, CRLF, bounded extensions.
//!
//! Leniency here is how request smuggling works (`0x5`, `5 `, LF alone, sizes that wrap), and the result is always
//! encoded anew, so extensions go no further.

use bytes::{Buf as _, BytesMut};

use super::super::hop::is_allowed_in_trailers;
use super::super::{BodyError, Fields};
use super::body::BodyPart;
use super::lines::{find_end, has_control, parse_fields};

/// Longest line with a chunk size and its extensions.
const SIZE_LINE_BYTES: usize = 512;
/// Most digits of a size: those of 64 bits.
const SIZE_DIGITS: usize = 16;
/// Most extension bytes in one body: an attacker must not make us read more framing than content.
const EXTENSION_BYTES: usize = 16 * 1024;
/// Longest trailer section.
const TRAILER_BYTES: usize = 8 * 1024;
/// Most trailer lines.
const TRAILER_FIELDS: usize = 32;

/// A decoder for one body.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkedDecoder {
    state: State,
    extension_bytes: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

impl ChunkedDecoder {
    /// The next part, or `None` when more bytes are needed.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BodyPart>, BodyError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(size) = self.size(buffer)? else { return Ok(None) };
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - length as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Some(BodyPart::Data(buffer.split_to(length).freeze())));
                }
                State::DataEnd => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::Trailers => return self.trailers(buffer),
                State::Done => return Ok(Some(BodyPart::End)),
            }
        }
    }

    fn size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
        let window = buffer.get(..SIZE_LINE_BYTES.min(buffer.len())).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', window) else {
            check_digits(window)?;
            return if window.len() == SIZE_LINE_BYTES { Err(BodyError::ChunkExtension) } else { Ok(None) };
        };
        let Some([line @ .., b'\r']) = window.get(..end) else { return Err(BodyError::ChunkSize) };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (number, extension) = line.split_at_checked(digits).unwrap_or_default();
        if digits == 0 || digits > SIZE_DIGITS || !matches!(extension.first(), None | Some(b';')) {
            return Err(BodyError::ChunkSize);
        }
        self.extension_bytes += extension.len();
        if has_control(extension) || self.extension_bytes > EXTENSION_BYTES {
            return Err(BodyError::ChunkExtension);
        }
        let size = number
            .iter()
            .fold(0u64, |sum, digit| (sum << 4) | u64::from((*digit as char).to_digit(16).unwrap_or_default()));
        // Sizes that only fit an unsigned number are nobody's chunk, and wrap in readers that use signed ones.
        if size > i64::MAX as u64 {
            return Err(BodyError::ChunkSize);
        }
        buffer.advance(end + 1);
        Ok(Some(size))
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> Result<Option<BodyPart>, BodyError> {
        match buffer.as_ref() {
            [b'\r', b'\n', ..] => {
                buffer.advance(2);
                self.state = State::Done;
                return Ok(Some(BodyPart::End));
            }
            [] | [b'\r'] => return Ok(None),
            _ => {}
        }
        let window = buffer.get(..TRAILER_BYTES.min(buffer.len())).unwrap_or_default();
        let Some(end) = find_end(window, 0) else {
            let is_full = window.len() == TRAILER_BYTES;
            return if is_full { Err(BodyError::Trailers(super::super::HeadError::TooLarge)) } else { Ok(None) };
        };
        let mut fields = Fields { bytes: buffer.split_to(end).freeze(), list: Vec::new() };
        parse_fields(&fields.bytes, 0, TRAILER_FIELDS, &mut fields.list).map_err(BodyError::Trailers)?;
        fields.list.retain(|field| is_allowed_in_trailers(field.known));
        self.state = State::Done;
        Ok(Some(BodyPart::Trailers(fields)))
    }
}

/// Refuses what can no longer become a size line, so that a peer cannot park a connection on it.
fn check_digits(partial: &[u8]) -> Result<(), BodyError> {
    match partial.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        Some(at) if at == 0 || at > SIZE_DIGITS || !matches!(partial.get(at), Some(b';' | b'\r')) => {
            Err(BodyError::ChunkSize)
        }
        None if partial.len() > SIZE_DIGITS => Err(BodyError::ChunkSize),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(stream: &[u8], step: usize) -> Option<BodyError> {
        let (mut decoder, mut buffer) = (ChunkedDecoder::default(), BytesMut::new());
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(part) = match decoder.decode(&mut buffer) {
                Ok(part) => part,
                Err(error) => return Some(error),
            } {
                if !matches!(part, BodyPart::Data(_)) {
                    return None;
                }
            }
        }
        None
    }

    /// Found by fuzzing: a line without its end, whose digits are too many and followed by an extension, was refused
    /// when it came in pieces and waited for when it came whole.
    #[test]
    fn too_many_digits_are_refused_whole_and_in_pieces() {
        let line = [&[b'a'; 17][..], b";extension"].concat();
        for step in [1, 3, 17, 18, line.len()] {
            assert_eq!(refusal(&line, step), Some(BodyError::ChunkSize), "in pieces of {step}");
        }
        assert_eq!(refusal(&[&[b'0'; 16][..], b";extension"].concat(), 100), None);
    }
}
