//! What every match of a pattern contains, derived from its syntax tree.
//!
//! Three kinds of facts: texts of which one must occur (ASCII letters folded to lower case), sets of bytes of which
//! each must have a member in the value, and the shortest match. All of them are necessary only: where a construct is
//! too complex to follow, the fact is left out.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::around::{self, Around, BORDER, Kinds, OPEN};
use super::literals::{self, Literal, Literals, MOST_CHARACTERS, Part, best};
use crate::waf::regex::ByteSet;

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
    pub(super) literals: Option<Vec<Literal>>,
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
    Facts { literals: texts.map(Literals::to_list), sets: found.sets }
}

/// How optional parts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As they are.
    Whole,
    /// Those that have rare bytes are taken to be absent, and the bytes stand for the values in which they are not. So
    /// `w["'\\]*h["'\\]*o` is `who` or a quotation mark or a backslash: patterns that allow for evasion between any two
    /// letters have no longer texts otherwise. What stands around other parts is not taken from their absence: the texts of
    /// those need not have the bytes with them.
    Bare,
}

/// What is known of a part of a pattern.
#[derive(Debug, Clone)]
struct Found {
    /// Are the texts that it begins with all that it matches?
    is_exact: bool,
    /// Every match begins with one of these.
    first: Literals,
    /// Every match ends with one of these; unless it is exact.
    last: Literals,
    /// One of these is in every match.
    within: Option<Literals>,
    /// What stands right behind where a match begins, and right before where it ends; if it can be empty, that is what
    /// stands outside of it.
    head: Kinds,
    tail: Kinds,
    sets: Vec<ByteSet>,
}

impl Found {
    fn exactly(texts: Literals, sets: Vec<ByteSet>) -> Self {
        let edge = |byte: fn(&[u8]) -> Option<&u8>| {
            let kinds = texts.list.iter().map(|text| byte(&text.bytes).map_or(OPEN, |byte| around::of(*byte)));
            kinds.fold(0, |all, kind| all | kind)
        };
        let (head, tail) = (edge(<[u8]>::first), edge(<[u8]>::last));
        Self { is_exact: true, first: texts, last: Literals::nothing(), within: None, head, tail, sets }
    }

    /// Of something that begins and ends with bytes of these kinds.
    fn between(head: Kinds, tail: Kinds) -> Self {
        // Between these and the borders of the match is nothing.
        let edge = |before, behind| {
            let mut edge = Literals::nothing();
            edge.each(|text| text.around = Around { before, behind });
            edge
        };
        let (first, last) = (edge(OPEN, head), edge(tail, OPEN));
        Self { is_exact: false, first, last, within: None, head, tail, sets: Vec::new() }
    }

    fn nothing() -> Self {
        Self::between(around::ANY, around::ANY)
    }

    fn last(&self) -> &Literals {
        if self.is_exact { &self.first } else { &self.last }
    }

    /// What every match contains.
    fn required(&self) -> Option<&Literals> {
        best([&self.first, self.last()].into_iter().chain(&self.within))
    }

    /// Says more about what stands around each of its texts.
    fn each(&mut self, change: impl Fn(&mut Literal)) {
        for texts in [&mut self.first, &mut self.last].into_iter().chain(&mut self.within) {
            texts.each(&change);
        }
    }
}

fn analyse(hir: &Hir, reading: Reading) -> Found {
    match hir.kind() {
        HirKind::Empty => Found::exactly(Literals::nothing(), Vec::new()),
        HirKind::Look(look) => analyse_look(*look),
        HirKind::Literal(literal) => {
            let mut sets: Vec<ByteSet> = literal.0.iter().map(|byte| ByteSet::of(*byte)).collect();
            keep_best(&mut sets);
            Found::exactly(Literals::of(std::iter::once(literal.0.to_ascii_lowercase())), sets)
        }
        HirKind::Class(class) => analyse_class(class),
        HirKind::Capture(capture) => analyse(&capture.sub, reading),
        HirKind::Concat(parts) => analyse_sequence(parts, reading),
        HirKind::Alternation(branches) => analyse_choice(branches, reading),
        HirKind::Repetition(repetition) => {
            if let (Reading::Bare, 0) = (reading, repetition.min)
                && let Some(marks) = marks(&repetition.sub)
            {
                // What stands around others has to be true of values with such bytes too.
                let Found { head, tail, .. } = analyse(&repetition.sub, reading);
                let absent = Found::exactly(Literals { marks, ..Literals::nothing() }, Vec::new());
                return Found { head: head | OPEN, tail: tail | OPEN, ..absent };
            }
            analyse_repetition(analyse(&repetition.sub, reading), repetition.min, repetition.max)
        }
    }
}

