//! Bodies that carry chosen values.

use crate::authoring::bench::scenario::with_body;

/// What values are filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'f> {
    /// Bytes of one value before it is encoded.
    pub(super) value_bytes: usize,
    /// Once, before the parts.
    pub(super) prefix: &'f [u8],
    /// In turn.
    pub(super) parts: &'f [Vec<u8>],
    /// How they differ from each other.
    pub(super) variation: Variation,
}

/// What makes one repetition of a text another than the one before: the engine looks at equal short values once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variation {
    /// Nothing.
    None,
    /// A count before it.
    Before,
    /// A count behind it.
    Behind,
    /// A count in its middle.
    Within,
}

impl Variation {
    /// All.
    pub const ALL: [Self; 4] = [Self::None, Self::Before, Self::Behind, Self::Within];

    /// For tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Before => ", a count before each",
            Self::Behind => ", a count behind each",
            Self::Within => ", a count within each",
        }
    }

    /// Writes `part` with `count` to `out`.
    fn of(self, part: &[u8], count: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(part);
        let place = match self {
            Self::None => return,
            Self::Before => 0,
            Self::Behind => part.len(),
            Self::Within => part.len() / 2,
        };
        let mut rest = count;
        loop {
            let digit = DIGITS.get(rest % DIGITS.len()).copied().unwrap_or_default();
            out.insert(place, digit);
            rest /= DIGITS.len();
            if rest == 0 {
                break;
            }
        }
    }
}

/// Of counts: base 36 is short.
const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What carries the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Values of form fields.
    FormValues,
    /// Names of form fields.
    FormNames,
    /// Strings of a JSON list.
    JsonValues,
    /// Names in a JSON object.
    JsonNames,
    /// Text of XML elements.
    XmlText,
    /// Fields of a multipart form.
    Multipart,
    /// No structure at all.
    Text,
}

