//! YAML text to a tree of nodes that know where they stand.
//!
//! Used by the configuration, by case files and by the runner of Core Rule Set tests: whatever a person wrote is
//! reported with line and column. `serde` was left aside on purpose: it stops at the first problem and forgets
//! positions. Pure and bounded: bytes, depth, and nodes (aliases count what they copy) have limits, so that a
//! "billion laughs" document ends with a message.

use std::cell::Cell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::diagnostics::{Diagnostic, Diagnostics, Location, Position, Source};

/// What a text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YamlLimits {
    /// Longest text, and most text that all aliases together may add.
    pub bytes: usize,
    /// Most nodes of all documents, copies made by aliases included.
    pub nodes: usize,
    /// Deepest nesting.
    pub depth: usize,
}

impl YamlLimits {
    /// For a configuration or a test file: far above anything written by hand.
    pub const DEFAULT: Self = Self { bytes: 16 * 1024 * 1024, nodes: 1_000_000, depth: 64 };
}

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub position: Position,
    /// Bytes that it takes on its first line.
    pub length: usize,
    /// The tag as written after resolution of its handle, for example `tag:yaml.org,2002:binary`.
    pub tag: Option<String>,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A single text.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in order; keys are unique (a repeated one is an error).
    Mapping(Vec<(Node, Node)>),
}

/// A single text, with how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text with quotes and folding resolved.
    pub text: String,
    /// Written without quotes and not as a block: only then is it a number, a boolean or nothing.
    pub is_plain: bool,
}

impl Node {
    /// The location in `source`.
    pub fn location(&self, source: &Source) -> Location {
        Location { source: source.clone(), position: self.position }
    }

    /// An error about this node.
    pub fn error(&self, source: &Source, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.location(source), message).spanning(self.length)
    }

    /// What it is, for a message: `a list`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(_) if self.is_null() => "nothing",
            Value::Scalar(_) if self.as_bool().is_some() => "a boolean",
            Value::Scalar(_) if self.as_f64().is_some() => "a number",
            Value::Scalar(_) => "text",
        }
    }

    /// Is it nothing: an empty plain scalar, `~` or `null`?
    pub fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar, numbers and booleans included; `None` for nothing, lists and mappings.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// `true` or `false`, unquoted.
    pub fn as_bool(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// A whole number, unquoted: decimal, `0x` or `0o`.
    pub fn as_i64(&self) -> Option<i64> {
        let text = self.plain()?;
        if let Some(digits) = text.strip_prefix("0x") {
            return i64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with(['+', '-']));
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return i64::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with(['+', '-']));
        }
        text.parse().ok()
    }

    /// A number, unquoted.
    pub fn as_f64(&self) -> Option<f64> {
        if let Some(number) = self.as_i64() {
            return Some(number as f64);
        }
        let text = self.plain()?;
        // `parse` also takes `inf` and `nan`, which YAML spells with a dot.
        if text.bytes().any(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    }

    /// The elements of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a mapping.
    pub fn entries(&self) -> Option<&[(Self, Self)]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let mut entries = self.entries()?.iter();
        entries.find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text that may stand for something else than a string.
    fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_plain => Some(&scalar.text),
            _ => None,
        }
    }

    /// Nodes and bytes of text in it, itself included.
    fn weight(&self) -> (usize, usize) {
        match &self.value {
            Value::Scalar(scalar) => (1, scalar.text.len()),
            Value::Sequence(items) => add(items.iter().map(Self::weight)),
            Value::Mapping(entries) => add(entries.iter().flat_map(|(key, value)| [key.weight(), value.weight()])),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(entries) => {
                entries.iter().map(|(key, value)| key.depth().max(value.depth())).max().unwrap_or(0)
            }
        }
    }
}

fn add(weights: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    weights.fold((1, 0), |sum, weight| (sum.0 + weight.0, sum.1 + weight.1))
}

/// Reads all documents of a text.
///
/// Problems of structure (keys twice, an unknown alias) are all reported; a problem of syntax ends the reading there.
pub fn parse(source: &Source, limits: YamlLimits) -> Result<Vec<Node>, Diagnostics> {
    let mut builder = Builder::new(source, limits);
    match builder.run() {
        Ok(()) if !builder.problems.has_errors() => Ok(builder.documents),
        Ok(()) => Err(builder.problems),
        Err(fatal) => {
            builder.problems.push(fatal);
            Err(builder.problems)
        }
    }
}

