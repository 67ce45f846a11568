//! Character classes in brackets, and POSIX's inside of them.

use super::super::ast::ByteSet;
use super::super::{ErrorKind, RegexError};
use super::Parser;
use super::escape::Escape;

impl Parser<'_> {
    /// After `[`.
    pub(super) fn class(&mut self, start: usize) -> Result<ByteSet, RegexError> {
        let unclosed = RegexError { position: start, kind: ErrorKind::UnclosedClass };
        let is_negated = self.eat(b"^");
        let mut set = ByteSet::EMPTY;
        let mut is_first = true;
        let mut is_quoted = false;
        loop {
            let Some(byte) = self.peek() else { return Err(unclosed) };
            if is_quoted {
                if self.eat(b"\\E") {
                    is_quoted = false;
                    continue;
                }
            } else {
                if byte == b']' && !is_first {
                    self.position += 1;
                    break;
                }
                if self.eat(b"\\Q") {
                    is_quoted = true;
                    continue;
                }
                if self.eat(b"\\E") {
                    continue;
                }
                if byte == b'['
                    && let Some(posix) = self.posix_class()?
                {
                    set = set.union(posix);
                    is_first = false;
                    continue;
                }
            }
            is_first = false;
            let low = match self.class_item(is_quoted)? {
                Escape::Byte(byte) => byte,
                Escape::Set(escaped) => {
                    set = set.union(escaped);
                    continue;
                }
                Escape::Node(_) => return Err(self.error(ErrorKind::InvalidEscape)),
            };
            let high = if is_quoted { None } else { self.range_end(low)? };
            let range = ByteSet::ranges(&[(low, high.unwrap_or(low))]);
            set = set.union(self.folded(range));
        }
        Ok(if is_negated { set.negated() } else { set })
    }

    fn class_item(&mut self, is_quoted: bool) -> Result<Escape, RegexError> {
        match self.next() {
            Some(b'\\') if !is_quoted => self.escape(true),
            Some(byte) => Ok(Escape::Byte(byte)),
            None => Err(self.error(ErrorKind::UnclosedClass)),
        }
    }

    /// After a byte in a class: the end of the range that it begins, if it begins one. Before a class escape or a
    /// POSIX class the hyphen is literal and is left to be read as such.
    fn range_end(&mut self, low: u8) -> Result<Option<u8>, RegexError> {
        let before = self.position;
        while self.eat(b"\\E") {}
        if !self.rest().starts_with(b"-") || matches!(self.rest().get(1), None | Some(b']')) {
            self.position = before;
            return Ok(None);
        }
        self.position += 1;
        if self.rest().starts_with(b"[") && self.posix_class().is_ok_and(|class| class.is_some()) {
            self.position = before;
            return Ok(None);
        }
        let is_quoted = self.eat(b"\\Q");
        if self.rest().starts_with(b"\\E") {
            self.position = before;
            return Ok(None);
        }
        let item = self.class_item(is_quoted)?;
        if is_quoted {
            // `[a-\Qz\E]`: the rest of the quotation, if any, is read as quoted again.
            if !self.rest().starts_with(b"\\E") {
                return Err(self.error(ErrorKind::Unsupported("a range into a longer \\Q…\\E")));
            }
        }
        match item {
            Escape::Byte(high) if high < low => Err(self.error(ErrorKind::RangeOutOfOrder)),
            Escape::Byte(high) => Ok(Some(high)),
            _ => {
                self.position = before;
                Ok(None)
            }
        }
    }

    /// `[:alpha:]`, `[:^alpha:]` at the position; `[` otherwise means itself.
    fn posix_class(&mut self) -> Result<Option<ByteSet>, RegexError> {
        let rest = self.rest();
        let kind = rest.get(1).copied();
        if !matches!(kind, Some(b':' | b'.' | b'=')) {
            return Ok(None);
        }
        let terminator = [kind.unwrap_or_default(), b']'];
        let Some(length) = memchr::memmem::find(rest.get(2..).unwrap_or_default(), &terminator) else {
            return Ok(None);
        };
        let name = rest.get(2..2 + length).unwrap_or_default();
        if name.iter().any(|byte| matches!(byte, b']' | b'\\' | b'[')) {
            return Ok(None);
        }
        if kind != Some(b':') {
            return Err(self.error(ErrorKind::Unsupported("a POSIX collating element")));
        }
        let (name, is_negated) = match name {
            [b'^', name @ ..] => (name, true),
            name => (name, false),
        };
        let Some(set) = posix_set(name) else { return Err(self.error(ErrorKind::UnknownPosixClass)) };
        let set = self.folded(set);
        self.position += length + 4;
        Ok(Some(if is_negated { set.negated() } else { set }))
    }
}

/// `\w`
pub(super) fn word() -> ByteSet {
    ByteSet::ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')])
}

fn posix_set(name: &[u8]) -> Option<ByteSet> {
    Some(match name {
        b"alnum" => ByteSet::ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
        b"alpha" => ByteSet::ranges(&[(b'A', b'Z'), (b'a', b'z')]),
        b"ascii" => ByteSet::ranges(&[(0, 0x7f)]),
        b"blank" => ByteSet::ranges(&[(b'\t', b'\t'), (b' ', b' ')]),
        b"cntrl" => ByteSet::ranges(&[(0, 0x1f), (0x7f, 0x7f)]),
        b"digit" => ByteSet::ranges(&[(b'0', b'9')]),
        b"graph" => ByteSet::ranges(&[(0x21, 0x7e)]),
        b"lower" => ByteSet::ranges(&[(b'a', b'z')]),
        b"print" => ByteSet::ranges(&[(0x20, 0x7e)]),
        b"punct" => ByteSet::ranges(&[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)]),
        b"space" => ByteSet::ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        b"upper" => ByteSet::ranges(&[(b'A', b'Z')]),
        b"word" => word(),
        b"xdigit" => ByteSet::ranges(&[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
        _ => return None,
    })
}
