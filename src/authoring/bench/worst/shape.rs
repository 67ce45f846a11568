//! Bodies that carry chosen values.

use crate::authoring::bench::scenario::with_body;

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
    pub(super) const SCREENED: &'static [(Self, usize)] = &[
        (Self::FormValues, 1 << 20),
        (Self::FormValues, 24),
        (Self::FormNames, 64),
        (Self::JsonValues, 200),
        (Self::XmlText, 1 << 20),
        (Self::Text, 1 << 20),
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
    pub(super) fn request(self, bytes: usize, value_bytes: usize, prefix: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::with_capacity(bytes + 64);
        let mut turn = parts.iter().cycle();
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
                let Some(part) = turn.next() else { break };
                let before = body.len();
                self.encode(part, &mut body);
                if body.len() + self.close().len() > room {
                    body.truncate(before);
                    break;
                }
                length += part.len().max(1);
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
            for value_bytes in [8, 200, 1 << 20] {
                let (_, body) = read(&shape.request(8192, value_bytes, b"p", &parts)).unwrap();
                let name = shape.as_str();
                assert!(body.len() <= 8192, "{name} {value_bytes}: {}", body.len());
                assert!(body.len() > 7800, "{name} {value_bytes}: {}", body.len());
            }
        }
        let json = Shape::JsonValues.request(200, 8, b"", &parts);
        let body = read(&json).unwrap().1;
        serde_json::from_slice::<Vec<String>>(&body).unwrap();
    }
}
