//! YAML nodes to typed values, with every problem on the way reported at its place.
//!
//! A small decoder in place of serde: serde stops at the first problem and has lost the position by then. A struct
//! names its keys once, with `decode_struct!`; a field is an [`Option`] or [`Required`].

use std::collections::BTreeSet;
use std::ops::Deref;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostics::{Diagnostic, Diagnostics, Location, Source};
use crate::yaml::Node;

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub location: Location,
    /// How long it is there.
    pub length: usize,
}

impl<T> Spanned<T> {
    /// An error about it.
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.location.clone(), message).spanning(self.length)
    }

    /// A warning about it.
    pub(super) fn warning(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.location.clone(), message).spanning(self.length)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A key that must be there. Empty only when a problem was reported.
#[derive(Debug, Clone)]
pub struct Required<T>(pub Option<T>);

/// Collects problems; knows which text it is in.
#[derive(Debug)]
pub(super) struct Decoder<'d> {
    pub(super) source: &'d Source,
    pub(super) problems: &'d mut Diagnostics,
}

/// Made from a node; `None` when a problem was reported.
pub(super) trait Decode: Sized {
    /// Reads it.
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self>;
}

/// A field of a mapping.
pub(super) trait Field: Sized {
    /// Reads it; `parent` is the mapping, for what is missing.
    fn field(parent: &Node, key: &'static str, decoder: &mut Decoder<'_>) -> Self;
}

impl<T: Decode> Field for Option<T> {
    fn field(parent: &Node, key: &'static str, decoder: &mut Decoder<'_>) -> Self {
        let node = parent.get(key)?;
        if node.is_null() { None } else { T::decode(node, decoder) }
    }
}

impl<T: Decode> Field for Required<T> {
    fn field(parent: &Node, key: &'static str, decoder: &mut Decoder<'_>) -> Self {
        match parent.get(key) {
            Some(node) if !node.is_null() => Self(T::decode(node, decoder)),
            _ => {
                let problem = parent.error(decoder.source, format!("the key `{key}` is missing here"));
                decoder.problems.push(problem);
                Self(None)
            }
        }
    }
}

impl Decoder<'_> {
    /// Reports a problem with a node.
    pub(super) fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(node.error(self.source, message));
    }

    /// Reports a problem with a node, with advice.
    pub(super) fn error_advise(&mut self, node: &Node, message: impl Into<String>, advice: impl Into<String>) {
        self.problems.push(node.error(self.source, message).advise(advice));
    }

    /// Is it a mapping with these keys only? Others are reported, with the nearest known one.
    pub(super) fn check_keys(&mut self, node: &Node, keys: &[&'static str]) -> bool {
        let Some(entries) = node.entries() else {
            self.error_advise(
                node,
                format!("this should be a mapping, it is {}", node.kind()),
                format!("its keys are {}", list(keys)),
            );
            return false;
        };
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if !keys.contains(&name) {
                let advice = match nearest(name, keys) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("keys here are {}", list(keys)),
                };
                self.error_advise(key, format!("unknown key `{name}`"), advice);
            }
        }
        true
    }

    /// The text of a scalar.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.as_str();
        if text.is_none() {
            self.error(node, format!("this should be {what}, it is {}", node.kind()));
        }
        text
    }
}

/// `a`, `b` and `c`
fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The name that differs least, when it differs little.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = 1 + name.len() / 4;
    let normal = |text: &str| text.replace(['-', ' '], "_").to_ascii_lowercase();
    let wanted = normal(name);
    let scored = known.iter().map(|known| (distance(&wanted, &normal(known)), *known));
    scored.filter(|(score, _)| *score <= allowed).min_by_key(|(score, _)| *score).map(|(_, known)| known)
}

/// Insertions, deletions, replacements and swaps of neighbours between two short names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

/// Implements [`Decode`] for a struct from the names of its fields.
#[macro_export]
#[doc(hidden)]
macro_rules! decode_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::config::decode::Decode for $name {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                if !decoder.check_keys(node, &[$(stringify!($field)),*]) {
                    return None;
                }
                Some(Self { $($field: $crate::config::decode::Field::field(node, stringify!($field), decoder)),* })
            }
        }
    };
}

/// Implements [`Decode`] for an enum of words: `decode_words!(Kind { One = "one", Two = "two" })`.
#[macro_export]
#[doc(hidden)]
macro_rules! decode_words {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $crate::config::decode::Decode for $name {
            fn decode(
                node: &$crate::yaml::Node,
                decoder: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),*];
                match decoder.text(node, "one of several words")? {
                    $($word => Some(Self::$variant),)*
                    other => {
                        let advice = match $crate::config::decode::nearest(other, WORDS) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("one of: {}", WORDS.join(", ")),
                        };
                        decoder.error_advise(node, format!("`{other}` is not known here"), advice);
                        None
                    }
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),*] })
            }
        }
    };
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = T::decode(node, decoder)?;
        Some(Self { value, location: node.location(decoder.source), length: node.length })
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let Some(items) = node.items() else {
            let advice = "write it as a list: each entry on a line that begins with `- `, or `[one, two]`";
            decoder.error_advise(node, format!("this should be a list, it is {}", node.kind()), advice);
            return None;
        };
        // One bad entry does not hide the problems of the others.
        Some(items.iter().filter_map(|item| T::decode(item, decoder)).collect())
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, decoder).map(Self::new)
    }
}

