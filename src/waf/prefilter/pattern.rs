//! What every match of a pattern contains, derived from its syntax tree.
//!
//! Three kinds of facts: texts of which one must occur (ASCII letters folded to lower case), sets of bytes of which
//! each must have a member in the value, and the shortest match. All of them are necessary only: where a construct is
//! too complex to follow, the fact is left out.

use std::collections::HashSet;

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::waf::regex::ByteSet;

/// Most texts that are kept of one pattern.
const MOST_LITERALS: usize = 1500;

/// Most texts that a sequence is multiplied out to.
const MOST_PRODUCTS: usize = 256;

/// A set of more characters is not multiplied out.
const MOST_CHARACTERS: usize = 12;

/// A set of more characters only behind texts shorter than [`TELLING`].
const FEW_CHARACTERS: usize = 8;

/// Texts of so many bytes tell enough without what stands behind them.
const TELLING: usize = 3;

/// Too many texts become shorter ones.
const SHORTENED: usize = 4;

/// Longer texts are not put together: what they begin with tells enough.
const LONGEST: usize = 12;

/// Rounds of a repetition that are put together.
const MOST_ROUNDS: u32 = 4;

/// What is optional is left out of texts when it cannot be without a byte of a set that is met less often than this.
const RARE: f64 = 0.019;

/// Texts that are found less often than this are good enough.
const SELDOM: f64 = 0.001;

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
    let found = analyse(hir, Reading::Whole);
    let whole = found.required();
    let is_seldom = whole.is_some_and(|texts| texts.frequency() < SELDOM);
    let bare = if is_seldom { None } else { Some(analyse(hir, Reading::Bare)) };
    let texts = best(whole.into_iter().chain(bare.as_ref().and_then(Found::required)));
    Facts { literals: texts.map(Texts::to_list), sets: found.sets }
}

/// How optional parts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As they are.
    Whole,
    /// Those that have rare bytes are taken to be absent, and the bytes stand for the values in which they are not. So
    /// `w["'\\]*h["'\\]*o` is `who` or a quotation mark or a backslash: patterns that allow for evasion between any two
    /// letters have no longer texts otherwise.
    Bare,
}

/// Texts of which one stands where they are said to stand, unless there is one of the marks.
#[derive(Debug, Clone)]
struct Texts {
    list: Vec<Vec<u8>>,
    marks: ByteSet,
}

impl Texts {
    fn of(list: Vec<Vec<u8>>) -> Self {
        Self { list, marks: ByteSet::EMPTY }
    }

    /// The empty text, which stands everywhere.
    fn nothing() -> Self {
        Self::of(vec![Vec::new()])
    }

    fn is_nothing(&self) -> bool {
        matches!(self.list.as_slice(), [text] if text.is_empty())
    }

    /// Could it be that none of them is there?
    fn is_useful(&self) -> bool {
        is_useful(&self.list)
    }

    fn frequency(&self) -> f64 {
        frequency(&self.list) + density(&self.marks)
    }

    /// Every text of one followed by every text of the other, unless that is too many to be worth it.
    fn followed_by(&self, next: &Self) -> Option<Self> {
        let marks = self.marks.union(next.marks);
        if self.is_nothing() {
            return Some(Self { list: next.list.clone(), marks });
        }
        if next.is_nothing() {
            return Some(Self { list: self.list.clone(), marks });
        }
        if self.list.len() * next.list.len() > MOST_PRODUCTS
            || self.list.iter().any(|text| text.len() > LONGEST)
            || (next.list.len() > FEW_CHARACTERS && self.list.iter().any(|text| text.len() >= TELLING))
        {
            return None;
        }
        let list = self.list.iter().flat_map(|own| next.list.iter().map(move |next| [own.as_slice(), next].concat()));
        Some(Self { list: distinct(list.collect()), marks })
    }

    /// Where that is too many: short texts followed by every text of the other, and long ones as they are.
    fn before(&self, next: &Self) -> Self {
        let mut list = Vec::new();
        for own in &self.list {
            if own.len() < TELLING && !own.is_empty() && next.list.len() <= MOST_CHARACTERS {
                list.extend(next.list.iter().map(|next| [own.as_slice(), next].concat()));
            } else {
                list.push(own.clone());
            }
        }
        Self { list: distinct(list), marks: self.marks.union(next.marks) }
    }

