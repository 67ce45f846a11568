//! What stands behind a backslash: characters, classes, assertions, references.

use super::super::ast::{Assertion, ByteSet, Node};
use super::super::{ErrorKind, RegexError};
use super::Parser;
use super::class::word;

/// What an escape stands for.
pub(super) enum Escape {
    Set(ByteSet),
    Byte(u8),
    Node(Node),
}

impl Parser<'_> {
    /// After a backslash.
    pub(super) fn escape(&mut self, in_class: bool) -> Result<Escape, RegexError> {
        let Some(byte) = self.next() else { return Err(self.error(ErrorKind::TrailingBackslash)) };
        if let Some(set) = class_escape(byte) {
            return Ok(Escape::Set(set));
        }
        let node = match byte {
            b'a' => return Ok(Escape::Byte(0x07)),
            b'e' => return Ok(Escape::Byte(0x1b)),
            b'f' => return Ok(Escape::Byte(0x0c)),
            b'n' => return Ok(Escape::Byte(b'\n')),
            b'r' => return Ok(Escape::Byte(b'\r')),
            b't' => return Ok(Escape::Byte(b'\t')),
            b'b' if in_class => return Ok(Escape::Byte(0x08)),
            b'c' => {
                return match self.next() {
                    Some(byte) if byte.is_ascii() => Ok(Escape::Byte(byte.to_ascii_uppercase() ^ 0x40)),
                    _ => Err(self.error(ErrorKind::InvalidEscape)),
                };
            }
            b'x' => return self.hexadecimal().map(Escape::Byte),
            b'o' => return self.braced_octal().map(Escape::Byte),
            b'0' => return Ok(Escape::Byte(self.octal(0, 2)?)),
            b'1'..=b'9' => return self.number_escape(byte, in_class),
            b'N' if !in_class && !self.names_character() => return Ok(Escape::Set(ByteSet::of(b'\n').negated())),
            b'p' | b'P' => return Err(self.error(ErrorKind::Unsupported("a Unicode property (\\p)"))),
            b'X' if !in_class => return Err(self.error(ErrorKind::Unsupported("\\X"))),
            b'K' if !in_class => return Err(self.error(ErrorKind::Unsupported("\\K"))),
            b'C' if !in_class => return Ok(Escape::Set(ByteSet::ALL)),
            b'b' => Node::Assert(Assertion::WordBoundary),
            b'B' if !in_class => Node::Assert(Assertion::NotWordBoundary),
            b'A' if !in_class => Node::Assert(Assertion::Start),
            b'Z' if !in_class => Node::Assert(Assertion::EndOrLastNewline),
            b'z' if !in_class => Node::Assert(Assertion::End),
            b'G' if !in_class => Node::Assert(Assertion::SearchStart),
            b'R' if !in_class => newline_sequence(),
            b'g' if !in_class => return self.g_reference().map(Escape::Node),
            b'k' if !in_class => return self.k_reference().map(Escape::Node),
            byte if !byte.is_ascii_alphanumeric() => return Ok(Escape::Byte(byte)),
            _ => {
                self.position -= 1;
                return Err(self.error(ErrorKind::InvalidEscape));
            }
        };
        Ok(Escape::Node(node))
    }

    /// After `\N`: `{U+E9}` or `{NAME}` rather than a quantifier?
    fn names_character(&self) -> bool {
        self.rest().starts_with(b"{") && !self.rest().get(1).is_some_and(u8::is_ascii_digit)
    }

    /// `\xH`, `\xHH`, `\x{H…}`
    fn hexadecimal(&mut self) -> Result<u8, RegexError> {
        if self.rest().starts_with(b"{") {
            let length = self.rest().iter().skip(1).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if length > 0 && self.rest().get(length + 1) == Some(&b'}') {
                let digits = self.rest().get(1..=length).unwrap_or_default();
                let value = digits.iter().fold(0u32, |sum, digit| sum.saturating_mul(16).saturating_add(hex(*digit)));
                let Ok(byte) = u8::try_from(value) else { return Err(self.error(ErrorKind::CodePointTooLarge)) };
                self.position += length + 2;
                return Ok(byte);
            }
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let digits = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let value = self.rest().iter().take(digits).fold(0, |sum, digit| sum * 16 + hex(*digit));
        self.position += digits;
        Ok(u8::try_from(value).unwrap_or_default())
    }

    /// `\o{…}`
    fn braced_octal(&mut self) -> Result<u8, RegexError> {
        let length = self.rest().iter().skip(1).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        if !self.rest().starts_with(b"{") || length == 0 || self.rest().get(length + 1) != Some(&b'}') {
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let digits = self.rest().get(1..=length).unwrap_or_default();
        let value = digits.iter().fold(0u32, |sum, digit| sum.saturating_mul(8).saturating_add(hex(*digit)));
        let Ok(byte) = u8::try_from(value) else { return Err(self.error(ErrorKind::CodePointTooLarge)) };
        self.position += length + 2;
        Ok(byte)
    }

    /// Up to `most` further octal digits.
    fn octal(&mut self, first: u32, most: usize) -> Result<u8, RegexError> {
        let mut value = first;
        for _ in 0..most {
            match self.peek() {
                Some(digit @ b'0'..=b'7') => value = value * 8 + hex(digit),
                _ => break,
            }
            self.position += 1;
        }
        u8::try_from(value).map_err(|_| self.error(ErrorKind::CodePointTooLarge))
    }

    /// `\12`: a reference when it is below 10 or there are so many groups, else octal, else the digits 8 and 9.
    fn number_escape(&mut self, first: u8, in_class: bool) -> Result<Escape, RegexError> {
        let digits = 1 + self.rest().iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
        let start = self.position - 1;
        let text = self.pattern.get(start..start + digits).unwrap_or_default();
        let value = text.iter().fold(0u32, |sum, digit| sum * 10 + hex(*digit));
        if !in_class && (value < 10 || value as usize <= self.group_count) {
            self.position = start + digits;
            return Ok(Escape::Node(self.reference(value)));
        }
        if first >= b'8' {
            return Ok(Escape::Byte(first));
        }
        self.octal(hex(first), 2).map(Escape::Byte)
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`
    fn g_reference(&mut self) -> Result<Node, RegexError> {
        if matches!(self.peek(), Some(b'<' | b'\'')) {
            return Err(self.error(ErrorKind::Unsupported("recursion or a subroutine call")));
        }
        let is_braced = self.eat(b"{");
        if is_braced && self.peek().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            let name = self.name(b'}')?;
            return self.named_reference(&name);
        }
        let is_relative = self.eat(b"-");
        let digits = self.rest().iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let value = self.rest().iter().take(digits).fold(0u32, |sum, digit| sum * 10 + hex(*digit));
        self.position += digits;
        if digits == 0 || (is_braced && !self.eat(b"}")) {
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let groups = u32::try_from(self.group_names.len()).unwrap_or(u32::MAX);
        let index = if is_relative { groups.checked_sub(value) } else { Some(value) };
        match index {
            Some(index) if index > 0 => Ok(self.reference(index)),
            _ => Err(self.error(ErrorKind::UnknownGroup)),
        }
    }

    /// `\k<name>`, `\k'name'`, `\k{name}`
    fn k_reference(&mut self) -> Result<Node, RegexError> {
        let end = match self.next() {
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            Some(b'{') => b'}',
            _ => return Err(self.error(ErrorKind::InvalidEscape)),
        };
        let name = self.name(end)?;
        self.named_reference(&name)
    }
}

fn hex(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or_default()
}

/// `\d`, `\W` and the like. White space has the vertical tab, as in PCRE since 8.34.
fn class_escape(byte: u8) -> Option<ByteSet> {
    let set = match byte.to_ascii_lowercase() {
        b'd' => ByteSet::ranges(&[(b'0', b'9')]),
        b's' => ByteSet::ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        b'w' => word(),
        b'h' => ByteSet::ranges(&[(b'\t', b'\t'), (b' ', b' '), (0xa0, 0xa0)]),
        b'v' => ByteSet::ranges(&[(b'\n', b'\r'), (0x85, 0x85)]),
        _ => return None,
    };
    Some(if byte.is_ascii_uppercase() { set.negated() } else { set })
}

/// `\R`
fn newline_sequence() -> Node {
    let pair = Node::Concat(vec![Node::Set(ByteSet::of(b'\r')), Node::Set(ByteSet::of(b'\n'))]);
    let single = Node::Set(ByteSet::ranges(&[(b'\n', b'\r'), (0x85, 0x85)]));
    Node::Atomic(Box::new(Node::Alternate(vec![pair, single])))
}
