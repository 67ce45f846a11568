//! The text of a pattern, as PCRE reads it without UTF, into a tree.
//!
//! Why not `regex-syntax`'s own parser: outside a class it takes `\x{c2}` for a code point where PCRE without UTF
//! means a byte, it gives `&&`, `--`, `~~` and `[` inside a class meanings that PCRE does not, and it refuses `\Z`,
//! `\e`, `\h`, `[a-\d]` and `a{,3}`, which rule files may say. Each of these would be a silently different rule.
//!
//! Not accepted, each with an error that names it: recursion and subroutine calls, conditionals, callouts, verbs,
//! `\C`-less Unicode properties (`\p`), `\X`, `\K`, and code points above FF. Rules in the wild do not use them.

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

/// What an escape stands for.
enum Escape {
    Set(ByteSet),
    Byte(u8),
    Node(Node),
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

    /// After a backslash.
    fn escape(&mut self, in_class: bool) -> Result<Escape, RegexError> {
        let Some(byte) = self.next() else { return Err(self.error(ErrorKind::TrailingBackslash)) };
        if let Some(set) = class_escape(byte) {
            return Ok(Escape::Set(set));
        }
        let node = match byte {
            b'a' => return Ok(Escape::Byte(0x07)),
            b'e' => return Ok(Escape::Byte(0x1b)),
            b'f' => return Ok(Escape::Byte(0x0c)),
            b'n' => return Ok(Escape::Byte(b'\n')),
            b'r' => return Ok(Escape::Byte(b'\r')),
            b't' => return Ok(Escape::Byte(b'\t')),
            b'b' if in_class => return Ok(Escape::Byte(0x08)),
            b'c' => {
                return match self.next() {
                    Some(byte) if byte.is_ascii() => Ok(Escape::Byte(byte.to_ascii_uppercase() ^ 0x40)),
                    _ => Err(self.error(ErrorKind::InvalidEscape)),
                };
            }
            b'x' => return self.hexadecimal().map(Escape::Byte),
            b'o' => return self.braced_octal().map(Escape::Byte),
            b'0' => return Ok(Escape::Byte(self.octal(0, 2)?)),
            b'1'..=b'9' => return self.number_escape(byte, in_class),
            b'N' if !in_class && !self.names_character() => return Ok(Escape::Set(ByteSet::of(b'\n').negated())),
            b'p' | b'P' => return Err(self.error(ErrorKind::Unsupported("a Unicode property (\\p)"))),
            b'X' if !in_class => return Err(self.error(ErrorKind::Unsupported("\\X"))),
            b'K' if !in_class => return Err(self.error(ErrorKind::Unsupported("\\K"))),
            b'C' if !in_class => return Ok(Escape::Set(ByteSet::ALL)),
            b'b' => Node::Assert(Assertion::WordBoundary),
            b'B' if !in_class => Node::Assert(Assertion::NotWordBoundary),
            b'A' if !in_class => Node::Assert(Assertion::Start),
            b'Z' if !in_class => Node::Assert(Assertion::EndOrLastNewline),
            b'z' if !in_class => Node::Assert(Assertion::End),
            b'G' if !in_class => Node::Assert(Assertion::SearchStart),
            b'R' if !in_class => newline_sequence(),
            b'g' if !in_class => return self.g_reference().map(Escape::Node),
            b'k' if !in_class => return self.k_reference().map(Escape::Node),
            byte if !byte.is_ascii_alphanumeric() => return Ok(Escape::Byte(byte)),
            _ => {
                self.position -= 1;
                return Err(self.error(ErrorKind::InvalidEscape));
            }
        };
        Ok(Escape::Node(node))
    }

    /// After `\N`: `{U+E9}` or `{NAME}` rather than a quantifier?
    fn names_character(&self) -> bool {
        self.rest().starts_with(b"{") && !self.rest().get(1).is_some_and(u8::is_ascii_digit)
    }

