//! `application/x-www-form-urlencoded`, and query strings: `name=value` pairs, read as ModSecurity 2 reads them.
//!
//! - Pairs are split at the separator (`&`, or SecArgumentSeparator), name and value at the first `=`.
//! - `+` is a space and `%XX` a byte; an invalid escape stays as it stands and is counted (URLENCODED_ERROR).
//! - A pair without `=` is an argument with an empty value. An empty pair between separators is an argument with an
//!   empty name; nothing after the last separator is not an argument.
//!
//! A name or value without escapes is given as the slice of the body that it is.

use super::{ArgumentSink, Piece};

/// Bounds of one form.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arguments given to the sink; further ones are only counted (SecArgumentsLimit).
    pub arguments: usize,
}

/// What there is to say about a form once it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Arguments given to the sink.
    pub arguments: usize,
    /// Arguments left out because of the limit.
    pub skipped: usize,
    /// Escapes that are none: `%` without two hexadecimal digits. URLENCODED_ERROR is 1 when this is not 0.
    pub invalid_escapes: usize,
}

/// Reads a whole form or query string.
pub fn parse(input: &[u8], separator: u8, limits: Limits, sink: &mut impl ArgumentSink) -> Outcome {
    let mut parser = Parser::new(separator, limits);
    // The last pair is at hand and need not be kept.
    let (pairs, last) = input.split_at(memchr::memrchr(separator, input).map_or(0, |at| at + 1));
    parser.feed(pairs, sink);
    if !last.is_empty() {
        parser.pair(last, sink);
    }
    parser.finish(sink)
}

/// Reads a form that arrives in chunks. Memory: the unfinished pair.
#[derive(Debug)]
pub struct Parser {
    separator: u8,
    limits: Limits,
    outcome: Outcome,
    /// Bytes before `pending` in the body.
    consumed: usize,
    /// The unfinished pair, from earlier chunks.
    pending: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Parser {
    /// For one form.
    #[must_use]
    pub fn new(separator: u8, limits: Limits) -> Self {
        Self {
            separator,
            limits,
            outcome: Outcome::default(),
            consumed: 0,
            pending: Vec::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// The next bytes.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl ArgumentSink) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(self.separator, rest) {
            let (pair, after) = rest.split_at(end);
            if self.pending.is_empty() {
                self.pair(pair, sink);
            } else {
                let mut whole = std::mem::take(&mut self.pending);
                whole.extend_from_slice(pair);
                self.pair(&whole, sink);
                whole.clear();
                self.pending = whole;
            }
            self.consumed += 1;
            rest = after.get(1..).unwrap_or_default();
        }
        self.pending.extend_from_slice(rest);
    }

    /// The end of the form.
    pub fn finish(mut self, sink: &mut impl ArgumentSink) -> Outcome {
        if !self.pending.is_empty() {
            let last = std::mem::take(&mut self.pending);
            self.pair(&last, sink);
        }
        self.outcome
    }

    fn pair(&mut self, pair: &[u8], sink: &mut impl ArgumentSink) {
        let start = self.consumed;
        self.consumed += pair.len();
        let equals = memchr::memchr(b'=', pair);
        let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
        let value = value.get(1..).unwrap_or_default();
        let name = decode(name, start, &mut self.name, &mut self.outcome.invalid_escapes);
        let value_start = start + equals.map_or(pair.len(), |at| at + 1);
        let value = decode(value, value_start, &mut self.value, &mut self.outcome.invalid_escapes);
        if self.outcome.arguments < self.limits.arguments {
            self.outcome.arguments += 1;
            sink.argument(name, value);
        } else {
            self.outcome.skipped += 1;
        }
    }
}

/// Resolves `+` and `%XX`, in place when there is nothing to resolve.
fn decode<'a>(input: &'a [u8], offset: usize, buffer: &'a mut Vec<u8>, invalid: &mut usize) -> Piece<'a> {
    let Some(first) = memchr::memchr2(b'+', b'%', input) else {
        return Piece::at(input, offset);
    };
    buffer.clear();
    buffer.reserve(input.len());
    let (plain, mut rest) = input.split_at(first);
    buffer.extend_from_slice(plain);
    let mut is_changed = false;
    loop {
        match rest {
            [] => break,
            [b'+', after @ ..] => {
                buffer.push(b' ');
                is_changed = true;
                rest = after;
            }
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                buffer.push(hex_value(*high) << 4 | hex_value(*low));
                is_changed = true;
                rest = after;
            }
            [b'%', after @ ..] => {
                *invalid += 1;
                buffer.push(b'%');
                rest = after;
            }
            _ => {
                let end = memchr::memchr2(b'+', b'%', rest).unwrap_or(rest.len());
                let (plain, after) = rest.split_at(end);
                buffer.extend_from_slice(plain);
                rest = after;
            }
        }
    }
    if is_changed { Piece::made(buffer) } else { Piece::at(input, offset) }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], chunk: usize) -> (Vec<(String, String)>, Outcome) {
        let mut found = Vec::new();
        let mut sink = |name: Piece<'_>, value: Piece<'_>| {
            for piece in [name, value] {
                if let Some(offset) = piece.offset {
                    assert_eq!(&input[offset..offset + piece.bytes.len()], piece.bytes);
                }
            }
            found.push((name.bytes.escape_ascii().to_string(), value.bytes.escape_ascii().to_string()));
        };
        let mut parser = Parser::new(b'&', Limits { arguments: 1000 });
        for piece in input.chunks(chunk.max(1)) {
            parser.feed(piece, &mut sink);
        }
        let outcome = parser.finish(&mut sink);
        (found, outcome)
    }

    #[test]
    fn pairs_are_read_as_modsecurity_2_reads_them() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], usize);
        let cases: &[Case] = &[
            ("", &[], 0),
            ("a=1&b=2", &[("a", "1"), ("b", "2")], 0),
            ("a", &[("a", "")], 0),
            ("a&b=", &[("a", ""), ("b", "")], 0),
            ("a=1&", &[("a", "1")], 0),
            ("&a", &[("", ""), ("a", "")], 0),
            ("a&&b", &[("a", ""), ("", ""), ("b", "")], 0),
            ("=x", &[("", "x")], 0),
            ("a=b=c", &[("a", "b=c")], 0),
            ("a+b=c+d", &[("a b", "c d")], 0),
            ("a%3db=%26", &[("a=b", "&")], 0),
            ("a=%zz&b=%4&c=%", &[("a", "%zz"), ("b", "%4"), ("c", "%")], 3),
            ("a=%%41", &[("a", "%A")], 1),
            ("a=%00", &[("a", "\\x00")], 0),
        ];
        for (input, expected, invalid) in cases {
            for chunk in [1, 2, 3, 100] {
                let (found, outcome) = read(input.as_bytes(), chunk);
                let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                assert_eq!(&found, expected, "{input} in chunks of {chunk}");
                assert_eq!(outcome.invalid_escapes, *invalid, "{input}");
            }
        }
    }

    #[test]
    fn arguments_beyond_the_limit_are_counted() {
        let body = "a=1&".repeat(10_000);
        let (found, outcome) = read(body.as_bytes(), 4096);
        assert_eq!((found.len(), outcome.arguments, outcome.skipped), (1000, 1000, 9000));
    }
}
