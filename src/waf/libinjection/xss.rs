//! Script injection: which tags, attributes and addresses a browser would run.
//!
//! Called by the operator `@detectXSS`. A value is read as it would stand in five places: between tags, in a tag, and
//! in an attribute's value behind each of the three quotes.

use super::html5::{Context, Kind, Token, Tokenizer};
use memchr::{memchr, memchr2_iter};

#[path = "events.rs"]
mod events;

/// What an attribute's value may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    /// Nothing.
    Harmless,
    /// Run, or change the meaning of the page, whatever the value is.
    Banned,
    /// Hold an address.
    Address,
    /// Name another attribute.
    Indirect,
}

/// Says whether `input` is a script injection.
#[must_use]
pub fn detect_xss(input: &[u8]) -> bool {
    may_be_xss(input) && detect_fully(input)
}

/// [`detect_xss`] as of libinjection 3.9, which ModSecurity 2.9.7 carries: every attribute whose name has five letters
/// or more and begins with `on` is an event.
#[must_use]
pub fn detect_xss_any_event(input: &[u8]) -> bool {
    may_be_xss(input) && detect(input, Events::Any)
}

/// Which attributes run scripts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Events {
    Known,
    Any,
}

/// [`detect_xss`] without the short cut, so that tests can compare the two.
#[doc(hidden)]
#[must_use]
pub fn detect_fully(input: &[u8]) -> bool {
    detect(input, Events::Known)
}

fn detect(input: &[u8], events: Events) -> bool {
    [Context::Data, Context::Tag, Context::Quoted(b'\''), Context::Quoted(b'"'), Context::Quoted(b'`')]
        .into_iter()
        .any(|context| runs_script(input, context, events))
}

/// A cheap necessary condition of [`detect_xss`]: `false` means that it certainly says no.
///
/// Why it holds. Every "yes" comes from a token that either needs a `<` or is an attribute's value. Behind `<` a tag, a
/// comment or a doctype begins only with a letter, NUL, `!`, `/`, `?` or `%`. A value counts only right behind the name
/// of its attribute, of which at least two bytes stand in front of the `=`, and which ends (leaving out NUL bytes and
/// the white space in front of the `=`) with the last letter of a known name, or begins with `on`, `xmlns` or `xlink`.
#[must_use]
pub fn may_be_xss(input: &[u8]) -> bool {
    memchr2_iter(b'<', b'=', input).any(|at| {
        if input.get(at) == Some(&b'<') {
            return matches!(input.get(at + 1), Some(0 | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'/' | b'?' | b'%'));
        }
        at >= 2
    })
}

fn runs_script(input: &[u8], context: Context, events: Events) -> bool {
    let mut attribute = Attribute::Harmless;
    for token in Tokenizer::new(input, context) {
        match token.kind {
            Kind::Doctype => return true,
            Kind::TagNameOpen if is_banned_tag(token.text) => return true,
            Kind::TagComment if is_banned_comment(token.text) => return true,
            Kind::AttributeValue => {
                let runs = match attribute {
                    Attribute::Harmless => false,
                    Attribute::Banned => true,
                    Attribute::Address => is_banned_address(token.text),
                    Attribute::Indirect => classify_attribute(&token, events) != Attribute::Harmless,
                };
                if runs {
                    return true;
                }
            }
            _ => {}
        }
        attribute =
            if token.kind == Kind::AttributeName { classify_attribute(&token, events) } else { Attribute::Harmless };
    }
    false
}

fn is_banned_tag(name: &[u8]) -> bool {
    let Some(start) = name.get(..3) else { return false };
    // Anything of SVG, and of XSL.
    if start.eq_ignore_ascii_case(b"SVG") || start.eq_ignore_ascii_case(b"XSL") {
        return true;
    }
    let mut buffer = [0; LONGEST_NAME];
    without_nul(name, &mut buffer).is_some_and(|name| TAGS.contains(&name))
}

fn classify_attribute(token: &Token<'_>, events: Events) -> Attribute {
    let name = token.text;
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    if name.len() >= 5 {
        // The original compares as many bytes as the event's name has, even where the attribute's name is shorter.
        if let Some((start, event)) = token.onwards.split_at_checked(2)
            && start.eq_ignore_ascii_case(b"ON")
            && (events == Events::Any || events::is_start_of(event))
        {
            return Attribute::Banned;
        }
        if name
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"XMLNS") || start.eq_ignore_ascii_case(b"XLINK"))
        {
            return Attribute::Banned;
        }
    }
    let mut buffer = [0; LONGEST_NAME];
    match without_nul(name, &mut buffer) {
        Some(b"DATAFORMATAS" | b"DATASRC" | b"FILTER" | b"STYLE") => Attribute::Banned,
        Some(b"ATTRIBUTENAME") => Attribute::Indirect,
        Some(
            b"ACTION" | b"BY" | b"BACKGROUND" | b"DYNSRC" | b"FORMACTION" | b"FOLDER" | b"FROM" | b"HANDLER" | b"HREF"
            | b"LOWSRC" | b"POSTER" | b"SRC" | b"TO" | b"VALUES" | b"XLINK:HREF",
        ) => Attribute::Address,
        _ => Attribute::Harmless,
    }
}

