//! Text to logical lines, logical lines to words, as Apache reads its configuration.
//!
//! A backslash at the very end of a line joins the next line to it, in comments too (ModSecurity 2 never sees the
//! second line of a comment that ends in a backslash, and neither do we). A word is bare, or in single or double
//! quotes; inside quotes a backslash hides the quote or another backslash and is kept before anything else. All
//! positions stay known through joining and unescaping.

use std::borrow::Cow;

use crate::diagnostics::Position;

/// The logical lines of a text; blank lines and comments included.
#[derive(Debug)]
pub struct Lines<'s> {
    text: &'s [u8],
    offset: usize,
    number: u32,
}

impl<'s> Lines<'s> {
    /// All of `text`; a byte order mark at its beginning is skipped.
    pub fn new(text: &'s [u8]) -> Self {
        let offset = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, offset, number: 0 }
    }

    /// One physical line without its line end; `None` at the end of the text.
    fn physical(&mut self) -> Option<&'s [u8]> {
        let rest = self.text.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest);
        self.offset += end.map_or(rest.len(), |end| end + 1);
        self.number += 1;
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'s> Iterator for Lines<'s> {
    type Item = Line<'s>;

    fn next(&mut self) -> Option<Line<'s>> {
        let bom = u32::from(self.offset == 3 && self.number == 0) * 3;
        let first = self.physical()?;
        let segment = Segment { start: 0, line: self.number, column: 1 + bom };
        let Some(begin) = first.strip_suffix(b"\\") else {
            return Some(Line { text: Cow::Borrowed(first), segments: vec![segment], last_line: self.number });
        };
        let mut text = begin.to_vec();
        let mut segments = vec![segment];
        while let Some(next) = self.physical() {
            segments.push(Segment { start: text.len(), line: self.number, column: 1 });
            match next.strip_suffix(b"\\") {
                Some(part) => text.extend_from_slice(part),
                None => {
                    text.extend_from_slice(next);
                    break;
                }
            }
        }
        Some(Line { text: Cow::Owned(text), segments, last_line: self.number })
    }
}

/// A logical line.
#[derive(Debug)]
pub struct Line<'s> {
    text: Cow<'s, [u8]>,
    segments: Vec<Segment>,
    last_line: u32,
}

/// A part of a logical line that comes from one physical line.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: usize,
    line: u32,
    column: u32,
}

impl Line<'_> {
    /// The joined text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Number of the first and last physical line.
    pub fn numbers(&self) -> (u32, u32) {
        (self.segments.first().map_or(1, |s| s.line), self.last_line)
    }

    /// Nothing but white space?
    pub fn is_blank(&self) -> bool {
        self.text.iter().all(|b| is_space(*b))
    }

    /// Is `#` the first character?
    pub fn is_comment(&self) -> bool {
        self.text.iter().find(|b| !is_space(**b)) == Some(&b'#')
    }

    /// Where a byte of the joined text stands in the file.
    pub fn position(&self, offset: usize) -> Position {
        let index = self.segments.partition_point(|segment| segment.start <= offset);
        let Some(segment) = index.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return Position { line: 1, column: 1 };
        };
        let column = u32::try_from(offset - segment.start).unwrap_or(u32::MAX).saturating_add(segment.column);
        Position { line: segment.line, column }
    }

    /// The words of the line.
    pub fn words(&self) -> Vec<Word<'_>> {
        let mut words = Vec::with_capacity(4);
        let mut offset = 0;
        while let Some(word) = self.word(&mut offset) {
            words.push(word);
        }
        words
    }

    fn word(&self, offset: &mut usize) -> Option<Word<'_>> {
        let text = &self.text[..];
        let skipped = text.get(*offset..)?.iter().position(|b| !is_space(*b))?;
        let begin = *offset + skipped;
        let rest = text.get(begin..)?;
        let quote = match rest.first()? {
            quote @ (b'"' | b'\'') => Some(*quote),
            _ => None,
        };
        let Some(quote_byte) = quote else {
            let length = rest.iter().position(|b| is_space(*b)).unwrap_or(rest.len());
            *offset = begin + length;
            return Some(Word::unescape(rest.get(..length)?, begin, None, true));
        };
        let inner = rest.get(1..)?;
        let mut length = 0;
        let mut is_closed = false;
        while let Some(byte) = inner.get(length) {
            if *byte == quote_byte {
                is_closed = true;
                break;
            }
            let hides = *byte == b'\\' && inner.get(length + 1).is_some_and(|n| *n == quote_byte || *n == b'\\');
            length += if hides { 2 } else { 1 };
        }
        *offset = begin + 1 + length + usize::from(is_closed);
        Some(Word::unescape(inner.get(..length)?, begin + 1, quote, is_closed))
    }
}

