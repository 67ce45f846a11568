//! Gives up where PCRE would with its match limit, on request: for comparisons with ModSecurity 2, which logs a rule's id
//! when a pattern runs into that limit (1,500 unless SecPcreMatchLimit says otherwise), though nothing matched.
//!
//! PCRE's compiled code (what its manual calls JIT) counts, from each start anew: every way out of a repetition of a
//! single character and of a repeated group, each time the rest of the pattern is tried from there. This module builds a backtracker with [`Instruction::Count`] in these places, after the rewriting that
//! PCRE does before (repetitions that cannot usefully give back become possessive, repeated groups are unrolled), as
//! PCRE 10.42 does it. Compared with it (patterns of the Core Rule Set on real values, 4,000 pairs, 2026-11-24): the same
//! count for 99 %, the same answer at 1,500 for all but one.
//! *Known to be inexact:* `\w` and `[0-9A-Z_a-z]` are the same here, and PCRE treats them differently before `$`.

use super::ast::{Assertion, ByteSet, Greed, Node};
use super::backtrack::{Backtracker, Compiler, EarlyFailure, Instruction, MatchLimit};

/// A pattern that only knows whether the limit is reached.
pub(super) fn compile(node: &Node, groups: usize, counts: u64) -> Backtracker {
    let mut own = Backtracker::build(node, groups, Compiler { is_counting: true, ..Compiler::default() });
    for at in 0..own.code.len() {
        let Some(Instruction::SetLoop { set, greed, .. }) = own.code.get(at) else { continue };
        // Past what counts the way out.
        if cannot_follow(&own.code, set, at + 2, *greed == Greed::Lazy, FOLLOW_DEPTH)
            && let Some(Instruction::SetLoop { greed, until, .. }) = own.code.get_mut(at)
        {
            (*greed, *until) = (Greed::Possessive, None);
        }
    }
    own.match_limit = Some(MatchLimit { counts, required: required(node) });
    own
}

/// Instructions looked at to see what may follow a repetition.
const FOLLOW_DEPTH: u32 = 1_000;

/// Can nothing in the set be what the code from here begins with?
fn cannot_follow(code: &[Instruction], set: &ByteSet, at: usize, is_lazy: bool, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let follows = |at| cannot_follow(code, set, at, is_lazy, depth);
    match code.get(at) {
        Some(Instruction::Byte(byte)) => !set.contains(*byte),
        Some(Instruction::Set(next)) => set.is_disjoint(next),
        Some(Instruction::SetLoop { set: next, min, .. }) => set.is_disjoint(next) && (*min > 0 || follows(at + 2)),
        Some(Instruction::Split { first, second }) => follows(*first) && follows(*second),
        Some(Instruction::Jump(to)) if *to > at => follows(*to),
        Some(Instruction::Save(_) | Instruction::LoopStart(_) | Instruction::Count) => follows(at + 1),
        Some(Instruction::Loop { min, exit, .. }) => follows(at + 1) && (*min > 0 || follows(*exit)),
        Some(Instruction::Match) => at + 1 == code.len() && !is_lazy,
        Some(Instruction::Assert(Assertion::End)) => is_character(set),
        _ => false,
    }
}

/// What PCRE compiles to a character rather than to a class.
fn is_character(set: &ByteSet) -> bool {
    match set.iter().next() {
        Some(first) => set.len() == 1 || (set.len() == 2 && ByteSet::of(first).case_folded() == *set),
        None => false,
    }
}

/// The last literal byte, in either case, that every match has.
fn required(node: &Node) -> Option<ByteSet> {
    match node {
        Node::Set(set) => is_character(set).then_some(*set),
        Node::Capture { node, .. } | Node::Atomic(node) => required(node),
        Node::Concat(nodes) => nodes.iter().rev().find_map(required),
        Node::Repeat { node, min, .. } if *min > 0 => required(node),
        Node::Alternate(nodes) => common(nodes, required).or_else(|| common(nodes, first_character)),
        _ => None,
    }
}

fn first_character(node: &Node) -> Option<ByteSet> {
    match node {
        Node::Set(set) => is_character(set).then_some(*set),
        Node::Capture { node, .. } => first_character(node),
        Node::Concat(nodes) => first_character(nodes.iter().find(|node| !matches!(node, Node::Assert(_)))?),
        Node::Repeat { node, min, .. } if *min > 0 => first_character(node),
        Node::Alternate(nodes) => common(nodes, first_character),
        _ => None,
    }
}

/// What all branches have.
fn common(branches: &[Node], of: fn(&Node) -> Option<ByteSet>) -> Option<ByteSet> {
    let first = of(branches.first()?)?;
    branches.iter().all(|node| of(node) == Some(first)).then_some(first)
}

/// Which loops PCRE gives an early failure: the first few, as long as it is clear where they stand. Its compiler counts,
/// and so does this: 0 at the very beginning, 1 behind a fixed length, 3 behind a variable one, 6 is the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Early {
    count: u8,
    depth: u8,
    slots: usize,
}

const EARLY_END: u8 = 6;
const EARLY_DEPTH: u8 = 4;

