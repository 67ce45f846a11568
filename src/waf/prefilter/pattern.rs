//! What every match of a pattern contains, derived from its syntax tree.
//!
//! Three kinds of facts: texts of which one must occur (ASCII letters folded to lower case), sets of bytes of which
//! each must have a member in the value, and the shortest match. All of them are necessary only: where a construct is
//! too complex to follow, the fact is left out.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::waf::regex::ByteSet;

/// Most texts that are kept of one pattern.
const MOST_LITERALS: usize = 1500;

/// Most texts that a sequence is multiplied out to.
const MOST_PRODUCTS: usize = 256;

/// A set of more characters is not multiplied out.
const MOST_CHARACTERS: usize = 8;

/// Longer texts are not put together: what they begin with tells enough.
const LONGEST: usize = 12;

/// Sets of bytes that are kept of one pattern.
pub(super) const MOST_SETS: usize = 4;

/// What a value must have for an operator to match it.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// One of these occurs, folded to lower case.
    pub(super) literals: Option<Vec<Vec<u8>>>,
    /// Each has a member among the bytes of the value.
    pub(super) sets: Vec<ByteSet>,
}

/// The facts of a pattern.
pub(super) fn facts(hir: &Hir) -> Facts {
    let found = analyse(hir);
    let literals = best(found.literals, found.exact.filter(|texts| is_useful(texts)));
    Facts { literals, sets: found.sets }
}

/// What is known of a part of a pattern.
#[derive(Debug, Clone, Default)]
struct Found {
    /// All texts that it matches.
    exact: Option<Vec<Vec<u8>>>,
    /// One of these is in every match.
    literals: Option<Vec<Vec<u8>>>,
    sets: Vec<ByteSet>,
}

impl Found {
    fn exactly(texts: Vec<Vec<u8>>) -> Self {
        Self { exact: Some(texts), ..Self::default() }
    }

    /// What every match contains, be it known exactly or not.
    fn required(&self) -> Option<Vec<Vec<u8>>> {
        best(self.literals.clone(), self.exact.clone().filter(|texts| is_useful(texts)))
    }
}

fn analyse(hir: &Hir) -> Found {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Found::exactly(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            let mut sets: Vec<ByteSet> = literal.0.iter().map(|byte| ByteSet::of(*byte)).collect();
            keep_best(&mut sets);
            let folded = literal.0.to_ascii_lowercase();
            Found { exact: Some(vec![folded]), literals: None, sets }
        }
        HirKind::Class(class) => analyse_class(class),
        HirKind::Capture(capture) => analyse(&capture.sub),
        HirKind::Concat(parts) => analyse_sequence(parts),
        HirKind::Alternation(branches) => analyse_choice(branches),
        HirKind::Repetition(repetition) => {
            let inner = analyse(&repetition.sub);
            match (repetition.min, repetition.max) {
                (0, Some(1)) => match inner.exact {
                    Some(mut texts) => {
                        texts.push(Vec::new());
                        Found::exactly(texts)
                    }
                    None => Found::default(),
                },
                (0, _) => Found::default(),
                (1, Some(1)) => inner,
                _ => Found { exact: None, literals: inner.required(), sets: inner.sets },
            }
        }
    }
}

fn analyse_class(class: &Class) -> Found {
    let Class::Bytes(class) = class else { return Found::default() };
    let mut set = ByteSet::EMPTY;
    for range in class.ranges() {
        set.insert_range(range.start(), range.end());
    }
    let mut folded: Vec<u8> = set.iter().map(|byte| byte.to_ascii_lowercase()).collect();
    folded.sort_unstable();
    folded.dedup();
    let exact = (folded.len() <= MOST_CHARACTERS).then(|| folded.into_iter().map(|byte| vec![byte]).collect());
    Found { exact, literals: None, sets: vec![set] }
}

fn analyse_sequence(parts: &[Hir]) -> Found {
    let mut current = vec![Vec::new()];
    let mut is_exact = true;
    let mut literals = None;
    let mut sets = Vec::new();
    for part in parts {
        let found = analyse(part);
        sets.extend_from_slice(&found.sets);
        match found.exact {
            Some(texts) => match product(&current, &texts) {
                Some(both) => current = both,
                None => {
                    is_exact = false;
                    offer(&mut literals, std::mem::replace(&mut current, texts));
                }
            },
            None => {
                is_exact = false;
                offer(&mut literals, std::mem::replace(&mut current, vec![Vec::new()]));
                if let Some(inner) = found.literals {
                    offer(&mut literals, inner);
                }
            }
        }
    }
    keep_best(&mut sets);
    if is_exact {
        return Found { exact: Some(current), literals, sets };
    }
    offer(&mut literals, current);
    Found { exact: None, literals, sets }
}

