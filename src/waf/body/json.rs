//! JSON bodies as arguments: one per scalar, named by the way to it.
//!
//! The grammar is that of yajl, which ModSecurity uses: RFC 8259, plus vertical tab and form feed as white space;
//! strings must be UTF-8 in form (overlong forms and surrogates pass), and control characters in them are errors.
//! Numbers are given as text, `null` as an empty value, duplicate keys each time they occur. The document is read as
//! a stream: memory is the open containers, their names, and an unfinished token.
//!
//! *Difference from ModSecurity:* after a lone high surrogate yajl loses one more character; here nothing is lost.
//! Keys with a dot do not confuse the names that follow them.

use super::{ArgumentSink, Piece};
use crate::waf::utf8;

/// How arguments are named, which exclusion lists depend on. For `{"a":[1,{"b":2}]}`:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// `a.a`, `a.a.b`: elements of an array have its name, with its last part repeated. Top-level arrays are `array`.
    #[default]
    ModSecurity2,
    /// `json.a.array_0`, `json.a.array_1.b`
    LibModSecurity,
    /// `json.a.0`, `json.a.1.b`, and `json.a` with the number of elements.
    Coraza,
}

/// Bounds of one document.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open containers (SecRequestBodyJsonDepthLimit). As in ModSecurity 2 a top-level object does not count there.
    pub depth: usize,
    /// Arguments; one more is an error, as in ModSecurity 2.
    pub arguments: usize,
    /// Longest name of an argument: names repeat the keys of all open containers.
    pub name_bytes: usize,
}

/// Why a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message; offsets are in the body")]
pub enum Error {
    #[error("JSON depth limit exceeded")]
    TooDeep,
    #[error("JSON argument limit exceeded")]
    TooManyArguments,
    #[error("JSON argument name too long")]
    NameTooLong,
    #[error("parse error: unexpected character at byte {offset}")]
    Unexpected { offset: usize },
    #[error("lexical error: invalid string at byte {offset}")]
    InvalidString { offset: usize },
    #[error("lexical error: invalid number at byte {offset}")]
    InvalidNumber { offset: usize },
    #[error("parse error: trailing garbage at byte {offset}")]
    TrailingGarbage { offset: usize },
    #[error("parse error: premature EOF")]
    PrematureEnd,
}

/// Reads a whole document.
pub fn parse(input: &[u8], naming: Naming, limits: Limits, sink: &mut impl ArgumentSink) -> Result<(), Error> {
    let mut parser = Parser::new(naming, limits);
    parser.feed(input, sink)?;
    parser.finish(sink)
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    AfterValue,
    End,
}

/// A token that is not complete yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    /// Behind the opening quote.
    String,
    /// A number or a literal.
    Word,
}

#[derive(Debug)]
struct Frame {
    is_array: bool,
    /// Length of the path outside.
    outer_len: usize,
    /// Where the last part of the path begins.
    segment_start: usize,
    /// Elements begun (arrays).
    index: usize,
}

/// Reads a document that arrives in chunks.
#[derive(Debug)]
pub struct Parser {
    naming: Naming,
    limits: Limits,
    state: State,
    frames: Vec<Frame>,
    /// Name of the innermost container.
    path: Vec<u8>,
    /// Key of the value to come.
    key: Vec<u8>,
    token: Token,
    /// The unfinished token, from earlier chunks.
    carry: Vec<u8>,
    token_start: usize,
    /// The last byte of the unfinished string is a backslash that escapes what comes.
    is_escaping: bool,
    decoded: Vec<u8>,
    /// Bytes before the current chunk.
    consumed: usize,
    arguments: usize,
    failure: Option<Error>,
}

impl Parser {
    /// For one document.
    #[must_use]
    pub fn new(naming: Naming, limits: Limits) -> Self {
        Self {
            naming,
            limits,
            state: State::Value,
            frames: Vec::new(),
            path: if naming == Naming::ModSecurity2 { Vec::new() } else { b"json".to_vec() },
            key: Vec::new(),
            token: Token::None,
            carry: Vec::new(),
            token_start: 0,
            is_escaping: false,
            decoded: Vec::new(),
            consumed: 0,
            arguments: 0,
            failure: None,
        }
    }

