//! JSON lines written by hand into a reused buffer: bytes from outside are not UTF-8, and a serializer per request
//! costs more than the request's metrics.

use std::cell::Cell;
use std::fmt::Write as _;

use crate::octets;

/// Writes one object as one line.
#[derive(Debug)]
pub(crate) struct JsonLine<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> JsonLine<'a> {
    /// Opens an object at the end of `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Goes on with an object at the end of `out` that has members and is not closed.
    pub(crate) fn resumed(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_empty: false }
    }

    /// How far the buffer is written.
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    /// Members without the object around them, for [`JsonLine::fields`].
    pub(crate) fn members(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_empty: true }
    }

    /// Members written before; at least one.
    pub(crate) fn fields(&mut self, members: &[u8]) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.extend_from_slice(members);
    }

    /// `key` must need no escaping. Inlined, so that each key is stored as the constant that it is.
    #[inline(always)]
    fn key(&mut self, key: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string of any bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        push_string(self.out, value);
    }

    /// A string, left out when empty.
    pub(crate) fn bytes_if_any(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.bytes(key, value);
        }
    }

    /// A number.
    #[inline(always)]
    pub(crate) fn number(&mut self, key: &str, value: impl Into<u64>) {
        self.key(key);
        push_number(self.out, value.into());
    }

    /// How many.
    #[inline(always)]
    pub(crate) fn count(&mut self, key: &str, value: usize) {
        self.number(key, value as u64);
    }

    /// A number that may be below zero.
    pub(crate) fn signed(&mut self, key: &str, value: i64) {
        self.key(key);
        if value < 0 {
            self.out.push(b'-');
        }
        push_number(self.out, value.unsigned_abs());
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Seconds with six decimals.
    pub(crate) fn seconds(&mut self, key: &str, value: std::time::Duration) {
        self.key(key);
        // The usual one is written in one piece.
        let mut text = *b"0.000000";
        if value.as_secs() > 0 {
            push_number(self.out, value.as_secs());
        }
        write_digits(&mut text[2..], u64::from(value.subsec_micros()));
        self.out.extend_from_slice(if value.as_secs() > 0 { &text[1..] } else { &text });
    }

    /// An address, quoted.
    pub(crate) fn address(&mut self, key: &str, value: std::net::IpAddr) {
        let std::net::IpAddr::V4(address) = value else { return self.display(key, value) };
        self.key(key);
        self.out.push(b'"');
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                self.out.push(b'.');
            }
            push_number(self.out, octet.into());
        }
        self.out.push(b'"');
    }

    /// A quoted string made by `fmt`; it must need no escaping (addresses, time stamps).
    pub(crate) fn display(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.out.push(b'"');
        let written = write!(Appender(self.out), "{value}");
        debug_assert!(written.is_ok(), "writing to a vector cannot fail");
        self.out.push(b'"');
    }

    /// Time since the epoch as RFC 3339 with microseconds, UTC.
    pub(crate) fn time(&mut self, key: &str, since_epoch: std::time::Duration) {
        self.key(key);
        self.out.push(b'"');
        push_time(self.out, since_epoch);
        self.out.push(b'"');
    }

    /// A value that `write` appends.
    pub(crate) fn raw(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        write(self.out);
    }

    /// Closes the object and the line.
    pub(crate) fn finish(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Closes the object only.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

struct Appender<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Appender<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Which bytes go out as they are: printable ASCII but `"` and `\`.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

/// Does all of it go out as it is?
fn is_plain(value: &[u8]) -> bool {
    !octets::any(value, |byte| (byte.wrapping_sub(0x20) > 0x5e) | (byte == b'"') | (byte == b'\\'))
}

/// Appends a quoted JSON string. Valid UTF-8 stays; any other byte becomes `\u00XX`, so that a line is always valid
/// JSON and nothing that was sent is lost.
pub(super) fn push_string(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(value.len() + 2);
    out.push(b'"');
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        push_escaped(out, value);
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head);
        let Some(&byte) = tail.first() else { break };
        let width = if byte < 0x80 { 1 } else { utf8_width(tail) };
        if byte >= 0x80 && width > 0 {
            out.extend_from_slice(&tail[..width]);
            rest = &tail[width..];
            continue;
        }
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
        rest = &tail[1..];
    }
}

/// Bytes of the character that `tail` begins with; 0 when it is not one.
fn utf8_width(tail: &[u8]) -> usize {
    let width = match tail.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 0,
    };
    tail.get(..width).map_or(0, |bytes| if std::str::from_utf8(bytes).is_ok() { width } else { 0 })
}

/// Appends a number. One function for all of them: each line of code is run about once a request, and has to be fetched.
#[inline(never)]
fn push_number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The last digits of a number, as many as there is room for.
fn write_digits(room: &mut [u8], mut value: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `2026-11-24T06:40:00.000000Z`
pub(super) fn push_time(out: &mut Vec<u8>, since_epoch: std::time::Duration) {
    thread_local! {
        /// The second of the last one, and how it is written.
        static LAST: Cell<(u64, [u8; 27])> = const { Cell::new((0, *b"1970-01-01T00:00:00.000000Z")) };
    }
    let (mut seconds, mut text) = LAST.get();
    if seconds != since_epoch.as_secs() {
        seconds = since_epoch.as_secs();
        write_second(&mut text, seconds);
        LAST.set((seconds, text));
    }
    write_digits(&mut text[20..26], u64::from(since_epoch.subsec_micros()));
    out.extend_from_slice(&text);
}

fn write_second(text: &mut [u8; 27], seconds: u64) {
    let (year, month, day) = civil_date(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let parts = [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, second_of_day / 3600),
        (14..16, second_of_day / 60 % 60),
        (17..19, second_of_day % 60),
    ];
    for (place, value) in parts {
        write_digits(&mut text[place], value);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil_date(day: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, where a leap day is the last of its year.
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn string(value: &[u8]) -> String {
        let mut out = Vec::new();
        push_string(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_valid_json_whatever_the_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        for value in [&b"a\"b\\c\n\r\t\x00\x7f"[..], "häuß€𝄞".as_bytes(), &all, b"\xe2\x82", b"\xff\xc3\xa4\xc3"]
        {
            let parsed: String = serde_json::from_str(&string(value)).unwrap();
            if let Ok(text) = std::str::from_utf8(value) {
                assert_eq!(parsed, text);
            }
        }
        assert_eq!(string(b"\xff\xc3\xa4\xc3"), "\"\\u00ffä\\u00c3\"");
    }

    #[test]
    fn what_is_plain_is_said_alike_of_one_and_of_many() {
        for byte in 0..=255 {
            for value in [&[byte][..], &[b'a', b'a', byte], &[b'a', byte, b'a'].repeat(9)] {
                assert_eq!(is_plain(value), PLAIN[usize::from(byte)], "{byte}");
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000001Z"),
            (951_782_400, "2000-02-29T00:00:00.000001Z"),
            (1_795_500_000, "2026-11-24T06:00:00.000001Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000001Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000001Z"),
        ] {
            // The second time it is known.
            for micros in ["000001", "999999"] {
                let mut out = Vec::new();
                push_time(&mut out, Duration::new(seconds, micros.parse::<u32>().unwrap() * 1000));
                assert_eq!(String::from_utf8(out).unwrap(), expected.replace("000001", micros));
            }
        }
    }

    #[test]
    fn a_line_parses() {
        let mut out = Vec::new();
        let mut line = JsonLine::new(&mut out);
        line.bytes("a", b"x");
        line.bytes_if_any("none", b"");
        line.signed("b", -5);
        line.signed("least", i64::MIN);
        line.count("most", usize::MAX);
        line.boolean("c", true);
        line.seconds("d", Duration::from_micros(1_000_250));
        line.seconds("small", Duration::from_micros(250));
        line.seconds("large", Duration::from_secs(86_400));
        line.display("e", "127.0.0.1:80");
        line.address("f", "192.0.2.10".parse().unwrap());
        line.address("g", "2001:db8::1".parse().unwrap());
        line.finish();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "a": "x", "b": -5, "least": i64::MIN, "most": u64::MAX, "c": true, "d": 1.00025, "small": 0.00025, "large": 86400.0,
            "e": "127.0.0.1:80", "f": "192.0.2.10", "g": "2001:db8::1"
        });
        assert_eq!(value, expected);
    }
}