fn analyse_choice(branches: &[Hir]) -> Found {
    let found: Vec<Found> = branches.iter().map(analyse).collect();
    // The n-th sets of all branches together are one set of the whole.
    let count = found.iter().map(|branch| branch.sets.len()).min().unwrap_or(0);
    let mut sets = Vec::new();
    for number in 0..count {
        let members = found.iter().filter_map(|branch| branch.sets.get(number));
        sets.push(members.fold(ByteSet::EMPTY, |all, set| all.union(*set)));
    }
    keep_best(&mut sets);
    let all: Option<Vec<&Vec<Vec<u8>>>> = found.iter().map(|branch| branch.exact.as_ref()).collect();
    if let Some(all) = all
        && all.iter().map(|texts| texts.len()).sum::<usize>() <= MOST_LITERALS
    {
        return Found { exact: Some(distinct(all.into_iter().flatten().cloned().collect())), literals: None, sets };
    }
    let required: Option<Vec<Vec<Vec<u8>>>> = found.iter().map(Found::required).collect();
    let literals = required.map(|texts| distinct(texts.into_iter().flatten().collect()));
    let literals = literals.filter(|texts| texts.len() <= MOST_LITERALS);
    Found { exact: None, literals, sets }
}

fn distinct(mut texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Every text of one followed by every text of the other.
fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let is_trivial = left.len() == 1 && left.iter().all(Vec::is_empty);
    if !is_trivial && (left.len() * right.len() > MOST_PRODUCTS || left.iter().any(|text| text.len() > LONGEST)) {
        return None;
    }
    let texts = left.iter().flat_map(|left| right.iter().map(move |right| [left.as_slice(), right].concat()));
    Some(distinct(texts.collect()))
}

fn is_useful(texts: &[Vec<u8>]) -> bool {
    !texts.is_empty() && texts.len() <= MOST_LITERALS && texts.iter().all(|text| !text.is_empty())
}

fn offer(literals: &mut Option<Vec<Vec<u8>>>, texts: Vec<Vec<u8>>) {
    *literals = best(literals.take(), Some(texts).filter(|texts| is_useful(texts)));
}

/// The one that is found less often.
fn best(one: Option<Vec<Vec<u8>>>, other: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if frequency(&other) < frequency(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// How often one of the texts may be found, per byte of ordinary traffic.
pub(super) fn frequency(texts: &[Vec<u8>]) -> f64 {
    texts.iter().map(|text| text.iter().take(5).map(|byte| commonness(*byte)).product::<f64>()).sum()
}

/// How often a member of the set may be found.
pub(super) fn density(set: &ByteSet) -> f64 {
    set.iter().map(commonness).sum()
}

fn keep_best(sets: &mut Vec<ByteSet>) {
    // Each is rated once: rating at every comparison was half of what compiling a rule set cost.
    let mut rated: Vec<(f64, ByteSet)> = sets.drain(..).map(|set| (density(&set), set)).collect();
    rated.retain(|(density, _)| *density < 0.9);
    rated.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    rated.dedup_by(|(_, one), (_, other)| one == other);
    rated.truncate(MOST_SETS);
    sets.extend(rated.into_iter().map(|(_, set)| set));
}

/// A guess at the share of a byte in ordinary values.
pub(super) fn commonness(byte: u8) -> f64 {
    match byte {
        b'a' | b'e' | b'i' | b'o' | b'n' | b'r' | b's' | b't' => 0.055,
        b'a'..=b'z' => 0.02,
        b'0'..=b'9' => 0.02,
        b'A'..=b'Z' => 0.006,
        b' ' | b'-' | b'.' | b'/' | b'_' | b'=' | b',' | b';' | b':' => 0.012,
        b'&' | b'?' | b'%' | b'+' | b'(' | b')' | b'"' | b'*' => 0.006,
        0x80..=0xff => 0.0008,
        0..=0x1f | 0x7f => 0.0003,
        _ => 0.0015,
    }
}
