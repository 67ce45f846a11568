//! The text of a pattern, as PCRE reads it without UTF, into a tree.
//!
//! Why not `regex-syntax`'s own parser: outside a class it takes `\x{c2}` for a code point where PCRE without UTF
//! means a byte, it gives `&&`, `--`, `~~` and `[` inside a class meanings that PCRE does not, and it refuses `\Z`,
//! `\e`, `\h`, `[a-\d]` and `a{,3}`, which rule files may say. Each of these would be a silently different rule.
//!
//! Not accepted, each with an error that names it: recursion and subroutine calls, conditionals, callouts, verbs,
//! `\C`-less Unicode properties (`\p`), `\X`, `\K`, and code points above FF. Rules in the wild do not use them.

mod class;
mod escape;

use class::word;
use escape::Escape;

use super::ast::{Assertion, ByteSet, Greed, Node};
use super::{ErrorKind, RegexError, RegexOptions};
use crate::limits::{REGEX_GROUPS, REGEX_NESTING, REGEX_PATTERN_BYTES, REGEX_REPEAT, REGEX_REPEAT_CHAIN};

/// A parsed pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) node: Node,
    /// Names of the groups, by number from 0 (the whole match).
    pub(crate) group_names: Vec<Option<Box<str>>>,
}

/// Parses a pattern.
pub(crate) fn parse(pattern: &[u8], options: &RegexOptions) -> Result<Pattern, RegexError> {
    let mut parser = Parser {
        pattern,
        position: 0,
        depth: 0,
        flags: Flags {
            is_case_insensitive: options.is_case_insensitive,
            is_dot_all: options.is_dot_all,
            is_multi_line: options.is_multi_line,
            is_extended: false,
            is_ungreedy: false,
            is_no_capture: false,
        },
        is_dollar_end_only: options.is_dollar_end_only,
        group_names: vec![None],
        group_count: count_groups(pattern),
        references: Vec::new(),
    };
    if pattern.len() > REGEX_PATTERN_BYTES {
        return Err(parser.error(ErrorKind::PatternTooLong));
    }
    let node = parser.alternation()?;
    if parser.peek().is_some() {
        return Err(parser.error(ErrorKind::UnopenedGroup));
    }
    let groups = parser.group_names.len();
    if let Some(&(_, position)) = parser.references.iter().find(|(index, _)| *index as usize >= groups) {
        return Err(RegexError { position, kind: ErrorKind::UnknownGroup });
    }
    Ok(Pattern { node, group_names: parser.group_names })
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    is_case_insensitive: bool,
    is_dot_all: bool,
    is_multi_line: bool,
    is_extended: bool,
    is_ungreedy: bool,
    is_no_capture: bool,
}

struct Parser<'p> {
    pattern: &'p [u8],
    position: usize,
    depth: usize,
    flags: Flags,
    is_dollar_end_only: bool,
    group_names: Vec<Option<Box<str>>>,
    /// Capturing groups in the whole pattern: decides whether `\12` is a reference or an octal escape.
    group_count: usize,
    /// Groups that are referred to, and where.
    references: Vec<(u32, usize)>,
}