/// Where the value or a line of it begins or ends, that is what stands there.
fn analyse_look(look: Look) -> Found {
    let newline = around::of(b'\n');
    let (head, tail) = match look {
        Look::Start => (OPEN, BORDER),
        Look::StartLF => (OPEN, BORDER | newline),
        Look::End => (BORDER, OPEN),
        Look::EndLF => (BORDER | newline, OPEN),
        _ => (OPEN, OPEN),
    };
    let mut nothing = Literals::nothing();
    nothing.each(|text| text.around = Around { before: tail, behind: head });
    Found { head, tail, ..Found::exactly(nothing, Vec::new()) }
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

fn analyse_repetition(mut inner: Found, min: u32, max: Option<u32>) -> Found {
    if (min, max) == (1, Some(1)) {
        return inner;
    }
    if max.is_none_or(|max| max > 1) {
        // The round before or the next one may stand there too.
        let rounds = Around { before: inner.tail, behind: inner.head };
        inner.each(|text| text.around = text.around.within(rounds.or(Around::OUTSIDE)));
    }
    let optional = if min == 0 { OPEN } else { 0 };
    let (head, tail) = (inner.head | optional, inner.tail | optional);
    match (min, max) {
        (0, Some(1)) if inner.is_exact => {
            Found { head, tail, ..Found::exactly(inner.first.or(Literals::nothing()), Vec::new()) }
        }
        (0, _) => Found::between(head, tail),
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
                if let Some(all) = all.filter(|all| all.list.len() <= literals::MOST) {
                    return Found { head, tail, ..Found::exactly(all, inner.sets) };
                }
            }
            Found { is_exact: false, last: texts.clone(), first: texts, within: None, head, tail, sets: inner.sets }
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
        let kinds = around::of_set(&set);
        return Found { sets: vec![set], ..Found::between(kinds, kinds) };
    }
    Found::exactly(Literals::of(folded.into_iter().map(|byte| vec![byte])), vec![set])
}

/// The parts of a sequence, and of each what its neighbours say about what stands around its texts.
fn analyse_parts(parts: &[Hir], reading: Reading) -> Vec<Found> {
    let mut all: Vec<Found> = parts.iter().map(|part| analyse(part, reading)).collect();
    let is_border = |part: Option<&Hir>| part.is_some_and(|part| matches!(part.kind(), HirKind::Look(Look::WordAscii)));
    // What stands on the other side of an edge of a text that is an edge of its part.
    let across = |there: Kinds, neighbour: Option<&Hir>, edge: Option<&u8>| {
        let border = edge.filter(|_| is_border(neighbour)).map_or(around::ANY, |byte| around::across_border(*byte));
        around::both(there, border)
    };
    let mut before = OPEN;
    let mut last_part = None;
    for (found, part) in all.iter_mut().zip(parts) {
        found.each(|text| {
            let there = across(before, last_part, text.bytes.first());
            text.around.before = around::closed(text.around.before, there);
        });
        before = around::closed(found.tail, before);
        last_part = Some(part);
    }
    let mut behind = OPEN;
    let mut next_part = None;
    for (found, part) in all.iter_mut().zip(parts).rev() {
        found.each(|text| {
            let there = across(behind, next_part, text.bytes.last());
            text.around.behind = around::closed(text.around.behind, there);
        });
        behind = around::closed(found.head, behind);
        next_part = Some(part);
    }
    all
}

