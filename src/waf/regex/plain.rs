//! Patterns that need no automaton: all of a value, or a value that begins with a text. Rule sets use them to name
//! variables (`TX:/^header_name_/`) and to capture what they look at (`^.*$`).

use super::RegexOptions;

/// What such a pattern says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plain {
    /// Everything matches, whole.
    Everything,
    /// A value that begins so matches, and that beginning is the match.
    Begins { text: Box<[u8]>, ignores_case: bool },
}

impl Plain {
    /// Of a pattern that is one, as far as it is worth knowing.
    pub(super) fn of(pattern: &[u8], options: &RegexOptions) -> Option<Self> {
        if options.is_multi_line || options.is_reference || options.match_limit.is_some() {
            return None;
        }
        if options.is_dot_all && options.is_dollar_end_only && matches!(pattern, b"^.*$" | b"^.*" | b".*" | b".*$") {
            return Some(Self::Everything);
        }
        let text = pattern.strip_prefix(b"^")?;
        let is_text = !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
        is_text.then(|| Self::Begins { text: text.into(), ignores_case: options.is_case_insensitive })
    }

    /// Where the match ends; it begins at 0.
    pub(super) fn end(&self, haystack: &[u8]) -> Option<usize> {
        match self {
            Self::Everything => Some(haystack.len()),
            Self::Begins { text, ignores_case } => {
                let beginning = haystack.get(..text.len())?;
                let fits = if *ignores_case { beginning.eq_ignore_ascii_case(text) } else { *beginning == **text };
                fits.then_some(text.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Captures, Regex, RegexCache, RegexOptions};
    use super::Plain;

    #[test]
    fn they_say_what_the_automata_say() {
        let base = RegexOptions { is_dot_all: true, is_dollar_end_only: true, ..RegexOptions::default() };
        let values: [&[u8]; 8] = [b"", b"a", b"ab-c", b"AB-C", b"ab-cd\n", b"\n", b"xab-c", b"line\nline\n"];
        for pattern in ["^.*$", "^.*", ".*", ".*$", "^ab-c", "^a"] {
            for is_case_insensitive in [false, true] {
                let options = RegexOptions { is_case_insensitive, ..base };
                assert!(Plain::of(pattern.as_bytes(), &options).is_some(), "{pattern}");
                let plain = Regex::compile(pattern.as_bytes(), options).unwrap();
                let reference = RegexOptions { is_reference: true, ..options };
                let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
                let (mut cache, mut own, mut theirs) =
                    (RegexCache::default(), Captures::default(), Captures::default());
                for value in values {
                    let expected = reference.captures(&mut cache, value, &mut theirs);
                    assert_eq!(plain.captures(&mut cache, value, &mut own), expected, "{pattern} {value:?}");
                    assert_eq!(plain.is_match(&mut cache, value), expected);
                    assert_eq!(own.span(0), theirs.span(0), "{pattern} {value:?}");
                }
            }
        }
        for (pattern, options) in
            [("^.*$", RegexOptions { is_dot_all: false, ..base }), ("^a.c", base), ("ab", base), ("^", base)]
        {
            assert_eq!(Plain::of(pattern.as_bytes(), &options), None, "{pattern}");
        }
    }
}