impl Early {
    /// A single byte; always `false`, to stand in a guard.
    pub(super) fn passes_one(&mut self) -> bool {
        self.count = self.count.max(1);
        false
    }

    /// Something that it is not clear about; always `false`, to stand in a guard.
    pub(super) fn ends(&mut self) -> bool {
        self.count = EARLY_END;
        false
    }

    fn passes_some(&mut self) {
        self.count = self.count.max(3);
    }

    /// A loop without an upper bound.
    fn take(&mut self) -> Option<EarlyFailure> {
        let is_prefix = self.count < 3;
        match self.count {
            EARLY_END.. => return None,
            0 => {
                self.count = 4;
                return None;
            }
            1 | 2 => self.count = 4,
            _ => self.count += 1,
        }
        self.slots += 1;
        Some(EarlyFailure { slot: self.slots - 1, is_prefix })
    }

    /// Alternatives begin.
    pub(super) fn group(&mut self) -> EarlyGroup {
        self.depth += 1;
        if self.depth > EARLY_DEPTH {
            self.count = EARLY_END;
        }
        EarlyGroup { start: self.count.max(1), most: None }
    }
}

/// Alternatives under way.
pub(super) struct EarlyGroup {
    start: u8,
    most: Option<u8>,
}

impl EarlyGroup {
    pub(super) fn branch(&mut self, early: &mut Early) {
        if let Some(most) = &mut self.most {
            *most = early.count.max(*most);
        } else {
            self.most = Some(3);
        }
        early.count = self.start;
    }

    pub(super) fn end(self, early: &mut Early) {
        early.depth -= 1;
        early.count = early.count.max(self.most.unwrap_or(3));
    }
}

impl MatchLimit {
    /// PCRE looks for the required byte before it tries.
    pub(super) fn may_match(&self, rest: &[u8]) -> bool {
        self.required.is_none_or(|required| rest.iter().any(|byte| required.contains(*byte)))
    }
}

impl Compiler {
    pub(super) fn concat_counting(&mut self, nodes: &[Node]) {
        for (at, node) in nodes.iter().enumerate() {
            match node {
                Node::Repeat { node, min, max, greed } => {
                    let next = match nodes.get(at + 1) {
                        Some(Node::Set(set)) if is_character(set) => Some(set),
                        _ => None,
                    };
                    self.repeat_counting(node, (*min, *max), *greed, next);
                }
                node => self.node(node),
            }
        }
    }

    /// `next` is the character that follows, if one does.
    pub(super) fn repeat_counting(
        &mut self,
        node: &Node,
        (min, max): (u32, Option<u32>),
        greed: Greed,
        next: Option<&ByteSet>,
    ) {
        if let Node::Set(set) = node {
            return self.set_loops(set, min, max, greed, next);
        }
        let is_lazy = greed == Greed::Lazy;
        if greed == Greed::Possessive {
            self.atomic(|compiler| compiler.repeat_group(node, min, max, false));
            return self.code.push(Instruction::Count);
        }
        self.repeat_group(node, min, max, is_lazy);
    }

    fn set_loops(&mut self, set: &ByteSet, min: u32, max: Option<u32>, greed: Greed, next: Option<&ByteSet>) {
        if (min, max) == (1, Some(1)) {
            return self.node(&Node::Set(*set));
        }
        let mut one = |min: u32, max: Option<u32>, until: Option<&ByteSet>| {
            let early = match max {
                None if min <= 1 => self.early.take(),
                _ => {
                    if Some(min) == max {
                        self.early.passes_one();
                    } else {
                        self.early.passes_some();
                    }
                    None
                }
            };
            let (set, max) = (Box::new(*set), max.unwrap_or(u32::MAX));
            // PCRE tries each end of a lazy loop.
            let until = until.filter(|_| greed != Greed::Lazy).map(|set| Box::new(*set));
            self.code.push(Instruction::SetLoop { set, min, max, greed, until, early });
            self.code.push(Instruction::Count);
        };
        if Some(min) == max {
            return one(min, max, None);
        }
        // A character, and any other single item that is no class, is divided: so many, then some more.
        if is_character(set) && min > 1 {
            one(min, Some(min), None);
            return one(0, max.map(|max| max - min), None);
        }
        let is_searched = greed == Greed::Greedy && !is_character(set) && *set != ByteSet::ALL && max != Some(1);
        one(min, max, next.filter(|_| is_searched));
    }

    fn repeat_group(&mut self, node: &Node, min: u32, max: Option<u32>, is_lazy: bool) {
        match (min, max) {
            (_, Some(0)) => {}
            (1, Some(1)) => self.node(node),
            (0 | 1, None) | (0, Some(1)) => self.some(node, min, max, is_lazy),
            (2.., None) => {
                self.exactly(node, min - 1);
                self.some(node, 1, None, is_lazy);
            }
            (min, Some(max)) if min == max => self.exactly(node, min),
            (0, Some(2)) => {
                self.optional(is_lazy, |compiler| {
                    compiler.node(node);
                    compiler.some(node, 0, Some(1), is_lazy);
                });
            }
            (0, Some(max)) => self.optional(is_lazy, |compiler| compiler.some(node, 1, Some(max), is_lazy)),
            (min, Some(max)) if max == min + 1 => {
                self.exactly(node, min);
                self.some(node, 0, Some(1), is_lazy);
            }
            (min, Some(max)) => {
                self.exactly(node, min - 1);
                self.some(node, 1, Some(max - min + 1), is_lazy);
            }
        }
    }