fn analyse_sequence(parts: &[Hir], reading: Reading) -> Found {
    let parts = analyse_parts(parts, reading);
    let head = parts.iter().rev().fold(OPEN, |behind, found| around::closed(found.head, behind));
    let tail = parts.iter().fold(OPEN, |before, found| around::closed(found.tail, before));
    // What stands right before the next part.
    let mut run = Literals::nothing();
    // What stood there when it could not be put together any longer for the first time.
    let mut first: Option<Literals> = None;
    let mut within: Option<(f64, Literals)> = None;
    let mut offer = |texts: &Literals| {
        let frequency = texts.frequency();
        if texts.is_useful() && within.as_ref().is_none_or(|(own, _)| frequency < *own) {
            within = Some((frequency, texts.clone()));
        }
    };
    let mut sets = Vec::new();
    for found in parts {
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
        None => Found { head, tail, ..Found::exactly(run, sets) },
        Some(first) => {
            Found { is_exact: false, first, last: run, within: within.map(|(_, texts)| texts), head, tail, sets }
        }
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
    let (head, tail) = found.iter().fold((0, 0), |(head, tail), branch| (head | branch.head, tail | branch.tail));
    let first = Literals::any(found.iter().map(|branch| &branch.first));
    if first.list.len() <= literals::MOST && found.iter().all(|branch| branch.is_exact) {
        return Found { head, tail, ..Found::exactly(first, sets) };
    }
    let last = Literals::any(found.iter().map(Found::last));
    let required: Option<Vec<&Literals>> = found.iter().map(Found::required).collect();
    let within = required.map(|texts| Literals::any(texts.into_iter()).bounded(Part::Beginning));
    let (first, last) = (first.bounded(Part::Beginning), last.bounded(Part::End));
    Found { is_exact: false, first, last, within, head, tail, sets }
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
pub(crate) const fn commonness(byte: u8) -> f64 {
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

    fn kinds(bytes: &[u8]) -> Kinds {
        bytes.iter().fold(0, |all, byte| all | around::of(*byte))
    }

    /// What may stand around a text.
    fn around(pattern: &str, text: &str) -> Around {
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        let texts = facts(regex.hir()).literals.unwrap_or_default();
        texts.iter().find(|literal| literal.bytes == text.as_bytes()).unwrap_or_else(|| panic!("{texts:?}")).around
    }

    #[test]
    fn what_stands_around_texts_is_known() {
        let separators = kinds(b";|&");
        let id = around(r"(?:^|[;|&])id(?:[ ,]|$)", "id");
        assert_eq!((id.before, id.behind), (BORDER | separators, BORDER | kinds(b" ,")));
        // Whatever may be empty shows what is on the other side of it.
        let id = around(r"[;|&]\s*'?id\s*-", "id");
        assert_eq!((id.before, id.behind), (separators | kinds(b" \n'"), kinds(b" \n-")));
        assert_eq!(around(r"x?id", "id"), Around::ANYTHING);
        assert_eq!(around(r"\bid\b", "id").before & kinds(b"a0_"), 0);
        assert!(around::has(around(r"\bid\b", "id").behind, b'-'));
        // Rounds of a repetition stand next to each other.
        assert_eq!(around(r"[0-9_xyz](?:who|id)+[^a]", "id").before, kinds(b"0_xyzod"));
        assert_eq!(around(r"[0-9_xyz](?:who|id){2,}[0-9_xyz]", "idid").behind, kinds(b"0_xyzwi"));
        assert_eq!(around(r"(?m)^id", "id").before, BORDER | kinds(b"\n"));
    }

    #[test]
    fn a_text_stands_for_a_longer_one_only_where_it_is_found_in_it() {
        assert_eq!(literals("(?:;id|guid;id|druid)x"), [";idx", "druidx"]);
    }

    fn literals(pattern: &str) -> Vec<String> {
        let regex = Regex::compile(pattern.as_bytes(), RegexOptions::default()).unwrap();
        let texts = facts(regex.hir()).literals.unwrap_or_default();
        texts.iter().map(|text| String::from_utf8_lossy(&text.bytes).into_owned()).collect()
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
        // What stands behind short texts tells them from others, and is no part of them.
        assert_eq!(literals(r"(?:qx|hijk)[0-9;,]"), ["hijk", "qx"]);
        assert_eq!(around(r"(?:qx|hijk)[0-9;,]", "qx").behind, kinds(b"0;,"));
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