/// One word of a logical line.
#[derive(Debug)]
pub struct Word<'l> {
    /// Quotes and the backslashes that hid something removed.
    pub text: Cow<'l, [u8]>,
    /// The quote around it.
    pub quote: Option<u8>,
    /// Is the closing quote there?
    pub is_closed: bool,
    start: usize,
    escapes: Vec<usize>,
}

impl<'l> Word<'l> {
    fn unescape(raw: &'l [u8], start: usize, quote: Option<u8>, is_closed: bool) -> Self {
        let hides = |next: Option<&u8>| next.is_some_and(|next| *next == b'\\' || Some(*next) == quote);
        if !memchr::memchr_iter(b'\\', raw).any(|at| hides(raw.get(at + 1))) {
            return Self { text: Cow::Borrowed(raw), quote, is_closed, start, escapes: Vec::new() };
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut escapes = Vec::new();
        let mut bytes = raw.iter().enumerate();
        while let Some((index, byte)) = bytes.next() {
            if *byte == b'\\' && hides(raw.get(index + 1)) {
                escapes.push(text.len());
                text.extend(bytes.next().map(|(_, next)| *next));
            } else {
                text.push(*byte);
            }
        }
        Self { text: Cow::Owned(text), quote, is_closed, start, escapes }
    }

    /// Where a byte of [`Word::text`] stands in the joined line.
    pub fn offset(&self, index: usize) -> usize {
        self.start + index + self.escapes.partition_point(|at| *at <= index)
    }
}

/// C's `isspace`.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, u32, u32)> {
        Lines::new(text.as_bytes())
            .map(|l| (String::from_utf8_lossy(l.text()).into_owned(), l.numbers().0, l.numbers().1))
            .collect()
    }

    fn words(text: &str) -> Vec<String> {
        Lines::new(text.as_bytes())
            .flat_map(|l| {
                let words = l.words();
                words.iter().map(|w| String::from_utf8_lossy(&w.text).into_owned()).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_backslash_joins_lines_in_comments_too() {
        assert_eq!(lines("a \\\n b\\\r\n c\r\nd"), [("a  b c".into(), 1, 3), ("d".into(), 4, 4)]);
        let comment = Lines::new(b"# a \\\nSecRule x\nB").next().unwrap();
        assert!(comment.is_comment());
        assert_eq!(comment.numbers(), (1, 2));
    }

    #[test]
    fn the_last_line_may_end_in_a_backslash_or_nothing() {
        assert_eq!(lines("a\\"), [("a".into(), 1, 1)]);
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n\n").len(), 2);
    }

    #[test]
    fn words_are_quoted_as_in_apache() {
        assert_eq!(words(r#"A "b \" c \\ \d" 'e "f" \' g' h\\i"#), ["A", r#"b " c \ \d"#, "e \"f\" ' g", r"h\i"]);
        assert_eq!(words("A \"open"), ["A", "open"]);
        assert_eq!(words("A \"b\"c"), ["A", "b", "c"]);
    }

    #[test]
    fn positions_survive_joining_and_unescaping() {
        let text = b"X \"a\\\"b\\\n  c\"";
        let line = Lines::new(text).next().unwrap();
        let words = line.words();
        let word = &words[1];
        let at = |byte: u8| {
            let index = word.text.iter().position(|b| *b == byte).unwrap();
            line.position(word.offset(index))
        };
        assert_eq!(at(b'a'), Position { line: 1, column: 4 });
        assert_eq!(at(b'b'), Position { line: 1, column: 7 });
        assert_eq!(at(b'c'), Position { line: 2, column: 3 });
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let line = Lines::new(b"\xef\xbb\xbfA").next().unwrap();
        assert_eq!(line.text(), b"A");
        assert_eq!(line.position(0), Position { line: 1, column: 4 });
    }
}
