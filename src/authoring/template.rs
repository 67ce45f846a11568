//! The templates that case files may use in request bodies: the part of Go's text templates that they need.
//!
//! `{{ "1" | repeat 64200 }}` is a literal and a chain of functions. A body with two opening braces that is no such
//! template (an attack with `{{7*7}}`) is an empty body for the reference runner; here it is an error, because a case
//! that does not send what it says proves nothing.

/// Why a template was not expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No closing braces.
    #[error("a template is not closed")]
    Unclosed,
    /// Not a literal in the first place.
    #[error("a template begins with something else than a text literal: {0}")]
    NoLiteral(String),
    /// A function that is not known here.
    #[error("unknown template function {0}")]
    UnknownFunction(String),
    /// `repeat` without a number, or with one that is too large.
    #[error("the template function {0} lacks a usable argument")]
    Argument(String),
}

/// Longest text that a template may make.
const LONGEST_BYTES: usize = 64 * 1024 * 1024;

/// Replaces every template of a text.
pub fn expand(text: &str) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("{{") {
        let (code, after) = split_code(tail).ok_or(TemplateError::Unclosed)?;
        // Go's trim markers: a dash and white space inside of the braces.
        let (trims_before, code) = code.strip_prefix("- ").map_or((false, code), |code| (true, code));
        let (trims_after, code) = code.strip_suffix(" -").map_or((false, code), |code| (true, code));
        out.push_str(if trims_before { before.trim_end() } else { before });
        if !code.trim_start().starts_with("/*") {
            out.push_str(&evaluate(code)?);
        }
        rest = if trims_after { after.trim_start() } else { after };
    }
    out.push_str(rest);
    Ok(out)
}

/// The code up to the closing braces, which may stand in a literal.
fn split_code(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (None, '"' | '`') => quote = Some(char),
            (None, '}') if text.get(at..)?.starts_with("}}") => return Some((text.get(..at)?, text.get(at + 2..)?)),
            (Some('"'), '\\') => {
                chars.next();
            }
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

fn evaluate(code: &str) -> Result<String, TemplateError> {
    let (mut value, mut rest) = literal(code.trim()).ok_or_else(|| TemplateError::NoLiteral(code.trim().into()))?;
    while let Some(call) = rest.trim_start().strip_prefix('|') {
        let end = call.find('|').unwrap_or(call.len());
        let (call, after) = call.split_at(end);
        value = apply(call.trim(), value)?;
        rest = after;
    }
    if rest.trim().is_empty() { Ok(value) } else { Err(TemplateError::UnknownFunction(rest.trim().into())) }
}

fn apply(call: &str, value: String) -> Result<String, TemplateError> {
    let (name, argument) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
    match (name, argument.trim()) {
        ("repeat", count) => {
            let count = count.parse::<usize>().ok();
            let count = count.filter(|count| count.checked_mul(value.len()).is_some_and(|size| size <= LONGEST_BYTES));
            count.map(|count| value.repeat(count)).ok_or_else(|| TemplateError::Argument(name.into()))
        }
        ("upper", "") => Ok(value.to_uppercase()),
        ("lower", "") => Ok(value.to_lowercase()),
        ("trim", "") => Ok(value.trim().to_owned()),
        ("b64enc", "") => {
            use base64::Engine as _;
            Ok(base64::engine::general_purpose::STANDARD.encode(value))
        }
        _ => Err(TemplateError::UnknownFunction(name.into())),
    }
}

/// A Go text literal at the beginning, and what follows it.
fn literal(code: &str) -> Option<(String, &str)> {
    if let Some(raw) = code.strip_prefix('`') {
        let (text, rest) = raw.split_once('`')?;
        return Some((text.to_owned(), rest));
    }
    let body = code.strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((text, body.get(at + 1..)?)),
            '\\' => text.push(match chars.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' => {
                    let digits: String = [chars.next()?.1, chars.next()?.1].iter().collect();
                    char::from(u8::from_str_radix(&digits, 16).ok()?)
                }
                other @ ('"' | '\\') => other,
                _ => return None,
            }),
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansions() {
        assert_eq!(expand(r#"a{{ "1" | repeat 3 }}b"#).unwrap(), "a111b");
        assert_eq!(expand(r#"x {{- `}}"` -}} y"#).unwrap(), r#"x}}"y"#);
        assert_eq!(expand(r#"x {{- "z" -}} y"#).unwrap(), "xzy");
        assert_eq!(expand(r#"x {{- "z" }} y"#).unwrap(), "xz y");
        assert_eq!(expand("plain } text {").unwrap(), "plain } text {");
        assert_eq!(expand("{{7*7}}"), Err(TemplateError::NoLiteral("7*7".into())));
        assert_eq!(expand("{{ \"a\""), Err(TemplateError::Unclosed));
        assert_eq!(expand("{{ \"a\" | nope }}"), Err(TemplateError::UnknownFunction("nope".into())));
        assert!(expand("{{ \"aaaaaaaa\" | repeat 99999999999 }}").is_err());
    }
}