    /// `\xH`, `\xHH`, `\x{H…}`
    fn hexadecimal(&mut self) -> Result<u8, RegexError> {
        if self.rest().starts_with(b"{") {
            let length = self.rest().iter().skip(1).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if length > 0 && self.rest().get(length + 1) == Some(&b'}') {
                let digits = self.rest().get(1..=length).unwrap_or_default();
                let value = digits.iter().fold(0u32, |sum, digit| sum.saturating_mul(16).saturating_add(hex(*digit)));
                let Ok(byte) = u8::try_from(value) else { return Err(self.error(ErrorKind::CodePointTooLarge)) };
                self.position += length + 2;
                return Ok(byte);
            }
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let digits = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let value = self.rest().iter().take(digits).fold(0, |sum, digit| sum * 16 + hex(*digit));
        self.position += digits;
        Ok(u8::try_from(value).unwrap_or_default())
    }

    /// `\o{…}`
    fn braced_octal(&mut self) -> Result<u8, RegexError> {
        let length = self.rest().iter().skip(1).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        if !self.rest().starts_with(b"{") || length == 0 || self.rest().get(length + 1) != Some(&b'}') {
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let digits = self.rest().get(1..=length).unwrap_or_default();
        let value = digits.iter().fold(0u32, |sum, digit| sum.saturating_mul(8).saturating_add(hex(*digit)));
        let Ok(byte) = u8::try_from(value) else { return Err(self.error(ErrorKind::CodePointTooLarge)) };
        self.position += length + 2;
        Ok(byte)
    }

    /// Up to `most` further octal digits.
    fn octal(&mut self, first: u32, most: usize) -> Result<u8, RegexError> {
        let mut value = first;
        for _ in 0..most {
            match self.peek() {
                Some(digit @ b'0'..=b'7') => value = value * 8 + hex(digit),
                _ => break,
            }
            self.position += 1;
        }
        u8::try_from(value).map_err(|_| self.error(ErrorKind::CodePointTooLarge))
    }

    /// `\12`: a reference when it is below 10 or there are so many groups, else octal, else the digits 8 and 9.
    fn number_escape(&mut self, first: u8, in_class: bool) -> Result<Escape, RegexError> {
        let digits = 1 + self.rest().iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
        let start = self.position - 1;
        let text = self.pattern.get(start..start + digits).unwrap_or_default();
        let value = text.iter().fold(0u32, |sum, digit| sum * 10 + hex(*digit));
        if !in_class && (value < 10 || value as usize <= self.group_count) {
            self.position = start + digits;
            return Ok(Escape::Node(self.reference(value)));
        }
        if first >= b'8' {
            return Ok(Escape::Byte(first));
        }
        self.octal(hex(first), 2).map(Escape::Byte)
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`
    fn g_reference(&mut self) -> Result<Node, RegexError> {
        if matches!(self.peek(), Some(b'<' | b'\'')) {
            return Err(self.error(ErrorKind::Unsupported("recursion or a subroutine call")));
        }
        let is_braced = self.eat(b"{");
        if is_braced && self.peek().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            let name = self.name(b'}')?;
            return self.named_reference(&name);
        }
        let is_relative = self.eat(b"-");
        let digits = self.rest().iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let value = self.rest().iter().take(digits).fold(0u32, |sum, digit| sum * 10 + hex(*digit));
        self.position += digits;
        if digits == 0 || (is_braced && !self.eat(b"}")) {
            return Err(self.error(ErrorKind::InvalidEscape));
        }
        let groups = u32::try_from(self.group_names.len()).unwrap_or(u32::MAX);
        let index = if is_relative { groups.checked_sub(value) } else { Some(value) };
        match index {
            Some(index) if index > 0 => Ok(self.reference(index)),
            _ => Err(self.error(ErrorKind::UnknownGroup)),
        }
    }

    /// `\k<name>`, `\k'name'`, `\k{name}`
    fn k_reference(&mut self) -> Result<Node, RegexError> {
        let end = match self.next() {
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            Some(b'{') => b'}',
            _ => return Err(self.error(ErrorKind::InvalidEscape)),
        };
        let name = self.name(end)?;
        self.named_reference(&name)
    }

    /// After `[`.
    fn class(&mut self, start: usize) -> Result<ByteSet, RegexError> {
        let unclosed = RegexError { position: start, kind: ErrorKind::UnclosedClass };
        let is_negated = self.eat(b"^");
        let mut set = ByteSet::EMPTY;
        let mut is_first = true;
        let mut is_quoted = false;
        loop {
            let Some(byte) = self.peek() else { return Err(unclosed) };
            if is_quoted {
                if self.eat(b"\\E") {
                    is_quoted = false;
                    continue;
                }
            } else {
                if byte == b']' && !is_first {
                    self.position += 1;
                    break;
                }
                if self.eat(b"\\Q") {
                    is_quoted = true;
                    continue;
                }
                if self.eat(b"\\E") {
                    continue;
                }
                if byte == b'['
                    && let Some(posix) = self.posix_class()?
                {
                    set = set.union(posix);
                    is_first = false;
                    continue;
                }
            }
            is_first = false;
            let low = match self.class_item(is_quoted)? {
                Escape::Byte(byte) => byte,
                Escape::Set(escaped) => {
                    set = set.union(escaped);
                    continue;
                }
                Escape::Node(_) => return Err(self.error(ErrorKind::InvalidEscape)),
            };
            let high = if is_quoted { None } else { self.range_end(low)? };
            let range = ByteSet::ranges(&[(low, high.unwrap_or(low))]);
            set = set.union(self.folded(range));
        }
        Ok(if is_negated { set.negated() } else { set })
    }

    fn class_item(&mut self, is_quoted: bool) -> Result<Escape, RegexError> {
        match self.next() {
            Some(b'\\') if !is_quoted => self.escape(true),
            Some(byte) => Ok(Escape::Byte(byte)),
            None => Err(self.error(ErrorKind::UnclosedClass)),
        }
    }

    /// After a byte in a class: the end of the range that it begins, if it begins one. Before a class escape or a
    /// POSIX class the hyphen is literal and is left to be read as such.
    fn range_end(&mut self, low: u8) -> Result<Option<u8>, RegexError> {
        let before = self.position;
        while self.eat(b"\\E") {}
        if !self.rest().starts_with(b"-") || matches!(self.rest().get(1), None | Some(b']')) {
            self.position = before;
            return Ok(None);
        }
        self.position += 1;
        if self.rest().starts_with(b"[") && self.posix_class().is_ok_and(|class| class.is_some()) {
            self.position = before;
            return Ok(None);
        }
        let is_quoted = self.eat(b"\\Q");
        if self.rest().starts_with(b"\\E") {
            self.position = before;
            return Ok(None);
        }
        let item = self.class_item(is_quoted)?;
        if is_quoted {
            // `[a-\Qz\E]`: the rest of the quotation, if any, is read as quoted again.
            if !self.rest().starts_with(b"\\E") {
                return Err(self.error(ErrorKind::Unsupported("a range into a longer \\Q…\\E")));
            }
        }
        match item {
            Escape::Byte(high) if high < low => Err(self.error(ErrorKind::RangeOutOfOrder)),
            Escape::Byte(high) => Ok(Some(high)),
            _ => {
                self.position = before;
                Ok(None)
            }
        }
    }

    /// `[:alpha:]`, `[:^alpha:]` at the position; `[` otherwise means itself.
    fn posix_class(&mut self) -> Result<Option<ByteSet>, RegexError> {
        let rest = self.rest();
        let kind = rest.get(1).copied();
        if !matches!(kind, Some(b':' | b'.' | b'=')) {
            return Ok(None);
        }
        let terminator = [kind.unwrap_or_default(), b']'];
        let Some(length) = memchr::memmem::find(rest.get(2..).unwrap_or_default(), &terminator) else {
            return Ok(None);
        };
        let name = rest.get(2..2 + length).unwrap_or_default();
        if name.iter().any(|byte| matches!(byte, b']' | b'\\' | b'[')) {
            return Ok(None);
        }
        if kind != Some(b':') {
            return Err(self.error(ErrorKind::Unsupported("a POSIX collating element")));
        }
        let (name, is_negated) = match name {
            [b'^', name @ ..] => (name, true),
            name => (name, false),
        };
        let Some(set) = posix_set(name) else { return Err(self.error(ErrorKind::UnknownPosixClass)) };
        let set = self.folded(set);
        self.position += length + 4;
        Ok(Some(if is_negated { set.negated() } else { set }))
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

fn hex(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or_default()
}

fn word() -> ByteSet {
    ByteSet::ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')])
}

/// `\d`, `\W` and the like. White space has the vertical tab, as in PCRE since 8.34.
fn class_escape(byte: u8) -> Option<ByteSet> {
    let set = match byte.to_ascii_lowercase() {
        b'd' => ByteSet::ranges(&[(b'0', b'9')]),
        b's' => ByteSet::ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        b'w' => word(),
        b'h' => ByteSet::ranges(&[(b'\t', b'\t'), (b' ', b' '), (0xa0, 0xa0)]),
        b'v' => ByteSet::ranges(&[(b'\n', b'\r'), (0x85, 0x85)]),
        _ => return None,
    };
    Some(if byte.is_ascii_uppercase() { set.negated() } else { set })
}

fn posix_set(name: &[u8]) -> Option<ByteSet> {
    Some(match name {
        b"alnum" => ByteSet::ranges(&[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
        b"alpha" => ByteSet::ranges(&[(b'A', b'Z'), (b'a', b'z')]),
        b"ascii" => ByteSet::ranges(&[(0, 0x7f)]),
        b"blank" => ByteSet::ranges(&[(b'\t', b'\t'), (b' ', b' ')]),
        b"cntrl" => ByteSet::ranges(&[(0, 0x1f), (0x7f, 0x7f)]),
        b"digit" => ByteSet::ranges(&[(b'0', b'9')]),
        b"graph" => ByteSet::ranges(&[(0x21, 0x7e)]),
        b"lower" => ByteSet::ranges(&[(b'a', b'z')]),
        b"print" => ByteSet::ranges(&[(0x20, 0x7e)]),
        b"punct" => ByteSet::ranges(&[(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e)]),
        b"space" => ByteSet::ranges(&[(b'\t', b'\r'), (b' ', b' ')]),
        b"upper" => ByteSet::ranges(&[(b'A', b'Z')]),
        b"word" => word(),
        b"xdigit" => ByteSet::ranges(&[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
        _ => return None,
    })
}

/// `\R`
fn newline_sequence() -> Node {
    let pair = Node::Concat(vec![Node::Set(ByteSet::of(b'\r')), Node::Set(ByteSet::of(b'\n'))]);
    let single = Node::Set(ByteSet::ranges(&[(b'\n', b'\r'), (0x85, 0x85)]));
    Node::Atomic(Box::new(Node::Alternate(vec![pair, single])))
}