impl Shape {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::FormValues,
        Self::FormNames,
        Self::JsonValues,
        Self::JsonNames,
        Self::XmlText,
        Self::Multipart,
        Self::Text,
    ];

    /// What every fragment is tried in, with the length of a value.
    pub(super) const SCREENED: &'static [(Self, usize, Variation)] = &[
        (Self::FormValues, 1 << 20, Variation::None),
        (Self::FormValues, 24, Variation::Behind),
        (Self::FormValues, 24, Variation::Before),
        (Self::FormNames, 64, Variation::Behind),
        (Self::JsonValues, 200, Variation::Within),
        (Self::XmlText, 1 << 20, Variation::None),
        (Self::Text, 1 << 20, Variation::None),
    ];

    /// For tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FormValues => "form values",
            Self::FormNames => "form names",
            Self::JsonValues => "JSON values",
            Self::JsonNames => "JSON names",
            Self::XmlText => "XML text",
            Self::Multipart => "multipart fields",
            Self::Text => "plain text",
        }
    }

    /// A request whose body of at most `bytes` is full of values of `value_bytes`, each filled with the parts in turn.
    /// They vary by a count that begins at `first`.
    pub(super) fn request(self, bytes: usize, filling: &Filling<'_>, first: usize) -> Vec<u8> {
        let Filling { value_bytes, prefix, parts, variation } = *filling;
        let mut body = Vec::with_capacity(bytes + 64);
        let mut turn = (first..).zip(parts.iter().cycle());
        let mut varied = Vec::new();
        body.extend_from_slice(self.begin());
        let room = bytes.saturating_sub(self.end().len());
        let mut number = 0;
        loop {
            let mark = body.len();
            self.open(number, &mut body);
            let open = body.len();
            self.encode(prefix, &mut body);
            let mut length = prefix.len();
            while length < value_bytes {
                let Some((count, part)) = turn.next() else { break };
                let before = body.len();
                variation.of(part, count, &mut varied);
                self.encode(&varied, &mut body);
                if body.len() + self.close().len() > room {
                    body.truncate(before);
                    break;
                }
                length += varied.len().max(1);
            }
            body.extend_from_slice(self.close());
            if body.len() > room || body.len() == open + self.close().len() {
                // No more room for a whole value, or for anything in it.
                body.truncate(mark);
                break;
            }
            number += 1;
            if length < value_bytes {
                break;
            }
        }
        body.extend_from_slice(self.end());
        let head = format!(
            "POST /search HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nContent-Type: {}\r\n",
            self.content_type()
        );
        with_body(&head, &body)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::FormValues | Self::FormNames => "application/x-www-form-urlencoded",
            Self::JsonValues | Self::JsonNames => "application/json",
            Self::XmlText => "text/xml",
            Self::Multipart => "multipart/form-data; boundary=bound",
            Self::Text => "text/plain",
        }
    }

    const fn begin(self) -> &'static [u8] {
        match self {
            Self::JsonValues => b"[",
            Self::JsonNames => b"{",
            Self::XmlText => b"<?xml version=\"1.0\"?><r>",
            Self::FormValues | Self::FormNames | Self::Multipart | Self::Text => b"",
        }
    }

    const fn end(self) -> &'static [u8] {
        match self {
            Self::JsonValues => b"]",
            Self::JsonNames => b"}",
            Self::XmlText => b"</r>",
            Self::Multipart => b"--bound--\r\n",
            Self::FormValues | Self::FormNames | Self::Text => b"",
        }
    }

    fn open(self, number: usize, body: &mut Vec<u8>) {
        let separator: &[u8] = match self {
            Self::FormValues | Self::FormNames => b"&",
            Self::JsonValues | Self::JsonNames => b",",
            Self::XmlText | Self::Multipart | Self::Text => b"",
        };
        if number > 0 {
            body.extend_from_slice(separator);
        }
        match self {
            Self::FormValues => body.extend_from_slice(format!("a{number}=").as_bytes()),
            Self::JsonValues | Self::JsonNames => body.push(b'"'),
            Self::XmlText => body.extend_from_slice(b"<v>"),
            Self::Multipart => body.extend_from_slice(
                format!("--bound\r\nContent-Disposition: form-data; name=\"a{number}\"\r\n\r\n").as_bytes(),
            ),
            Self::FormNames | Self::Text => {}
        }
    }

    const fn close(self) -> &'static [u8] {
        match self {
            Self::JsonValues => b"\"",
            Self::JsonNames => b"\":0",
            Self::XmlText => b"</v>",
            Self::FormNames => b"=1",
            Self::Multipart => b"\r\n",
            Self::FormValues | Self::Text => b"",
        }
    }

    /// The text so that the rules see it as it is.
    fn encode(self, text: &[u8], body: &mut Vec<u8>) {
        for byte in text {
            match self {
                Self::FormValues | Self::FormNames => match byte {
                    b'%' | b'&' | b'=' | b'+' | b'#' | 0..=0x20 | 0x7f.. => {
                        body.extend_from_slice(format!("%{byte:02x}").as_bytes());
                    }
                    _ => body.push(*byte),
                },
                Self::JsonValues | Self::JsonNames => match byte {
                    b'"' | b'\\' => body.extend_from_slice(&[b'\\', *byte]),
                    0..=0x1f | 0x7f.. => body.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                    _ => body.push(*byte),
                },
                Self::XmlText => match byte {
                    b'<' | b'&' | b'>' => body.extend_from_slice(format!("&#{byte};").as_bytes()),
                    // What XML cannot carry.
                    0..=8 | 11 | 12 | 14..=0x1f => body.push(b' '),
                    0x80.. => body.extend_from_slice(format!("&#{byte};").as_bytes()),
                    _ => body.push(*byte),
                },
                Self::Multipart | Self::Text => body.push(*byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authoring::exchange::read;

    #[test]
    fn bodies_are_full_and_not_too_long() {
        let parts = [b"abc".to_vec(), b"<\"x".to_vec(), b"%\0".to_vec()];
        for shape in Shape::ALL {
            for (value_bytes, variation) in
                [(8, Variation::Within), (200, Variation::Before), (1 << 20, Variation::None)]
            {
                let filling = Filling { value_bytes, prefix: b"p", parts: &parts, variation };
                let (_, body) = read(&shape.request(8192, &filling, 100)).unwrap();
                let name = shape.as_str();
                assert!(body.len() <= 8192, "{name} {value_bytes}: {}", body.len());
                assert!(body.len() > 7800, "{name} {value_bytes}: {}", body.len());
            }
        }
        let filling = Filling { value_bytes: 8, prefix: b"", parts: &parts, variation: Variation::None };
        let json = Shape::JsonValues.request(200, &filling, 0);
        let body = read(&json).unwrap().1;
        serde_json::from_slice::<Vec<String>>(&body).unwrap();
    }

    #[test]
    fn repetitions_differ() {
        let parts = [b"abcd".to_vec()];
        let values = |variation, first| {
            let filling = Filling { value_bytes: 4, prefix: b"", parts: &parts, variation };
            let json = Shape::JsonValues.request(24, &filling, first);
            serde_json::from_slice::<Vec<String>>(&read(&json).unwrap().1).unwrap()
        };
        assert_eq!(values(Variation::None, 7), ["abcd", "abcd", "abcd"]);
        assert_eq!(values(Variation::Before, 35), ["zabcd", "10abcd"]);
        assert_eq!(values(Variation::Behind, 0), ["abcd0", "abcd1"]);
        assert_eq!(values(Variation::Within, 36), ["ab10cd", "ab11cd"]);
    }
}
