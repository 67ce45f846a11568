//! What the tables of the language have in common: who knows a name, whether portcullis carries it out, and how a
//! misspelt name finds the one that was meant.
//!
//! Every table is a constant slice of rows with canonical spelling, aliases and one sentence for the reference page.
//! The parser looks names up here and nowhere else, so a name that is not in a table does not exist.

/// Which engines know a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// ModSecurity 2.9 and 3.0.
    Both,
    /// ModSecurity 2.9 only.
    V2,
    /// ModSecurity 3.0 only.
    V3,
}

impl Origin {
    /// For the reference page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Both => "2, 3",
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }
}

/// Does portcullis carry a thing out?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Yes.
    Full,
    /// It is accepted, does nothing, and a warning says why.
    Inert(&'static str),
    /// It is an error, and the message says why.
    Refused(&'static str),
}

/// A row of any table.
pub trait Named: 'static {
    /// Canonical spelling.
    fn name(&self) -> &'static str;
    /// Other spellings.
    fn aliases(&self) -> &'static [&'static str];
}

/// The row that a word names, whatever its case.
pub fn find<R: Named>(rows: &'static [R], word: &[u8]) -> Option<&'static R> {
    rows.iter().find(|row| {
        row.name().as_bytes().eq_ignore_ascii_case(word)
            || row.aliases().iter().any(|alias| alias.as_bytes().eq_ignore_ascii_case(word))
    })
}

/// The name that a misspelt word most likely meant: at most a third of its letters wrong, and no more than three.
pub fn closest<R: Named>(rows: &'static [R], word: &[u8]) -> Option<&'static str> {
    closest_of(rows.iter().flat_map(|row| std::iter::once(row.name()).chain(row.aliases().iter().copied())), word)
}

/// [`closest`] over plain names.
pub fn closest_of(names: impl Iterator<Item = &'static str>, word: &[u8]) -> Option<&'static str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let allowed = (word.len() / 3).clamp(1, 3);
    names
        .filter(|name| name.len().abs_diff(word.len()) <= allowed)
        .map(|name| (distance(name.as_bytes(), word), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean X?`
pub fn did_you_mean(name: Option<&'static str>) -> Option<String> {
    name.map(|name| format!("did you mean {name}?"))
}

/// Words longer than this are not misspelt names.
const LONGEST_WORD: usize = 48;

/// Edit distance without regard to case, swapped neighbours counted once (Damerau, restricted).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut left_a = None;
    for (i, byte_a) in a.iter().map(u8::to_ascii_lowercase).enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        let mut left_b = None;
        for (j, byte_b) in b.iter().map(u8::to_ascii_lowercase).enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let substitute = at(&last, j) + usize::from(byte_a != byte_b);
            let mut best = substitute.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if j > 0 && left_a == Some(byte_b) && left_b == Some(byte_a) {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
            left_b = Some(byte_b);
        }
        left_a = Some(byte_a);
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance(b"lowercase", b"LOWERCASE"), 0);
        assert_eq!(distance(b"lowercase", b"lowercsae"), 1);
        assert_eq!(distance(b"rx", b"rxx"), 1);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(closest_of(["streq", "strmatch"].into_iter(), b"streg"), Some("streq"));
        assert_eq!(closest_of(["streq", "strmatch"].into_iter(), b"foobar"), None);
    }
}
