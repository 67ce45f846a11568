//! The encodings of XML documents: UTF-8 is passed on, UTF-16 and the single-byte ones in use are converted.

use std::borrow::Cow;

use super::{Error, ErrorKind};

/// What windows-1252 has where ISO 8859-1 has control characters; 0 where it has nothing.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

/// The document as UTF-8, without a byte order mark. Whether it is valid is the scanner's concern.
pub(super) fn to_utf8(input: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    match input {
        [0xef, 0xbb, 0xbf, rest @ ..] => return Ok(Cow::Borrowed(rest)),
        [0xff, 0xfe, rest @ ..] => return from_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => return from_utf16(rest, u16::from_be_bytes),
        [b'<', 0, b'?' | b'!', 0, ..] => return from_utf16(input, u16::from_le_bytes),
        [0, b'<', 0, b'?' | b'!', ..] => return from_utf16(input, u16::from_be_bytes),
        _ => {}
    }
    let Some(name) = declared(input) else { return Ok(Cow::Borrowed(input)) };
    let one_byte = |convert: fn(u8) -> Option<char>| {
        let mut text = String::with_capacity(input.len() * 2);
        for (offset, byte) in input.iter().enumerate() {
            text.push(convert(*byte).ok_or(Error { offset, kind: ErrorKind::InvalidCharacter })?);
        }
        Ok(Cow::Owned(text.into_bytes()))
    };
    match name.to_ascii_lowercase().as_slice() {
        b"utf-8" | b"utf8" => Ok(Cow::Borrowed(input)),
        b"us-ascii" | b"ascii" => one_byte(|byte| byte.is_ascii().then_some(char::from(byte))),
        b"iso-8859-1" | b"iso8859-1" | b"iso_8859-1" | b"latin1" | b"latin-1" => {
            one_byte(|byte| Some(char::from(byte)))
        }
        b"windows-1252" | b"cp1252" => one_byte(|byte| match byte {
            0x80..0xa0 => {
                let code = WINDOWS_1252.get(usize::from(byte - 0x80)).copied().filter(|code| *code != 0)?;
                char::from_u32(u32::from(code))
            }
            byte => Some(char::from(byte)),
        }),
        _ => Err(Error { offset: 0, kind: ErrorKind::UnsupportedEncoding }),
    }
}

/// The encoding that the XML declaration names.
fn declared(input: &[u8]) -> Option<&[u8]> {
    let rest = input.strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(rest, b"?>")?;
    let declaration = rest.get(..end)?;
    let at = memchr::memmem::find(declaration, b"encoding")?;
    let value = declaration.get(at + 8..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, value) = value.split_first()?;
    let length = memchr::memchr(*quote, value)?;
    value.get(..length)
}

fn from_utf16(input: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, Error> {
    let (pairs, rest) = input.as_chunks::<2>();
    let mut text = String::with_capacity(input.len());
    for (index, decoded) in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).enumerate() {
        match decoded {
            Ok(character) => text.push(character),
            Err(_) => return Err(Error { offset: index * 2, kind: ErrorKind::InvalidCharacter }),
        }
    }
    if rest.is_empty() {
        Ok(Cow::Owned(text.into_bytes()))
    } else {
        Err(Error { offset: input.len(), kind: ErrorKind::InvalidCharacter })
    }
}