    /// Rounds whose way out is counted.
    fn some(&mut self, node: &Node, min: u32, max: Option<u32>, is_lazy: bool) {
        self.early.ends();
        self.rounds(min, max.unwrap_or(u32::MAX), is_lazy, |compiler| compiler.node(node));
        self.code.push(Instruction::Count);
    }

    fn optional(&mut self, is_lazy: bool, inside: impl FnOnce(&mut Self)) {
        self.early.ends();
        self.rounds(0, 1, is_lazy, inside);
        self.code.push(Instruction::Count);
    }

    /// Three rounds and more are a loop that counts each; fewer, and those that hold a loop with an early failure, are
    /// written out.
    fn exactly(&mut self, node: &Node, rounds: u32) {
        for left in (1..=rounds).rev() {
            let (code, early) = (self.code.len(), self.early);
            self.node(node);
            if left >= 3 && self.early.slots == early.slots {
                self.code.truncate(code);
                self.early = early;
                return self.rounds(left, left, false, |compiler| {
                    compiler.node(node);
                    compiler.code.push(Instruction::Count);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::waf::regex::{Regex, RegexCache, RegexOptions};

    /// The least limit that is enough.
    fn needed(pattern: &[u8], text: &[u8]) -> u64 {
        let enough = |limit: &u64| {
            let options = RegexOptions { match_limit: Some(*limit), ..RegexOptions::default() };
            Regex::compile(pattern, options).unwrap().is_match(&mut RegexCache::new(), text).is_ok()
        };
        (0..10_000).find(enough).expect("some limit is enough")
    }

    /// The limits that PCRE 10.42 needs, compiled, on x86-64.
    #[test]
    fn as_pcre_counts() {
        let dots = [&b"\"="[..], &b"x".repeat(10), b".", &b"y".repeat(10), b".", &b"z".repeat(5)].concat();
        let calls = b"[abc].map.callsort..".repeat(10);
        let calls_and_tick = [&calls[..], b"`"].concat();
        let commas = b",abc123,de12ff,".repeat(6);
        let pairs = |count| b"x1".repeat(count);
        let cases: &[(&[u8], &[u8], u64)] = &[
            // Lazy and greedy loops, one after the other, with what was gone over left out.
            (br#"["\'][ ]*(?:[^a-z0-9~_:\' ]|in).+?[.].+?="#, &dots, 44),
            (br#"".+?[.].+?="#, &dots, 44),
            (br#"".+?[.]c"#, &dots, 0),
            (br#"".+?="#, br#"="xxxxxxxxxx"y=z"#, 12),
            (br#"(?:".+?z|"k)="#, br#"="xxxxxxxxxx"y=z"#, 14),
            (br"\[.*call[^`]*`.*`", &calls_and_tick, 212),
            (br"((?:\[[^\]]*\]|Reflect)[^\.]*\.).*(?:map|sort|apply)[^\.]*\..*call[^`]*`.*`", &calls_and_tick, 2368),
            // The required byte is not there.
            (br"((?:\[[^\]]*\]|Reflect)[^\.]*\.).*(?:map|sort|apply)[^\.]*\..*call[^`]*`.*`", &calls, 0),
            (br".*\.(?:jsp|jspx)$", b"xxxxxxxxxxjsxxxxxxxxxx", 23),
            (br".*\.jspx?\.*$", b"xxxxxxxxxxjsxxxxxxxxxx", 0),
            (br".*a(?:b|cd)", b"xxxxxxxxxxk", 0),
            // Possessive by what follows.
            (br"[^a]+$", b"bbbbbbba", 7),
            (br"a+$", b"aaaaaab", 1),
            (br",[^\)]*?(?:[0-9a-f]+|\([0-9a-f]+\))$", &commas, 162),
            (br",[^\)]*?[0-9a-f]+(?:$|(?:\r?\n)?\z)", &commas, 306),
            // Repeated groups.
            (br"((?:[xy]|ab)[^xy]*?){2}", &pairs(3), 3),
            (br"((?:[xy]|ab)[^xy]*?){5}", &pairs(5), 9),
            (br"((?:[xy]|ab)[^xy]*?){6}", &pairs(6), 16),
            (br"((?:[xy]|ab)[^xy]*?){12}", &pairs(12), 40),
            (br"((?:[xy]|ab)[^xy]*?){12}", &pairs(6), 18),
            (br"(?:(?:[xy]|ab)[^xy]*?){1,2}z", b"x1x1x1x1x1x1x1x1q.z", 11),
            (br"(?:(?:[xy]|ab)[^xy]*?){0,3}z", b"x1x1x1x1x1x1x1x1q.z", 20),
        ];
        for (pattern, text, count) in cases {
            assert_eq!(needed(pattern, text), *count, "{}", pattern.escape_ascii());
        }
    }
}