impl Decode for String {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.text(node, "text").map(str::to_owned)
    }
}

impl Decode for bool {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let value = node.as_bool();
        if value.is_none() {
            let found = node.as_str().map_or_else(|| node.kind().to_owned(), |text| format!("`{text}`"));
            decoder.error(node, format!("this should be `true` or `false`, it is {found}"));
        }
        value
    }
}

macro_rules! decode_number {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
                let value = node.as_i64().and_then(|number| Self::try_from(number).ok());
                if value.is_none() {
                    let found = node.as_str().map_or_else(|| node.kind().to_owned(), |text| format!("`{text}`"));
                    let range = if size_of::<Self>() > 2 { String::new() } else { format!(" up to {}", Self::MAX) };
                    decoder.error(node, format!("this should be a whole number{range}, it is {found}"));
                }
                value
            }
        }
    )*};
}
decode_number!(u8, u16, u32, u64, usize);

/// A duration: `30s`, `500ms`, `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawDuration(pub Duration);

impl Decode for RawDuration {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let text = decoder.text(node, "a duration such as `30s`")?;
        let parsed = parse_duration(text);
        if parsed.is_none() {
            let advice = "write a number with its unit, `ms`, `s`, `m`, `h` or `d`: `30s`, `500ms`, `1m30s`";
            decoder.error_advise(node, format!("`{text}` is not a duration"), advice);
        }
        parsed.map(Self)
    }
}

/// A size: `128KiB`, `1MB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBytes(pub u64);

impl Decode for RawBytes {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let text = decoder.text(node, "a size such as `128KiB`")?;
        let parsed = parse_bytes(text);
        if parsed.is_none() {
            let advice = "write a number of bytes, or one with a unit: `4096`, `128KiB`, `1MiB`, `10MB`";
            decoder.error_advise(node, format!("`{text}` is not a size"), advice);
        }
        parsed.map(Self)
    }
}

/// Longest duration: ten years is a mistake, and far from overflowing anything.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// Parts with units, the larger first, each unit once. A bare `0` is zero.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if seen.iter().any(|known| *known <= milliseconds) {
            return None;
        }
        seen.insert(milliseconds);
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = tail;
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

/// A number with an optional unit; decimal units are powers of 1000, binary ones of 1024.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// As it is written in documentation and messages; [`parse_duration`] reads it back.
pub fn format_duration(duration: Duration) -> String {
    let mut milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if milliseconds >= size {
            out.push_str(&format!("{}{unit}", milliseconds / size));
            milliseconds %= size;
        }
    }
    out
}

/// As it is written in documentation and messages; [`parse_bytes`] reads it back.
pub fn format_bytes(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

macro_rules! schema_of_inner {
    ($wrapper:ident) => {
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}
schema_of_inner!(Spanned);
schema_of_inner!(Required);

impl JsonSchema for RawDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "duration",
            "pattern": r"^((\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?|0|\$\{.*)$",
            "examples": ["30s", "500ms", "1m30s"]
        })
    }
}

impl JsonSchema for RawBytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "title": "size",
            "pattern": r"^(\d+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB|TiB)?|\$\{.*)$",
            "examples": ["128KiB", "1MiB", 4096]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("s", None),
            ("30 s", None),
            ("30s1m", None),
            ("1s1s", None),
            ("1y", None),
            ("-1s", None),
            ("18446744073709551615d", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
        }
        for milliseconds in [0, 1, 999, 1_000, 90_000, 3_600_000, 90_061_001] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("128KiB", Some(131_072)),
            ("10MB", Some(10_000_000)),
            ("1 MiB", Some(1_048_576)),
            ("1kib", None),
            ("KiB", None),
            ("-1", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
        for bytes in [0, 1, 1023, 1024, 1_048_576, 1_048_577, u64::MAX] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
    }

    #[test]
    fn the_nearest_name_is_found_when_it_is_near() {
        let known = ["listeners", "policies", "unhealthy_threshold", "tls"];
        assert_eq!(nearest("listner", &known), Some("listeners"));
        assert_eq!(nearest("unhealthy-threshold", &known), Some("unhealthy_threshold"));
        assert_eq!(nearest("TLS", &known), Some("tls"));
        assert_eq!(nearest("banana", &known), None);
    }
}