/// Reads the one document of a text; an empty text is nothing.
pub fn parse_one(source: &Source, limits: YamlLimits) -> Result<Node, Diagnostics> {
    let mut documents = parse(source, limits)?;
    if let Some(second) = documents.get(1) {
        let mut problems = Diagnostics::new();
        problems.push(second.error(source, "a second document in one file").advise("remove the line `---`"));
        return Err(problems);
    }
    Ok(documents.pop().unwrap_or_else(|| Node {
        position: Position { line: 1, column: 1 },
        length: 0,
        tag: None,
        value: Value::Scalar(Scalar { text: String::new(), is_plain: true }),
    }))
}

/// A collection that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<Node>,
    /// Scalar keys seen, to find repeated ones.
    keys: HashMap<String, Position>,
    /// Did `<<` bring keys that one written later replaces?
    has_merged: bool,
}

struct Builder<'s> {
    source: &'s Source,
    limits: YamlLimits,
    documents: Vec<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
    problems: Diagnostics,
    /// Byte offset of the start of each line.
    line_starts: Vec<usize>,
    /// Line, column in characters and column in bytes of the last position: one long line is walked once.
    last: Cell<(usize, usize, usize)>,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source, limits: YamlLimits) -> Self {
        let starts = source.text().iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Self {
            source,
            limits,
            documents: Vec::new(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            copied_bytes: 0,
            problems: Diagnostics::new(),
            line_starts: std::iter::once(0).chain(starts).collect(),
            last: Cell::new((0, 0, 0)),
        }
    }

    fn run(&mut self) -> Result<(), Diagnostic> {
        let source = self.source;
        if source.text().len() > self.limits.bytes {
            return Err(Diagnostic::error(None, format!("{} is larger than {} bytes", self.name(), self.limits.bytes)));
        }
        let text = std::str::from_utf8(source.text()).map_err(|error| {
            let position = source.position(error.valid_up_to());
            Diagnostic::error(Location { source: source.clone(), position }, "not UTF-8")
        })?;
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(error.marker(), error.info()))?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.source.path().display().to_string()
    }

    fn syntax_error(&self, marker: &Marker, info: &str) -> Diagnostic {
        let location = Location { source: self.source.clone(), position: self.position(marker) };
        Diagnostic::error(location, format!("not valid YAML: {info}"))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text_tag = tag.as_ref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let is_plain = style == ScalarStyle::Plain && !is_text_tag;
                let value = Value::Scalar(Scalar { text: text.into_owned(), is_plain });
                let node = self.node(span, tag.as_deref(), value)?;
                self.complete(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let node = self.node(span, tag.as_deref(), Value::Sequence(Vec::new()))?;
                self.open(node, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let node = self.node(span, tag.as_deref(), Value::Mapping(Vec::new()))?;
                self.open(node, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.complete(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let position = self.position(&span.start);
                let Some(node) = self.anchors.get(&anchor) else {
                    // A syntax error of the parser covers unknown names; this is an alias inside its own anchor.
                    let location = Location { source: self.source.clone(), position };
                    return Err(Diagnostic::error(location, "an alias to something that is not complete yet"));
                };
                let (nodes, bytes) = node.weight();
                self.copied_bytes += bytes;
                let is_deep = node.depth() + self.stack.len() > self.limits.depth;
                if self.copied_bytes > self.limits.bytes || is_deep || self.nodes + nodes > self.limits.nodes {
                    let location = Location { source: self.source.clone(), position };
                    return Err(Diagnostic::error(location, "aliases make this document too large"));
                }
                // The copy stands where the alias does, so that a message points to the use.
                let copy = Node { position, length: span.len(), ..node.clone() };
                self.nodes += nodes;
                self.complete(copy, 0)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(()),
        }
    }

    fn node(&mut self, span: Span, tag: Option<&Tag>, value: Value) -> Result<Node, Diagnostic> {
        let position = self.position(&span.start);
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let location = Location { source: self.source.clone(), position };
            return Err(Diagnostic::error(location, format!("more than {} values", self.limits.nodes)));
        }
        let is_one_line = span.start.line() == span.end.line();
        let length = if is_one_line { self.position(&span.end).column.saturating_sub(position.column) } else { 1 };
        let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
        Ok(Node { position, length: length as usize, tag, value })
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if self.stack.len() >= self.limits.depth {
            return Err(node.error(self.source, format!("nested deeper than {}", self.limits.depth)));
        }
        self.stack.push(Open { node, anchor, key: None, keys: HashMap::new(), has_merged: false });
        Ok(())
    }

    /// A value is whole: give it its name and its place.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if anchor > 0 {
            // The anchor's own copy counts like any other.
            let (nodes, bytes) = node.weight();
            self.nodes += nodes;
            self.copied_bytes += bytes;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::Scalar(_) => {}
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match open.key.take() {
                None => {
                    if let Value::Scalar(scalar) = &node.value {
                        match open.keys.entry(scalar.text.clone()) {
                            Entry::Vacant(entry) => {
                                entry.insert(node.position);
                            }
                            Entry::Occupied(first) => {
                                let message = format!("the key `{}` stands twice", scalar.text);
                                let advice = format!("it is first on line {}", first.get().line);
                                self.problems.push(node.error(self.source, message).advise(advice));
                            }
                        }
                    }
                    open.key = Some(node);
                }
                Some(key) if matches!(&key.value, Value::Scalar(s) if s.is_plain && s.text == "<<") => {
                    open.has_merged = true;
                    merge(entries, node, self.source, &mut self.problems);
                }
                Some(key) => {
                    // What a merge brought gives way to what is written.
                    if open.has_merged
                        && let Some(text) = key.as_str()
                    {
                        entries.retain(|(known, _)| known.as_str() != Some(text));
                    }
                    entries.push((key, node));
                }
            },
        }
        Ok(())
    }

    /// The parser counts columns from 0 in characters; messages count from 1 in bytes.
    fn position(&self, marker: &Marker) -> Position {
        let line = marker.line().max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_else(|| self.source.text().len());
        let rest = self.source.text().get(start..).unwrap_or_default();
        let (last_line, last_column, last_bytes) = self.last.get();
        let (column, from) =
            if last_line == line && last_column <= marker.col() { (last_column, last_bytes) } else { (0, 0) };
        let tail = rest.get(from..).unwrap_or_default();
        let boundaries = tail.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
        let bytes = from + boundaries.map(|(at, _)| at).nth(marker.col() - column).unwrap_or(tail.len());
        self.last.set((line, marker.col(), bytes));
        Position { line: line as u32, column: bytes as u32 + 1 }
    }
}