    /// One of these or one of those.
    fn or(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        Self { list: self.list, marks: self.marks.union(other.marks) }
    }

    /// Of several branches.
    fn any<'t>(branches: impl Iterator<Item = &'t Self>) -> Self {
        let mut all = Self::of(Vec::new());
        for branch in branches {
            all.list.extend(branch.list.iter().cloned());
            all.marks = all.marks.union(branch.marks);
        }
        all.list = distinct(all.list);
        all
    }

    /// When there are too many, parts of them that are fewer; or nothing.
    fn bounded(mut self, part: fn(&[u8]) -> &[u8]) -> Self {
        if self.list.len() > MOST_LITERALS {
            self.list.iter_mut().for_each(|text| *text = part(text).to_vec());
            self.list = distinct(self.list);
        }
        if self.list.len() > MOST_LITERALS { Self::nothing() } else { self }
    }

    /// The texts and the marks, but for texts that have another one in them: they are found with it.
    fn to_list(&self) -> Vec<Vec<u8>> {
        let marks = self.marks.iter().map(|byte| vec![byte.to_ascii_lowercase()]);
        let all: HashSet<Vec<u8>> = self.list.iter().cloned().chain(marks).collect();
        let has_other = |text: &[u8]| {
            let mut parts = (1..text.len()).flat_map(|length| text.windows(length));
            parts.any(|part| all.contains(part))
        };
        let mut list: Vec<Vec<u8>> = all.iter().filter(|text| !has_other(text)).cloned().collect();
        list.sort_unstable();
        list
    }
}

/// Of texts that are worth anything those that are found least often.
fn best<'t>(offers: impl Iterator<Item = &'t Texts>) -> Option<&'t Texts> {
    let rated = offers.filter(|texts| texts.is_useful()).map(|texts| (texts.frequency(), texts));
    rated.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, texts)| texts)
}

/// What is known of a part of a pattern.
#[derive(Debug, Clone)]
struct Found {
    /// Are the texts that it begins with all that it matches?
    is_exact: bool,
    /// Every match begins with one of these.
    first: Texts,
    /// Every match ends with one of these; unless it is exact.
    last: Texts,
    /// One of these is in every match.
    within: Option<Texts>,
    sets: Vec<ByteSet>,
}

impl Found {
    fn exactly(texts: Texts, sets: Vec<ByteSet>) -> Self {
        Self { is_exact: true, first: texts, last: Texts::nothing(), within: None, sets }
    }

    fn nothing() -> Self {
        Self { is_exact: false, first: Texts::nothing(), last: Texts::nothing(), within: None, sets: Vec::new() }
    }

    fn last(&self) -> &Texts {
        if self.is_exact { &self.first } else { &self.last }
    }

    /// What every match contains.
    fn required(&self) -> Option<&Texts> {
        best([&self.first, self.last()].into_iter().chain(&self.within))
    }
}

fn analyse(hir: &Hir, reading: Reading) -> Found {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Found::exactly(Texts::nothing(), Vec::new()),
        HirKind::Literal(literal) => {
            let mut sets: Vec<ByteSet> = literal.0.iter().map(|byte| ByteSet::of(*byte)).collect();
            keep_best(&mut sets);
            Found::exactly(Texts::of(vec![literal.0.to_ascii_lowercase()]), sets)
        }
        HirKind::Class(class) => analyse_class(class),
        HirKind::Capture(capture) => analyse(&capture.sub, reading),
        HirKind::Concat(parts) => analyse_sequence(parts, reading),
        HirKind::Alternation(branches) => analyse_choice(branches, reading),
        HirKind::Repetition(repetition) => {
            if let (Reading::Bare, 0) = (reading, repetition.min)
                && let Some(marks) = marks(&repetition.sub)
            {
                return Found::exactly(Texts { marks, ..Texts::nothing() }, Vec::new());
            }
            analyse_repetition(analyse(&repetition.sub, reading), repetition.min, repetition.max)
        }
    }
}