fn is_banned_comment(text: &[u8]) -> bool {
    // A backtick ends a tag for Internet Explorer; it also has conditional comments and `<?import`.
    let begins_with = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    memchr(b'`', text).is_some()
        || (text.len() > 3 && (begins_with(b"[IF") || begins_with(b"XML")))
        || begins_with(b"IMPORT")
        || begins_with(b"ENTITY")
}

fn is_banned_address(value: &[u8]) -> bool {
    // Bytes above 0x7E too: some browsers skip Unicode's white space.
    let skipped = value.iter().take_while(|&&byte| byte <= 32 || byte >= 127).count();
    let address = value.get(skipped..).unwrap_or_default();
    SCHEMES.iter().any(|scheme| begins_with_scheme(address, scheme))
}

/// Whether `text`, its character references decoded, begins with `scheme`, white space and NUL apart.
fn begins_with_scheme(text: &[u8], scheme: &[u8]) -> bool {
    let mut rest = text;
    let mut expected = scheme.iter();
    let mut is_first = true;
    let Some(mut wanted) = expected.next() else { return true };
    while !rest.is_empty() {
        let (character, length) = decode_character(rest);
        rest = rest.get(length..).unwrap_or_default();
        if is_first && character <= 32 {
            continue;
        }
        is_first = false;
        if character == 0 || character == 10 {
            continue;
        }
        let upper = match character {
            0x61..=0x7A => character - 0x20,
            other => other,
        };
        // Compared as the original does it, with only the lowest byte: `&#324;` is a D.
        if upper & 0xFF != u32::from(*wanted) {
            return false;
        }
        match expected.next() {
            Some(next) => wanted = next,
            None => return true,
        }
    }
    false
}

/// The first character of `text` and how many bytes it takes: a byte, or a numeric character reference.
fn decode_character(text: &[u8]) -> (u32, usize) {
    const LARGEST: u32 = 0x10_00FF;
    let first = u32::from(text.first().copied().unwrap_or(0));
    let (base, digits_at) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (16, 3),
        [b'&', b'#', ..] => (10, 2),
        _ => return (first, 1),
    };
    let digits = text.get(digits_at..).unwrap_or_default();
    let mut value = 0_u32;
    let mut count = 0;
    for &byte in digits {
        if byte == b';' && count > 0 {
            return (value, digits_at + count + 1);
        }
        let Some(digit) = char::from(byte).to_digit(base) else { break };
        value = value * base + digit;
        if value > LARGEST {
            return (first, 1);
        }
        count += 1;
    }
    if count == 0 { (first, 1) } else { (value, digits_at + count) }
}

/// `name` in capitals and without NUL bytes, unless it is longer than any known name.
fn without_nul<'b>(name: &[u8], buffer: &'b mut [u8; LONGEST_NAME]) -> Option<&'b [u8]> {
    let mut length = 0;
    for byte in name.iter().filter(|byte| **byte != 0) {
        *buffer.get_mut(length)? = byte.to_ascii_uppercase();
        length += 1;
    }
    buffer.get(..length)
}

/// The length of `ATTRIBUTENAME`.
const LONGEST_NAME: usize = 13;

const TAGS: [&[u8]; 20] = [
    b"APPLET",
    b"BASE",
    b"COMMENT",
    b"EMBED",
    b"FRAME",
    b"FRAMESET",
    b"HANDLER",
    b"IFRAME",
    b"IMPORT",
    b"ISINDEX",
    b"LINK",
    b"LISTENER",
    b"META",
    b"NOSCRIPT",
    b"OBJECT",
    b"SCRIPT",
    b"STYLE",
    b"VMLFRAME",
    b"XML",
    b"XSS",
];

/// `JAVA` stands for `javascript:` too.
const SCHEMES: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_scripts_in_every_context() {
        for attack in [
            &b"<script>alert(1)</script>"[..],
            b"<img src=x onerror=alert(1)>",
            b"' onmouseover='alert(1)",
            b"\" onfocus = alert(1) x=\"",
            b"x onclick=alert(1)",
            b"<a href=\" javascript:alert(1)\">",
            b"<a href=\"&#x6a;&#97vascript:alert(1)\">",
            b"<svg/onload=alert(1)>",
            b"<!DOCTYPE html>",
            b"<?import x>",
            b"<s\0cript>",
            b"<!--[if IE]>",
            b"</><script x",
        ] {
            assert!(detect_xss(attack), "{}", String::from_utf8_lossy(attack));
        }
        for harmless in [
            &b""[..],
            b"a < b and c > d",
            b"x = y",
            b"<b>bold</b>",
            b"https://example.com/?action=list&href=1",
            b"<3",
            b"one=1&two=2",
            b"<a href=\"https://example.com\">",
        ] {
            assert!(!detect_xss(harmless), "{}", String::from_utf8_lossy(harmless));
        }
    }

    #[test]
    fn decodes_references_as_the_original_does() {
        assert_eq!(decode_character(b"&#x41;b"), (0x41, 6));
        assert_eq!(decode_character(b"&#65b"), (65, 4));
        assert_eq!(decode_character(b"&#x;"), (u32::from(b'&'), 1));
        assert_eq!(decode_character(b"&amp;"), (u32::from(b'&'), 1));
        assert_eq!(decode_character(b"&#99999999;"), (u32::from(b'&'), 1));
        assert_eq!(decode_character(b"a"), (97, 1));
    }
}