    /// The next bytes. After an error every further call gives the same error.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl ArgumentSink) -> Result<(), Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let result = self.advance(chunk, sink);
        self.failure = result.err();
        self.consumed += chunk.len();
        result
    }

    /// The end of the document. An empty body is not an error.
    pub fn finish(mut self, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        if self.token == Token::Word {
            let word = std::mem::take(&mut self.carry);
            self.word(&word, sink)?;
        }
        if self.state == State::End || self.consumed == 0 { Ok(()) } else { Err(Error::PrematureEnd) }
    }

    fn advance(&mut self, chunk: &[u8], sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let mut at = 0;
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            match self.token {
                Token::None => {
                    while let Some(b' ' | b'\t'..=b'\r') = chunk.get(at) {
                        at += 1;
                    }
                    let Some(&byte) = chunk.get(at) else { return Ok(()) };
                    self.token_start = self.consumed + at;
                    match byte {
                        b'"' => {
                            self.expect_string()?;
                            self.token_start += 1;
                            at += 1;
                            match plain_string(chunk.get(at..).unwrap_or_default()) {
                                Some(text) => {
                                    at += text.len() + 1;
                                    self.text(Piece::at(text, self.token_start), sink)?;
                                    at += usize::from(self.takes_separator(chunk.get(at)));
                                }
                                None => self.token = Token::String,
                            }
                        }
                        b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                            self.expect_value()?;
                            self.token = Token::Word;
                        }
                        byte => {
                            self.punctuation(byte, sink)?;
                            at += 1;
                        }
                    }
                }
                Token::String => match self.string_end(rest) {
                    Some(length) => {
                        self.complete(rest, length, |parser, token| parser.string(token, sink))?;
                        at += length + 1;
                    }
                    None => {
                        self.carry.extend_from_slice(rest);
                        return Ok(());
                    }
                },
                Token::Word => {
                    let length = rest.iter().take_while(|byte| is_word_byte(**byte)).count();
                    if length == rest.len() {
                        self.carry.extend_from_slice(rest);
                        return Ok(());
                    }
                    self.complete(rest, length, |parser, token| parser.word(token, sink))?;
                    at += length;
                    at += usize::from(self.takes_separator(chunk.get(at)));
                }
            }
        }
    }

    /// The token is `carry` and the first bytes of `rest`.
    fn complete(
        &mut self,
        rest: &[u8],
        length: usize,
        then: impl FnOnce(&mut Self, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.token = Token::None;
        let last = rest.get(..length).unwrap_or_default();
        if self.carry.is_empty() {
            return then(self, last);
        }
        let mut token = std::mem::take(&mut self.carry);
        token.extend_from_slice(last);
        let result = then(self, &token);
        token.clear();
        self.carry = token;
        result
    }

    /// Where the string's closing quote is.
    fn string_end(&mut self, rest: &[u8]) -> Option<usize> {
        let mut at = usize::from(std::mem::take(&mut self.is_escaping));
        loop {
            let found = at + memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
            if rest.get(found) == Some(&b'"') {
                return Some(found);
            }
            at = found + 2;
            if at > rest.len() {
                self.is_escaping = true;
                return None;
            }
        }
    }

    fn unexpected(&self) -> Error {
        if self.state == State::End {
            Error::TrailingGarbage { offset: self.token_start }
        } else {
            Error::Unexpected { offset: self.token_start }
        }
    }

    fn expect_value(&self) -> Result<(), Error> {
        if matches!(self.state, State::Value | State::FirstElement) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_string(&self) -> Result<(), Error> {
        if matches!(self.state, State::FirstKey | State::Key) { Ok(()) } else { self.expect_value() }
    }

    fn punctuation(&mut self, byte: u8, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let is_in_array = self.frames.last().map(|frame| frame.is_array);
        self.state = match (byte, self.state, is_in_array) {
            (b'[' | b'{', State::Value | State::FirstElement, _) => {
                self.enter(byte == b'[')?;
                if byte == b'[' { State::FirstElement } else { State::FirstKey }
            }
            (b']', State::FirstElement | State::AfterValue, Some(true))
            | (b'}', State::FirstKey | State::AfterValue, Some(false)) => {
                self.leave(sink)?;
                self.after_value()
            }
            (b',', State::AfterValue, Some(true)) => State::Value,
            (b',', State::AfterValue, Some(false)) => State::Key,
            (b':', State::Colon, _) => State::Value,
            _ => return Err(self.unexpected()),
        };
        Ok(())
    }

    /// Is the byte behind a key or value the colon or comma that nearly always stands there? Then it is taken, as
    /// [`Self::punctuation`] does it.
    fn takes_separator(&mut self, byte: Option<&u8>) -> bool {
        self.state = match (byte, self.state, self.frames.last()) {
            (Some(b':'), State::Colon, _) | (Some(b','), State::AfterValue, Some(Frame { is_array: true, .. })) => {
                State::Value
            }
            (Some(b','), State::AfterValue, Some(Frame { is_array: false, .. })) => State::Key,
            _ => return false,
        };
        true
    }

    fn after_value(&self) -> State {
        if self.frames.is_empty() { State::End } else { State::AfterValue }
    }

    fn enter(&mut self, is_array: bool) -> Result<(), Error> {
        let outer_len = self.path.len();
        let mut segment_start = self.push_segment()?;
        if self.frames.is_empty() && self.naming == Naming::ModSecurity2 && is_array {
            self.path.extend_from_slice(b"array");
            segment_start = 0;
        }
        self.frames.push(Frame { is_array, outer_len, segment_start, index: 0 });
        let is_root_free =
            self.naming == Naming::ModSecurity2 && self.frames.first().is_some_and(|root| !root.is_array);
        if self.frames.len() - usize::from(is_root_free) > self.limits.depth {
            return Err(Error::TooDeep);
        }
        Ok(())
    }

    fn leave(&mut self, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        if frame.is_array && self.naming == Naming::Coraza {
            let count = frame.index.to_string();
            self.argument(Piece::made(count.as_bytes()), sink)?;
        }
        self.path.truncate(frame.outer_len);
        Ok(())
    }

    /// Makes the path that of the value to come; gives where its last part begins.
    fn push_segment(&mut self) -> Result<usize, Error> {
        let is_nested = self.frames.len() > 1;
        let Some(frame) = self.frames.last_mut() else { return Ok(self.path.len()) };
        let index = frame.index;
        frame.index += 1;
        let is_array = frame.is_array;
        let repeated = frame.segment_start..self.path.len();
        if self.naming != Naming::ModSecurity2 || is_nested || is_array {
            self.path.push(b'.');
        }
        let start = self.path.len();
        match (self.naming, is_array) {
            (Naming::ModSecurity2, true) => self.path.extend_from_within(repeated),
            (Naming::LibModSecurity, true) => self.path.extend_from_slice(format!("array_{index}").as_bytes()),
            (Naming::Coraza, true) => self.path.extend_from_slice(index.to_string().as_bytes()),
            (Naming::LibModSecurity, false) if self.key.is_empty() => self.path.extend_from_slice(b"empty-key"),
            (_, false) => self.path.extend_from_slice(&self.key),
        }
        if self.path.len() > self.limits.name_bytes { Err(Error::NameTooLong) } else { Ok(start) }
    }

    fn scalar(&mut self, value: Piece<'_>, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let outer_len = self.path.len();
        self.push_segment()?;
        self.argument(value, sink)?;
        self.path.truncate(outer_len);
        self.state = self.after_value();
        Ok(())
    }

    fn argument(&mut self, value: Piece<'_>, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        if self.arguments >= self.limits.arguments {
            return Err(Error::TooManyArguments);
        }
        self.arguments += 1;
        sink.argument(Piece::made(&self.path), value);
        Ok(())
    }

    fn word(&mut self, word: &[u8], sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let start = self.token_start;
        match word {
            b"true" | b"false" => self.scalar(Piece::at(word, start), sink),
            b"null" => self.scalar(Piece::made(b""), sink),
            [b'a'..=b'z', ..] => Err(Error::Unexpected { offset: start }),
            number if is_number(number) => self.scalar(Piece::at(number, start), sink),
            _ => Err(Error::InvalidNumber { offset: start }),
        }
    }

    fn string(&mut self, raw: &[u8], sink: &mut impl ArgumentSink) -> Result<(), Error> {
        let mut decoded = std::mem::take(&mut self.decoded);
        let result = match decode_string(raw, &mut decoded) {
            None => Err(Error::InvalidString { offset: self.token_start }),
            Some(is_changed) => {
                let text = if is_changed { Piece::made(&decoded) } else { Piece::at(raw, self.token_start) };
                self.text(text, sink)
            }
        };
        self.decoded = decoded;
        result
    }

    /// A string without its escapes, which is a key or a value.
    fn text(&mut self, text: Piece<'_>, sink: &mut impl ArgumentSink) -> Result<(), Error> {
        if !matches!(self.state, State::FirstKey | State::Key) {
            return self.scalar(text, sink);
        }
        self.key.clear();
        self.key.extend_from_slice(text.bytes);
        self.state = State::Colon;
        if self.key.len() > self.limits.name_bytes { Err(Error::NameTooLong) } else { Ok(()) }
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// `-`, digits without a leading zero, a fraction, an exponent.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(after) = rest.strip_prefix(b".") {
        let fraction = digits(after);
        if fraction == 0 {
            return false;
        }
        rest = after.get(fraction..).unwrap_or_default();
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = match after {
            [b'+' | b'-', after @ ..] => after,
            after => after,
        };
        let exponent = digits(after);
        if exponent == 0 {
            return false;
        }
        rest = after.get(exponent..).unwrap_or_default();
    }
    rest.is_empty()
}