/// Rare bytes of which every match of an optional part has one.
fn marks(hir: &Hir) -> Option<ByteSet> {
    rarest_set(hir).filter(|set| density(set) < RARE)
}

/// Bytes of which every match has one; those that are met least often.
fn rarest_set(hir: &Hir) -> Option<ByteSet> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(literal) => rarest(literal.0.iter().map(|byte| ByteSet::of(*byte))),
        HirKind::Class(class) => byte_set(class),
        HirKind::Capture(capture) => rarest_set(&capture.sub),
        HirKind::Concat(parts) => rarest(parts.iter().filter_map(rarest_set)),
        HirKind::Alternation(branches) => {
            branches.iter().try_fold(ByteSet::EMPTY, |all, branch| Some(all.union(rarest_set(branch)?)))
        }
        HirKind::Repetition(repetition) => (repetition.min > 0).then(|| rarest_set(&repetition.sub)).flatten(),
    }
}

fn rarest(sets: impl Iterator<Item = ByteSet>) -> Option<ByteSet> {
    sets.min_by(|one, other| density(one).total_cmp(&density(other)))
}

fn byte_set(class: &Class) -> Option<ByteSet> {
    let Class::Bytes(class) = class else { return None };
    let mut set = ByteSet::EMPTY;
    for range in class.ranges() {
        set.insert_range(range.start(), range.end());
    }
    Some(set)
}

fn analyse_repetition(inner: Found, min: u32, max: Option<u32>) -> Found {
    match (min, max) {
        (0, Some(1)) if inner.is_exact => {
            let texts = inner.first.or(Texts::nothing());
            Found::exactly(Texts { list: distinct(texts.list), marks: texts.marks }, Vec::new())
        }
        (0, _) => Found::nothing(),
        (1, Some(1)) => inner,
        _ if inner.is_exact => {
            let mut texts = inner.first.clone();
            let mut rounds = 1;
            while rounds < min.min(MOST_ROUNDS)
                && let Some(longer) = texts.followed_by(&inner.first)
            {
                texts = longer;
                rounds += 1;
            }
            let mut all = (rounds == min).then(|| texts.clone());
            if let Some(max) = max.filter(|max| *max <= MOST_ROUNDS) {
                let mut longest = texts.clone();
                for _ in rounds..max {
                    let longer = longest.followed_by(&inner.first);
                    all = all.zip(longer.clone()).map(|(all, longer)| all.or(longer));
                    longest = longer.unwrap_or(longest);
                }
                if let Some(all) = all.as_ref().map(|all| Texts::any(std::iter::once(all)))
                    && all.list.len() <= MOST_LITERALS
                {
                    return Found::exactly(all, inner.sets);
                }
            }
            Found { is_exact: false, last: texts.clone(), first: texts, within: None, sets: inner.sets }
        }
        _ => inner,
    }
}

fn analyse_class(class: &Class) -> Found {
    let Some(set) = byte_set(class) else { return Found::nothing() };
    let mut folded: Vec<u8> = set.iter().map(|byte| byte.to_ascii_lowercase()).collect();
    folded.sort_unstable();
    folded.dedup();
    if folded.len() > MOST_CHARACTERS {
        return Found { sets: vec![set], ..Found::nothing() };
    }
    Found::exactly(Texts::of(folded.into_iter().map(|byte| vec![byte]).collect()), vec![set])
}

fn analyse_sequence(parts: &[Hir], reading: Reading) -> Found {
    // What stands right before the next part.
    let mut run = Texts::nothing();
    // What stood there when it could not be put together any longer for the first time.
    let mut first: Option<Texts> = None;
    let mut within: Option<(f64, Texts)> = None;
    let mut offer = |texts: &Texts| {
        let frequency = texts.frequency();
        if texts.is_useful() && within.as_ref().is_none_or(|(own, _)| frequency < *own) {
            within = Some((frequency, texts.clone()));
        }
    };
    let mut sets = Vec::new();
    for part in parts {
        let found = analyse(part, reading);
        sets.extend_from_slice(&found.sets);
        let joined = run.followed_by(&found.first);
        if found.is_exact
            && let Some(joined) = joined
        {
            run = joined;
            continue;
        }
        let joined = joined.unwrap_or_else(|| run.before(&found.first));
        offer(&run);
        offer(&joined);
        if let Some(texts) = found.required() {
            offer(texts);
        }
        first.get_or_insert(joined);
        run = if found.is_exact { found.first } else { found.last };
    }
    keep_best(&mut sets);
    match first {
        None => Found::exactly(run, sets),
        Some(first) => Found { is_exact: false, first, last: run, within: within.map(|(_, texts)| texts), sets },
    }
}