impl Parser<'_> {
    fn error(&self, kind: ErrorKind) -> RegexError {
        RegexError { position: self.position.min(self.pattern.len()), kind }
    }

    fn rest(&self) -> &[u8] {
        self.pattern.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.position).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Some(byte)
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.position += text.len();
        }
        is_next
    }

    fn alternation(&mut self) -> Result<Node, RegexError> {
        let mut branches = vec![self.branch()?];
        while self.eat(b"|") {
            branches.push(self.branch()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Alternate(branches) })
    }

    fn branch(&mut self) -> Result<Node, RegexError> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            self.skip_ignored()?;
            let Some(byte) = self.peek() else { break };
            if byte == b'|' || byte == b')' {
                break;
            }
            if self.eat(b"\\Q") {
                self.quoted(&mut items)?;
                continue;
            }
            if self.eat(b"\\E") {
                continue;
            }
            let Some(atom) = self.atom()? else { continue };
            items.push(self.quantified(atom)?);
        }
        Ok(match items.len() {
            0 => Node::Empty,
            1 => items.remove(0),
            _ => Node::Concat(items),
        })
    }

    /// Comments, and with `(?x)` white space.
    fn skip_ignored(&mut self) -> Result<(), RegexError> {
        loop {
            if self.rest().starts_with(b"(?#") {
                match memchr::memchr(b')', self.rest()) {
                    Some(end) => self.position += end + 1,
                    None => return Err(self.error(ErrorKind::UnclosedGroup)),
                }
                continue;
            }
            if self.flags.is_extended {
                match self.peek() {
                    Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => {
                        self.position += 1;
                        continue;
                    }
                    Some(b'#') => {
                        let length = memchr::memchr(b'\n', self.rest()).map_or_else(|| self.rest().len(), |at| at + 1);
                        self.position += length;
                        continue;
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
    }

    /// After `\Q`: everything up to `\E` or the end means itself; the last character may be quantified.
    fn quoted(&mut self, items: &mut Vec<Node>) -> Result<(), RegexError> {
        let length = memchr::memmem::find(self.rest(), b"\\E").unwrap_or_else(|| self.rest().len());
        let text = self.rest().get(..length).unwrap_or_default().to_vec();
        self.position += length;
        let _ = self.eat(b"\\E");
        let Some((last, before)) = text.split_last() else { return Ok(()) };
        for byte in before {
            items.push(self.literal(*byte));
        }
        let last = self.literal(*last);
        let last = self.quantified(last)?;
        items.push(last);
        Ok(())
    }

    fn literal(&self, byte: u8) -> Node {
        Node::Set(self.folded(ByteSet::of(byte)))
    }

    fn folded(&self, set: ByteSet) -> ByteSet {
        if self.flags.is_case_insensitive { set.case_folded() } else { set }
    }

    /// One item without its quantifier; none when it was an option setting.
    fn atom(&mut self) -> Result<Option<Node>, RegexError> {
        let start = self.position;
        let Some(byte) = self.next() else { return Ok(None) };
        Ok(Some(match byte {
            b'.' if self.flags.is_dot_all => Node::Set(ByteSet::ALL),
            b'.' => Node::Set(ByteSet::of(b'\n').negated()),
            b'^' if self.flags.is_multi_line => Node::Assert(Assertion::LineStart),
            b'^' => Node::Assert(Assertion::Start),
            b'$' if self.flags.is_multi_line => Node::Assert(Assertion::LineEnd),
            b'$' if self.is_dollar_end_only => Node::Assert(Assertion::End),
            b'$' => Node::Assert(Assertion::EndOrLastNewline),
            b'[' => {
                if let Some(boundary) = self.word_boundary_class() {
                    return Ok(Some(boundary));
                }
                let set = self.class(start)?;
                Node::Set(set)
            }
            b'(' => return self.group(start),
            b'\\' => match self.escape(false)? {
                Escape::Set(set) => Node::Set(set),
                Escape::Byte(byte) => self.literal(byte),
                Escape::Node(node) => node,
            },
            b'*' | b'+' | b'?' => {
                self.position = start;
                return Err(self.error(ErrorKind::NothingToRepeat));
            }
            b'{' => {
                self.position = start;
                if self.bounds()?.is_some() {
                    return Err(RegexError { position: start, kind: ErrorKind::NothingToRepeat });
                }
                self.position = start + 1;
                self.literal(b'{')
            }
            byte => self.literal(byte),
        }))
    }

    /// `[[:<:]]` and `[[:>:]]`.
    fn word_boundary_class(&mut self) -> Option<Node> {
        let is_start = self.rest().starts_with(b"[:<:]]");
        if !is_start && !self.rest().starts_with(b"[:>:]]") {
            return None;
        }
        self.position += 6;
        let look = Node::Look { is_behind: !is_start, is_negated: false, node: Box::new(Node::Set(word())) };
        Some(Node::Concat(vec![Node::Assert(Assertion::WordBoundary), look]))
    }

    fn quantified(&mut self, mut node: Node) -> Result<Node, RegexError> {
        loop {
            self.skip_ignored()?;
            let start = self.position;
            let (min, max) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => match self.bounds()? {
                    Some(bounds) => bounds,
                    None => return Ok(node),
                },
                _ => return Ok(node),
            };
            if self.position == start {
                self.position += 1;
            }
            let greed = match self.peek() {
                Some(b'+') => Greed::Possessive,
                Some(b'?') if self.flags.is_ungreedy => Greed::Greedy,
                Some(b'?') => Greed::Lazy,
                _ if self.flags.is_ungreedy => Greed::Lazy,
                _ => Greed::Greedy,
            };
            if matches!(self.peek(), Some(b'+' | b'?')) {
                self.position += 1;
            }
            if matches!(node, Node::Assert(_)) {
                // PCRE lets an assertion be repeated: it holds or it does not.
                node = if min == 0 { Node::Empty } else { node };
            } else {
                node = Node::Repeat { node: Box::new(node), min, max, greed };
            }
            self.depth_of_quantifiers(&node)?;
        }
    }

    /// `a{1}{2}{3}…` nests without brackets.
    fn depth_of_quantifiers(&self, node: &Node) -> Result<(), RegexError> {
        let mut depth = 0;
        let mut node = node;
        while let Node::Repeat { node: inner, .. } = node {
            node = inner;
            depth += 1;
        }
        if depth > REGEX_REPEAT_CHAIN { Err(self.error(ErrorKind::NestedTooDeep)) } else { Ok(()) }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else in braces is text.
    fn bounds(&mut self) -> Result<Option<(u32, Option<u32>)>, RegexError> {
        let rest = self.rest();
        let Some(end) = memchr::memchr(b'}', rest) else { return Ok(None) };
        let inner = rest.get(1..end).unwrap_or_default();
        let (min, max) = match memchr::memchr(b',', inner) {
            None => (inner, Some(inner)),
            Some(comma) => {
                let after = inner.get(comma + 1..).unwrap_or_default();
                (inner.get(..comma).unwrap_or_default(), (!after.is_empty()).then_some(after))
            }
        };
        let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        if !is_number(min) || max.is_some_and(|max| !is_number(max)) {
            return Ok(None);
        }
        let value = |text: &[u8]| -> Option<u32> {
            text.iter().try_fold(0u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
        };
        let (min, max) = (value(min), max.map(value));
        let within = |bound: u32| bound <= REGEX_REPEAT;
        let (Some(min), false) = (min.filter(|bound| within(*bound)), max == Some(None)) else {
            return Err(self.error(ErrorKind::RepeatTooLarge));
        };
        let max = max.flatten();
        if max.is_some_and(|max| !within(max)) {
            return Err(self.error(ErrorKind::RepeatTooLarge));
        }
        if max.is_some_and(|max| max < min) {
            return Err(self.error(ErrorKind::RepeatOutOfOrder));
        }
        self.position += end + 1;
        Ok(Some((min, max)))
    }

    fn group(&mut self, start: usize) -> Result<Option<Node>, RegexError> {
        self.depth += 1;
        if self.depth > REGEX_NESTING {
            return Err(self.error(ErrorKind::NestedTooDeep));
        }
        let outer = self.flags;
        let node = self.group_inside(start)?;
        if node.is_some() {
            self.flags = outer;
        }
        self.depth -= 1;
        Ok(node)
    }

    fn group_inside(&mut self, start: usize) -> Result<Option<Node>, RegexError> {
        if self.rest().starts_with(b"*") {
            return Err(self.error(ErrorKind::Unsupported("a verb or alphabetic assertion (*…)")));
        }
        if !self.eat(b"?") {
            let node = if self.flags.is_no_capture { self.closed(start)? } else { self.capture(None, start)? };
            return Ok(Some(node));
        }
        let look = |is_behind, is_negated| move |node| Node::Look { is_behind, is_negated, node: Box::new(node) };
        if self.eat(b":") {
            return self.closed(start).map(Some);
        }
        if self.eat(b"|") {
            return Err(self.error(ErrorKind::Unsupported("a branch reset group (?|…)")));
        }
        if self.eat(b">") {
            return self.closed(start).map(|node| Some(Node::Atomic(Box::new(node))));
        }
        if self.eat(b"=") {
            return self.closed(start).map(look(false, false)).map(Some);
        }
        if self.eat(b"!") {
            return self.closed(start).map(look(false, true)).map(Some);
        }
        if self.eat(b"<=") {
            return self.behind(start, false).map(Some);
        }
        if self.eat(b"<!") {
            return self.behind(start, true).map(Some);
        }
        if self.eat(b"P=") {
            let name = self.name(b')')?;
            return self.named_reference(&name).map(Some);
        }
        if self.eat(b"P<") || self.eat(b"<") {
            let name = self.name(b'>')?;
            return self.capture(Some(name), start).map(Some);
        }
        if self.eat(b"'") {
            let name = self.name(b'\'')?;
            return self.capture(Some(name), start).map(Some);
        }
        match self.peek() {
            Some(b'(') => return Err(self.error(ErrorKind::Unsupported("a conditional group (?(…)…)"))),
            Some(b'R' | b'&' | b'P' | b'+' | b'0'..=b'9') => {
                return Err(self.error(ErrorKind::Unsupported("recursion or a subroutine call")));
            }
            Some(b'C') => return Err(self.error(ErrorKind::Unsupported("a callout (?C…)"))),
            _ => {}
        }
        if self.rest().starts_with(b"-") && self.rest().get(1).is_some_and(u8::is_ascii_digit) {
            return Err(self.error(ErrorKind::Unsupported("recursion or a subroutine call")));
        }
        self.inline_flags()?;
        if self.eat(b")") {
            return Ok(None);
        }
        self.position += 1; // the colon
        self.closed(start).map(Some)
    }

    /// `i-s` up to, not including, `)` or `:`.
    fn inline_flags(&mut self) -> Result<(), RegexError> {
        let mut is_on = true;
        let mut is_first = true;
        loop {
            match self.peek() {
                Some(b'^') if is_first => {
                    self.flags.is_case_insensitive = false;
                    self.flags.is_multi_line = false;
                    self.flags.is_dot_all = false;
                    self.flags.is_extended = false;
                    self.flags.is_no_capture = false;
                }
                Some(b'-') if is_on => is_on = false,
                Some(b'i') => self.flags.is_case_insensitive = is_on,
                Some(b's') => self.flags.is_dot_all = is_on,
                Some(b'm') => self.flags.is_multi_line = is_on,
                Some(b'x') => self.flags.is_extended = is_on,
                Some(b'U') => self.flags.is_ungreedy = is_on,
                Some(b'n') => self.flags.is_no_capture = is_on,
                Some(b'J') => {}
                Some(b')' | b':') => return Ok(()),
                Some(_) => return Err(self.error(ErrorKind::UnknownGroupOption)),
                None => return Err(self.error(ErrorKind::UnclosedGroup)),
            }
            is_first = false;
            self.position += 1;
        }
    }

    /// The inside of a group and its closing bracket.
    fn closed(&mut self, start: usize) -> Result<Node, RegexError> {
        let node = self.alternation()?;
        if self.eat(b")") { Ok(node) } else { Err(RegexError { position: start, kind: ErrorKind::UnclosedGroup }) }
    }

    fn capture(&mut self, name: Option<Box<str>>, start: usize) -> Result<Node, RegexError> {
        let index = self.group_names.len();
        if index > REGEX_GROUPS {
            return Err(self.error(ErrorKind::TooManyGroups));
        }
        if name.is_some() && self.group_names.contains(&name) {
            return Err(self.error(ErrorKind::DuplicateGroupName));
        }
        self.group_names.push(name.clone());
        let node = Box::new(self.closed(start)?);
        Ok(Node::Capture { index: u32::try_from(index).unwrap_or(u32::MAX), name, node })
    }

    /// Each alternative of a look-behind must have one length.
    fn behind(&mut self, start: usize, is_negated: bool) -> Result<Node, RegexError> {
        let node = self.closed(start)?;
        let is_fixed = match &node {
            Node::Alternate(branches) => branches.iter().all(|branch| branch.fixed_length().is_some()),
            node => node.fixed_length().is_some(),
        };
        if !is_fixed {
            return Err(RegexError { position: start, kind: ErrorKind::LookBehindNotFixed });
        }
        Ok(Node::Look { is_behind: true, is_negated, node: Box::new(node) })
    }

    fn name(&mut self, end: u8) -> Result<Box<str>, RegexError> {
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let name = self.rest().get(..length).unwrap_or_default();
        let is_name = name.first().is_some_and(|byte| !byte.is_ascii_digit()) && length <= 32;
        let text = String::from_utf8_lossy(name).into_owned().into_boxed_str();
        if !is_name || self.rest().get(length) != Some(&end) {
            return Err(self.error(ErrorKind::InvalidGroupName));
        }
        self.position += length + 1;
        Ok(text)
    }

    fn named_reference(&mut self, name: &str) -> Result<Node, RegexError> {
        match self.group_names.iter().position(|group| group.as_deref() == Some(name)) {
            Some(index) => Ok(self.reference(u32::try_from(index).unwrap_or(u32::MAX))),
            None => Err(self.error(ErrorKind::UnknownGroup)),
        }
    }

    fn reference(&mut self, index: u32) -> Node {
        self.references.push((index, self.position));
        Node::BackReference { index, is_case_insensitive: self.flags.is_case_insensitive }
    }
}

/// How many capturing groups the pattern has, roughly: enough to tell `\12` the reference from the octal escape.
fn count_groups(pattern: &[u8]) -> usize {
    let mut count = 0;
    let mut in_class = false;
    let mut position = 0;
    while let Some(byte) = pattern.get(position) {
        match byte {
            b'\\' => position += 1,
            b'[' if !in_class => {
                in_class = true;
                if pattern.get(position + 1) == Some(&b'^') {
                    position += 1;
                }
                if pattern.get(position + 1) == Some(&b']') {
                    position += 1;
                }
            }
            b']' => in_class = false,
            b'(' if !in_class => {
                let after = pattern.get(position + 1..).unwrap_or_default();
                let is_named = (after.starts_with(b"?<") && !matches!(after.get(2), Some(b'=' | b'!')))
                    || after.starts_with(b"?P<")
                    || after.starts_with(b"?'");
                if !matches!(after.first(), Some(b'?' | b'*')) || is_named {
                    count += 1;
                }
            }
            _ => {}
        }
        position += 1;
    }
    count
}