/// Resolves the escapes of a string into `out`. None: invalid. False: nothing to resolve, `out` is not written.
fn decode_string(raw: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    out.clear();
    let plain = plain_len(raw);
    // An escape is ASCII, so no character is begun in front of it and ends behind.
    if !utf8::is_in_form(raw.get(plain..)?, b' ') {
        return None;
    }
    let (mut plain_start, mut from) = (0, plain);
    while let Some(length) = before_backslash(raw.get(from..)?) {
        out.extend_from_slice(raw.get(plain_start..from + length)?);
        let rest = decode_escape(raw.get(from + length + 1..)?, out)?;
        from = raw.len() - rest.len();
        plain_start = from;
    }
    let is_changed = plain_start > 0;
    if is_changed {
        out.extend_from_slice(raw.get(plain_start..)?);
    }
    Some(is_changed)
}

/// How many bytes stand before the next backslash: often none, as where all characters are escaped.
fn before_backslash(text: &[u8]) -> Option<usize> {
    if text.first() == Some(&b'\\') { Some(0) } else { memchr::memchr(b'\\', text) }
}

/// Of eight bytes, the highest bit of each that is not ASCII, or below a space, or a backslash, or `other`. The lowest
/// bit that is set tells the truth; further ones may be there without reason.
fn special(chunk: [u8; 8], other: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(chunk);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let equals = |byte: u8| is_zero(word ^ (ONES * u64::from(byte)));
    (word | (word.wrapping_sub(ONES * 0x20) & !word) | equals(b'\\') | equals(other)) & (ONES * 0x80)
}

