//! The notation of phrases in `@pm`, `@pmFromFile` and `@strmatch`, taken from Snort: `|41 42|` is bytes in
//! hexadecimal, `\:` `\;` `\\` `\"` are the characters.
//!
//! Follows ModSecurity 2 (`parse_pm_content`) byte for byte, because rule sets contain phrases that this notation
//! mangles (`array|string`), and matching more than the reference does would be as wrong as matching less.

/// An escape that the notation does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownEscape(pub(super) u8);

/// The bytes that `text` stands for. White space at the beginning and quotes around the whole go. A `NUL` ends the
/// result.
pub(super) fn parse(text: &[u8]) -> Result<Vec<u8>, UnknownEscape> {
    let text = text.trim_ascii_start();
    let text = match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    };
    let mut out = Vec::with_capacity(text.len());
    let mut is_binary = false;
    let mut is_escaped = false;
    let mut is_converted = false;
    let mut high = None;
    for &byte in text {
        if byte == b'|' {
            is_binary = !is_binary;
        } else if byte == b'\\' && !is_escaped {
            is_escaped = true;
        } else if is_binary {
            if let Some(digit) = (byte as char).to_digit(16) {
                let digit = digit as u8;
                match high.take() {
                    None => high = Some(digit),
                    Some(first) => {
                        out.push((first << 4) | digit);
                        is_converted = true;
                    }
                }
            }
        } else if is_escaped {
            if !matches!(byte, b':' | b';' | b'\\' | b'"') {
                return Err(UnknownEscape(byte));
            }
            out.push(byte);
            is_escaped = false;
            is_converted = true;
        } else {
            out.push(byte);
        }
    }
    // ModSecurity rewrites the text in place and shortens it only if something was converted: a lone `|` leaves the
    // tail of the original behind.
    if !is_converted {
        out.extend_from_slice(text.get(out.len()..).unwrap_or_default());
    }
    out.truncate(memchr::memchr(0, &out).unwrap_or(out.len()));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        for (text, bytes) in [
            (&b"abc"[..], &b"abc"[..]),
            (b"  \"a b\"", b"a b"),
            (b"|41 42|c", b"ABc"),
            (b"a\\|41|", b"aA"),
            (b"a\\:b\\\\", b"a:b\\"),
            (b"a|00|b", b"a"),
            // Quirks: half a number is nothing, a lone bar leaves the original length.
            (b"array|Traversable,", b"array\xAE\xAB"),
            (b"a|x", b"a|x"),
            (b"x|y|z", b"xzy|z"),
        ] {
            assert_eq!(parse(text).map(|bytes| bytes.escape_ascii().to_string()), Ok(bytes.escape_ascii().to_string()));
        }
        assert_eq!(parse(b"a\\nb"), Err(UnknownEscape(b'n')));
    }
}