/// `<<: *name`, or a list of them: keys that are not there yet.
fn merge(entries: &mut Vec<(Node, Node)>, node: Node, source: &Source, problems: &mut Diagnostics) {
    let parts = match node.value {
        Value::Sequence(parts) => parts,
        value => vec![Node { value, ..node }],
    };
    let mut known: HashSet<String> = entries.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect();
    for part in parts {
        let Value::Mapping(pairs) = part.value else {
            problems.push(part.error(source, format!("`<<` takes a mapping, this is {}", part.kind())));
            continue;
        };
        for (key, value) in pairs {
            if key.as_str().is_none_or(|text| known.insert(text.to_owned())) {
                entries.push((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("t.yaml", text)
    }

    fn one(text: &str) -> Node {
        parse_one(&source(text), YamlLimits::DEFAULT).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn problems(text: &str) -> String {
        problems_within(text, YamlLimits::DEFAULT)
    }

    fn problems_within(text: &str, limits: YamlLimits) -> String {
        parse_one(&source(text), limits).expect_err("should be refused").to_string()
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        let node = one("[1, -2, 0x10, 1.5, 1e3, 0o17, true, 'true', ~, \"null\", text, inf, 1.2.3]");
        let kinds: Vec<_> = node.items().unwrap().iter().map(Node::kind).collect();
        let (number, text) = ("a number", "text");
        let numbers = [number; 6];
        assert_eq!(kinds[..6], numbers);
        assert_eq!(kinds[6..], ["a boolean", text, "nothing", text, text, text, text]);
        assert_eq!(one("0x10").as_i64(), Some(16));
        assert_eq!(one("0o17").as_i64(), Some(15));
        assert_eq!(one("'12'").as_i64(), None);
        assert_eq!(one("12").as_str(), Some("12"));
        assert_eq!(one("").as_str(), None);
        assert!(one("!!str 12").as_i64().is_none());
        assert_eq!(one("!!binary YQ==").tag.as_deref(), Some("tag:yaml.org,2002:binary"));
    }

    #[test]
    fn positions_count_bytes_from_one() {
        let node = one("a: 1\nlist:\n  - x\n  - {ä: 'ö', b: yes}\n");
        let list = node.get("list").unwrap().items().unwrap();
        assert_eq!(list[0].position, Position { line: 3, column: 5 });
        let b = &list[1].entries().unwrap()[1].0;
        assert_eq!((b.position, b.length), (Position { line: 4, column: 16 }, 1));
    }

    #[test]
    fn block_scalars_keep_their_lines() {
        let node = one("a: |\n  one\n\n  two\nb: >-\n  x\n  y\nc: |+\n  z\n\n");
        assert_eq!(node.get("a").unwrap().as_str(), Some("one\n\ntwo\n"));
        assert_eq!(node.get("b").unwrap().as_str(), Some("x y"));
        assert_eq!(node.get("c").unwrap().as_str(), Some("z\n\n"));
        assert_eq!(one("a: |\n  12\n").get("a").unwrap().as_i64(), None);
    }

    #[test]
    fn repeated_keys_are_all_reported() {
        let text = problems("a: 1\nb: {c: 1, c: 2}\na: 3\n");
        assert!(text.contains("t.yaml:2:11: error: the key `c` stands twice"), "{text}");
        assert!(text.contains("t.yaml:3:1: error: the key `a` stands twice"), "{text}");
    }

    #[test]
    fn aliases_are_copies_and_merges_give_way() {
        let node = one("base: &base {a: 1, b: 2}\nuse:\n  b: 3\n  <<: *base\nplain: *base\n");
        let used = node.get("use").unwrap();
        assert_eq!(used.get("a").unwrap().as_i64(), Some(1));
        assert_eq!(used.get("b").unwrap().as_i64(), Some(3));
        assert_eq!(node.get("plain").unwrap().position.line, 5);
        let first = one("base: &base {b: 2}\nuse:\n  <<: *base\n  b: 3\n");
        assert_eq!(first.get("use").unwrap().entries().unwrap().len(), 1);
        assert_eq!(first.get("use").unwrap().get("b").unwrap().as_i64(), Some(3));
    }

    #[test]
    fn laughs_nesting_and_size_are_bounded() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let list = vec![format!("*a{below}"); 10].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(problems(&laughs).contains("too large"));
        assert!(problems("a: &a [*a]\n").contains("not complete"));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(problems(&deep).contains("nested deeper"), "{}", problems(&deep));
        let tiny = YamlLimits { bytes: 4, ..YamlLimits::DEFAULT };
        assert!(problems_within("abcdef", tiny).contains("larger than 4 bytes"));
        let few = YamlLimits { nodes: 4, ..YamlLimits::DEFAULT };
        assert!(problems_within("[1, 2, 3, 4]", few).contains("more than 4 values"));
    }

    #[test]
    fn broken_text_has_a_place() {
        let text = problems("a: [1, 2\nb: 3\n");
        assert!(text.starts_with("t.yaml:2:"), "{text}");
        assert!(text.contains("not valid YAML"), "{text}");
        let bytes = Source::new("t.yaml", &b"a: \xff\n"[..]);
        let text = parse_one(&bytes, YamlLimits::DEFAULT).expect_err("not UTF-8").to_string();
        assert!(text.starts_with("t.yaml:1:4: error: not UTF-8"), "{text}");
        assert!(problems("a: 1\n---\nb: 2\n").contains("second document"));
    }

    #[test]
    fn all_documents_of_a_stream_are_read() {
        let documents = parse(&source("---\na: 1\n---\nb: 2\n"), YamlLimits::DEFAULT).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(one(""), parse_one(&source("# nothing\n"), YamlLimits::DEFAULT).unwrap());
    }
}