/// How many bytes at the beginning stand for themselves, or somewhat less: eight are looked at together.
fn plain_len(text: &[u8]) -> usize {
    text.as_chunks::<8>().0.iter().take_while(|chunk| special(**chunk, b'\\') == 0).count() * 8
}

/// The string at the beginning, when all of it stands for itself and enough comes behind to tell that cheaply.
fn plain_string(text: &[u8]) -> Option<&[u8]> {
    let (whole, special) = text
        .as_chunks::<8>()
        .0
        .iter()
        .map(|chunk| special(*chunk, b'"'))
        .enumerate()
        .find(|(_, special)| *special != 0)?;
    let end = whole * 8 + special.trailing_zeros() as usize / 8;
    text.get(..end).filter(|_| text.get(end) == Some(&b'"'))
}

/// After a backslash; what is left.
fn decode_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&kind, rest) = text.split_first()?;
    out.push(match kind {
        b'"' | b'\\' | b'/' => kind,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let (first, rest) = four_digits(rest)?;
            if first & 0xfc00 != 0xd800 {
                push_code_point(first, out);
                return Some(rest);
            }
            // yajl joins a high surrogate with whatever `\u` follows, and puts `?` for one that is alone.
            let Some(after) = rest.strip_prefix(b"\\u") else {
                out.push(b'?');
                return Some(rest);
            };
            let (second, rest) = four_digits(after)?;
            push_code_point(0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff), out);
            return Some(rest);
        }
        _ => return None,
    });
    Some(rest)
}

