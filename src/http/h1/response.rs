//! Reads response heads of backends. Stricter than browsers: a response that two readers could read differently
//! poisons the connection, so it becomes 502.

use bytes::BytesMut;

use super::super::head::Span;
use super::super::{HeadError, ResponseHead, Version};
use super::HeadLimits;
use super::lines::{find_end, has_control, next_line, parse_fields};

/// Finds the end of a head across reads, then parses it once.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseReader {
    scanned: usize,
}

impl ResponseReader {
    /// Takes a complete head off the buffer into `head`, or returns false when more bytes are needed.
    pub fn read(
        &mut self,
        buffer: &mut BytesMut,
        limits: HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<bool, HeadError> {
        let Some(end) = find_end(buffer, self.scanned.saturating_sub(2)) else {
            self.scanned = buffer.len();
            return if buffer.len() > limits.bytes { Err(HeadError::TooLarge) } else { Ok(false) };
        };
        if end > limits.bytes {
            return Err(HeadError::TooLarge);
        }
        self.scanned = 0;
        head.clear();
        head.fields.bytes = buffer.split_to(end).freeze();
        let bytes = head.fields.bytes.clone();
        let (line, next) = next_line(&bytes, 0)?;
        parse_line(head, line)?;
        parse_fields(&bytes, next, limits.fields, &mut head.fields.list)?;
        Ok(true)
    }
}

fn parse_line(head: &mut ResponseHead, line: &[u8]) -> Result<(), HeadError> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, rest @ ..] = line else {
        return Err(HeadError::StatusLine);
    };
    head.version = match minor {
        b'0' => Version::Http10,
        b'1'..=b'9' => Version::Http11,
        _ => return Err(HeadError::StatusLine),
    };
    if !a.is_ascii_digit() || !b.is_ascii_digit() || !c.is_ascii_digit() || *a == b'0' {
        return Err(HeadError::StatusLine);
    }
    head.status = u16::from(*a - b'0') * 100 + u16::from(*b - b'0') * 10 + u16::from(*c - b'0');
    match rest {
        [] => {}
        [b' ', reason @ ..] if !has_control(reason) => {
            head.reason = Span::new(line.len() - reason.len(), line.len());
        }
        _ => return Err(HeadError::StatusLine),
    }
    Ok(())
}