fn analyse_choice(branches: &[Hir], reading: Reading) -> Found {
    let found: Vec<Found> = branches.iter().map(|branch| analyse(branch, reading)).collect();
    // The n-th sets of all branches together are one set of the whole.
    let count = found.iter().map(|branch| branch.sets.len()).min().unwrap_or(0);
    let mut sets = Vec::new();
    for number in 0..count {
        let members = found.iter().filter_map(|branch| branch.sets.get(number));
        sets.push(members.fold(ByteSet::EMPTY, |all, set| all.union(*set)));
    }
    keep_best(&mut sets);
    let first = Texts::any(found.iter().map(|branch| &branch.first));
    if first.list.len() <= MOST_LITERALS && found.iter().all(|branch| branch.is_exact) {
        return Found::exactly(first, sets);
    }
    let last = Texts::any(found.iter().map(Found::last));
    let required: Option<Vec<&Texts>> = found.iter().map(Found::required).collect();
    let within = required.map(|texts| Texts::any(texts.into_iter()).bounded(beginning));
    Found { is_exact: false, first: first.bounded(beginning), last: last.bounded(end), within, sets }
}

fn beginning(text: &[u8]) -> &[u8] {
    text.get(..SHORTENED).unwrap_or(text)
}

fn end(text: &[u8]) -> &[u8] {
    text.get(text.len().saturating_sub(SHORTENED)..).unwrap_or(text)
}

fn distinct(mut texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn is_useful(texts: &[Vec<u8>]) -> bool {
    !texts.is_empty() && texts.len() <= MOST_LITERALS && texts.iter().all(|text| !text.is_empty())
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
pub(crate) fn commonness(byte: u8) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::regex::{Regex, RegexOptions};

    fn literals(pattern: &str) -> Vec<String> {
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        let texts = facts(regex.hir()).literals.unwrap_or_default();
        texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }

    #[test]
    fn what_stands_together_is_put_together() {
        assert_eq!(
            literals(r"(?i)f(?:d(?:(?:find|isk)\W|u?mount)|grep\W|ping|tp(?:who|stats))"),
            ["fdfind", "fdisk", "fdmount", "fdumount", "fgrep", "fping", "ftpstats", "ftpwho"]
        );
        assert_eq!(literals(r"[^x]+(?:ab|cd)[^y]*z"), ["ab", "cd"]);
        assert_eq!(literals(r"(?:^|[/\x5c])\.{2,3}[/\x5c]"), ["../", "..\\"]);
        // A text is found with another one in it.
        assert_eq!(literals("(?:echo|echoes|recho)x?"), ["echo"]);
        // Short texts need what stands behind them, long ones do not.
        assert_eq!(
            literals(r"(?:qx|hijk)[0-9;,]"),
            ["hijk", "qx,", "qx0", "qx1", "qx2", "qx3", "qx4", "qx5", "qx6", "qx7", "qx8", "qx9", "qx;"]
        );
    }

    #[test]
    fn rare_bytes_stand_for_what_is_optional() {
        assert_eq!(literals(r#"w['"\\]*h(?:\$[a-z]*)?o['"\\]*a['"\\]*m"#), ["\"", "$", "'", "\\", "whoam"]);
        // Letters are not rare.
        assert_eq!(literals("qu?x[^a]z*k"), ["qux", "qx"]);
        // Too many texts become shorter ones.
        let many: Vec<String> = (0..1600).map(|number| format!("q{:03}{number:04}[^0-9]", number % 900)).collect();
        let found = literals(&many.join("|"));
        assert!(found.len() == 900 && found.iter().all(|text| text.len() == 4), "{}", found.len());
    }
}