fn four_digits(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let value = digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))?;
    Some((value, rest))
}

/// UTF-8, also of lone low surrogates.
fn push_code_point(code: u32, out: &mut Vec<u8>) {
    let low = |value: u32| u8::try_from(value & 0xff).unwrap_or_default();
    let tail = |shift: u32| low(0x80 | (code >> shift & 0x3f));
    match code {
        0..0x80 => out.push(low(code)),
        0x80..0x800 => out.extend([low(0xc0 | code >> 6), tail(0)]),
        0x800..0x10000 => out.extend([low(0xe0 | code >> 12), tail(6), tail(0)]),
        _ => out.extend([low(0xf0 | code >> 18), tail(12), tail(6), tail(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    const LIMITS: Limits = Limits { depth: 500, arguments: 100_000, name_bytes: 16 * 1024 };

    fn read(input: &[u8], naming: Naming, limits: Limits, chunk: usize) -> (Vec<String>, Result<(), Error>) {
        let mut found = Vec::new();
        let mut sink = |name: Piece<'_>, value: Piece<'_>| {
            if let Some(offset) = value.offset {
                assert_eq!(&input[offset..offset + value.bytes.len()], value.bytes);
            }
            found.push(format!("{}={}", name.bytes.escape_ascii(), value.bytes.escape_ascii()));
        };
        let mut parser = Parser::new(naming, limits);
        let mut result = Ok(());
        for piece in input.chunks(chunk) {
            result = parser.feed(piece, &mut sink);
            if result.is_err() {
                break;
            }
        }
        let end = parser.finish(&mut sink);
        if result.is_err() {
            assert_eq!(result, end);
        }
        (found, end)
    }

    fn check(input: &str, naming: Naming, expected: &str) {
        for chunk in [1, 2, 3, 7, 1000] {
            let (found, result) = read(input.as_bytes(), naming, LIMITS, chunk);
            assert_eq!((found.join(" ").as_str(), result), (expected, Ok(())), "{input} in chunks of {chunk}");
        }
    }

    #[test]
    fn names_follow_the_dialect() {
        use Naming::{Coraza, LibModSecurity, ModSecurity2};
        let nested = r#"{"a":{"b":1,"c":[2,3]},"d":4}"#;
        check(nested, ModSecurity2, "a.b=1 a.c.c=2 a.c.c=3 d=4");
        check(nested, LibModSecurity, "json.a.b=1 json.a.c.array_0=2 json.a.c.array_1=3 json.d=4");
        check(nested, Coraza, "json.a.b=1 json.a.c.0=2 json.a.c.1=3 json.a.c=2 json.d=4");
        let objects = r#"[{"x":1},[2],{"x":3},4]"#;
        check(objects, ModSecurity2, "array.array.x=1 array.array.array=2 array.array.x=3 array.array=4");
        check(objects, LibModSecurity, "json.array_0.x=1 json.array_1.array_0=2 json.array_2.x=3 json.array_3=4");
        check(objects, Coraza, "json.0.x=1 json.1.0=2 json.1=1 json.2.x=3 json.3=4 json=4");
        check("\"x\"", ModSecurity2, "=x");
        check("\"x\"", LibModSecurity, "json=x");
        check(r#"{"":1,"a":{"":2}}"#, ModSecurity2, "=1 a.=2");
        check(r#"{"":1}"#, LibModSecurity, "json.empty-key=1");
        check(r#"{"a.b":{"c":1},"d":2}"#, ModSecurity2, "a.b.c=1 d=2");
    }

    #[test]
    fn values_are_bytes() {
        use Naming::ModSecurity2;
        check(r#"{"a":null,"b":true,"c":false,"d":-1.5e+3,"a":""}"#, ModSecurity2, "a= b=true c=false d=-1.5e+3 a=");
        check("\x0b\x0c\r\n\t [ ] ", ModSecurity2, "");
        check("{}", ModSecurity2, "");
        check("12", ModSecurity2, "=12");
        check(r#"{"a":"\"\\\/\b\f\n\r\t\u0041\u0000"}"#, ModSecurity2, r#"a=\"\\/\x08\x0c\n\r\tA\x00"#);
        check(r#"{"a":"x\u00e9\u20ac\ud83d\ude00y"}"#, ModSecurity2, r"a=x\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80y");
        check(r#"{"a":"\ud800z\udc00"}"#, ModSecurity2, r"a=?z\xed\xb0\x80");
        check("{\"\\u0061\":\"é\"}", ModSecurity2, r"a=\xc3\xa9");
    }

    /// Long strings with characters and escapes at all places, whole and broken, against what is made byte by byte.
    #[test]
    fn long_strings_are_decoded_as_short_ones_are() {
        const PARTS: [&[u8]; 14] = [
            b"\\n",
            b"\\\"",
            b"\\u00e9",
            b"\\ud83d\\ude00",
            b"\\ud800",
            b"\xc3\xa9",
            b"\xe4\xb8\xad",
            b"\xf0\x9f\x98\x80",
            b"\\\\",
            b"\xc0\x80",
            b"\x7f",
            b"\x1f",
            b"\\x",
            b"\xe4",
        ];
        let mut draw = draws();
        let mut valid = 0;
        for round in 0..4000_usize {
            let rarity = [1, 3, 20][draw(3)];
            let parts = PARTS.len() - if round % 4 == 0 { 0 } else { 3 };
            let mut value = Vec::new();
            while value.len() < round % 331 {
                value.extend_from_slice(if draw(rarity) == 0 { PARTS[draw(parts)] } else { b"a" });
            }
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            let answer = decode_string(&value, &mut out);
            let is_valid = decode_plainly(&value, &mut expected).is_some();
            assert_eq!(answer, is_valid.then_some(value.contains(&b'\\')), "{}", value.escape_ascii());
            if answer == Some(true) {
                assert_eq!(out, expected, "{}", value.escape_ascii());
            }
            valid += usize::from(is_valid);
        }
        assert!((2500..3700).contains(&valid), "{valid}");
    }

    fn decode_plainly(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            let length = match byte {
                b'\\' => {
                    rest = decode_escape(after, out)?;
                    continue;
                }
                0..0x20 => return None,
                0x20..0x80 => 1,
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf7 => 4,
                _ => return None,
            };
            let (character, behind) = rest.split_at_checked(length)?;
            if character.iter().skip(1).any(|byte| byte >> 6 != 0b10) {
                return None;
            }
            out.extend_from_slice(character);
            rest = behind;
        }
        Some(())
    }

    #[test]
    fn broken_documents_are_refused() {
        let cases: &[(&[u8], Error)] = &[
            (b" ", Error::PrematureEnd),
            (b"{", Error::PrematureEnd),
            (b"[1,", Error::PrematureEnd),
            (b"\"abc", Error::PrematureEnd),
            (b"\"abc\\\"", Error::PrematureEnd),
            (b"[1,]", Error::Unexpected { offset: 3 }),
            (b"{\"a\":1,}", Error::Unexpected { offset: 7 }),
            (b"{a:1}", Error::Unexpected { offset: 1 }),
            (b"{'a':1}", Error::Unexpected { offset: 1 }),
            (b"{\"a\" 1}", Error::Unexpected { offset: 5 }),
            (b"[1 2]", Error::Unexpected { offset: 3 }),
            (b"[1}", Error::Unexpected { offset: 2 }),
            (b"[tru]", Error::Unexpected { offset: 1 }),
            (b"[01]", Error::InvalidNumber { offset: 1 }),
            (b"[1.]", Error::InvalidNumber { offset: 1 }),
            (b"[-]", Error::InvalidNumber { offset: 1 }),
            (b"[1e]", Error::InvalidNumber { offset: 1 }),
            (b"[+1]", Error::Unexpected { offset: 1 }),
            (b"[\"\\x\"]", Error::InvalidString { offset: 2 }),
            (b"[\"\\u12g4\"]", Error::InvalidString { offset: 2 }),
            (b"[\"\x01\"]", Error::InvalidString { offset: 2 }),
            (b"[\"\xff\"]", Error::InvalidString { offset: 2 }),
            (b"[\"\xc3\"]", Error::InvalidString { offset: 2 }),
            (b"{} {}", Error::TrailingGarbage { offset: 3 }),
            (b"1 x", Error::TrailingGarbage { offset: 2 }),
            (b"/**/1", Error::Unexpected { offset: 0 }),
            (b"\xef\xbb\xbf{}", Error::Unexpected { offset: 0 }),
        ];
        for (input, error) in cases {
            for chunk in [1, 2, 1000] {
                let (_, result) = read(input, Naming::ModSecurity2, LIMITS, chunk);
                assert_eq!(result, Err(*error), "{} in chunks of {chunk}", input.escape_ascii());
            }
        }
        assert_eq!(read(b"", Naming::ModSecurity2, LIMITS, 1).1, Ok(()));
    }

    #[test]
    fn everything_is_bounded() {
        let bombs = [b"[".repeat(2_000_000), b"{\"a\":".repeat(400_000)];
        for bomb in &bombs {
            let (_, result) = read(bomb, Naming::ModSecurity2, LIMITS, 8192);
            assert_eq!(result, Err(Error::TooDeep));
        }
        let deep = |depth: usize| [b"{\"a\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat();
        let limits = Limits { depth: 3, ..LIMITS };
        assert_eq!(read(&deep(4), Naming::ModSecurity2, limits, 100).1, Ok(()));
        assert_eq!(read(&deep(5), Naming::ModSecurity2, limits, 100).1, Err(Error::TooDeep));
        assert_eq!(read(&deep(4), Naming::LibModSecurity, limits, 100).1, Err(Error::TooDeep));
        let many = format!("[{}1]", "1,".repeat(10_000));
        let limits = Limits { arguments: 1000, ..LIMITS };
        let (found, result) = read(many.as_bytes(), Naming::ModSecurity2, limits, 100);
        assert_eq!((found.len(), result), (1000, Err(Error::TooManyArguments)));
        let key = format!("{{\"{}\":{{\"{}\":1}}}}", "k".repeat(10_000), "k".repeat(10_000));
        assert_eq!(read(key.as_bytes(), Naming::ModSecurity2, LIMITS, 100).1, Err(Error::NameTooLong));
        let long = format!("[\"{}\"]", "\\u0041".repeat(300_000));
        let (found, result) = read(long.as_bytes(), Naming::ModSecurity2, LIMITS, 1);
        assert_eq!((found[0].len(), result), (300_000 + "array.array=".len(), Ok(())));
    }
}
