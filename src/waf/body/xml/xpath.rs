//! A subset of XPath 1.0: location paths.
//!
//! `/a/b`, `a/b`, `//a`, `*`, `p:a`, `p:*`, `@x`, `@*`, `text()`, `node()`, `.`, the predicates `[2]`, `[last()]`,
//! `[a]`, `[@x]`, `[a='v']`, `[@x="v"]`, `[text()='v']`, `[.='v']`, and unions with `|`. Everything else is refused when
//! the rule is loaded. A name without a prefix is in no namespace; prefixes come from the rule's `xmlns` actions.
//!
//! Each step visits a node a bounded number of times, whatever the path.

use super::document::{Document, Name};

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XPath {
    paths: Vec<Vec<Step>>,
}

/// A path that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {position} of the XPath)")]
pub struct XPathError {
    /// Where in the path.
    pub position: usize,
    /// What is wrong.
    pub kind: XPathErrorKind,
}

/// What can be wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message")]
pub enum XPathErrorKind {
    #[error("a step of a location path is expected")]
    StepExpected,
    #[error("only names, positions and comparisons with a quoted text are supported in predicates")]
    UnsupportedPredicate,
    #[error("namespace prefix {0:?} is not declared by an xmlns action")]
    UnknownPrefix(String),
    #[error("steps after an attribute or a text")]
    StepAfterLeaf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    axis: Axis,
    test: Test,
    predicates: Vec<Predicate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Child,
    /// Before `//`: the nodes themselves and all within.
    DescendantOrSelf,
    Attribute,
    Itself,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Node,
    Text,
    /// Any name, perhaps of one namespace.
    Any(Option<Vec<u8>>),
    Named {
        namespace: Vec<u8>,
        local: Vec<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Predicate {
    Position(usize),
    Last,
    /// There is such a child or attribute, with this text.
    Has(Axis, Test, Option<Vec<u8>>),
}

/// A selected node, in document order among its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Selected {
    Node(usize),
    Attribute(usize),
}

impl XPath {
    /// Compiles a path; `namespaces` are prefixes and the namespaces they stand for.
    pub fn compile(path: &[u8], namespaces: &[(&[u8], &[u8])]) -> Result<Self, XPathError> {
        let mut compiler = Compiler { path, at: 0, namespaces };
        let mut paths = Vec::new();
        loop {
            paths.push(compiler.location_path()?);
            compiler.skip_space();
            if compiler.at == path.len() {
                return Ok(Self { paths });
            }
            if !compiler.eat(b"|") {
                return Err(compiler.error(XPathErrorKind::StepExpected));
            }
        }
    }

    /// The text of each selected node, in document order; attributes last.
    #[must_use]
    pub fn select<'d>(&self, document: &'d Document) -> Vec<&'d [u8]> {
        let mut selected: Vec<Selected> = Vec::new();
        for path in &self.paths {
            let mut current = vec![Selected::Node(0)];
            for step in path {
                current = step.apply(document, &current);
            }
            selected.append(&mut current);
        }
        if self.paths.len() > 1 {
            selected.sort_unstable();
            selected.dedup();
        }
        selected.iter().map(|selected| text(document, *selected)).collect()
    }
}

fn text(document: &Document, selected: Selected) -> &[u8] {
    match selected {
        Selected::Node(node) => document.nodes.get(node).map_or(&[], |node| document.node_text(node)),
        Selected::Attribute(attribute) => {
            document.attributes.get(attribute).map_or(&[], |attribute| document.attribute_value(attribute))
        }
    }
}

impl Step {
    fn apply(&self, document: &Document, contexts: &[Selected]) -> Vec<Selected> {
        let mut found = Vec::new();
        let mut candidates = Vec::new();
        let mut covered = 0;
        for context in contexts {
            let Selected::Node(node) = *context else {
                if self.axis == Axis::Itself {
                    found.push(*context);
                }
                continue;
            };
            candidates.clear();
            if self.axis == Axis::DescendantOrSelf {
                // Contexts come in document order: what an earlier one contains is there already.
                let end = document.nodes.get(node).map_or(0, |node| node.end);
                candidates.extend((node.max(covered)..end).map(Selected::Node));
                covered = covered.max(end);
            } else {
                candidates_of(document, node, self.axis, &mut candidates);
            }
            candidates.retain(|candidate| self.test.holds(document, *candidate));
            for predicate in &self.predicates {
                predicate.filter(document, &mut candidates);
            }
            found.append(&mut candidates);
        }
        if self.axis == Axis::Child && !found.is_sorted() {
            // Children of a node and of its descendants come mixed.
            found.sort_unstable();
        }
        found
    }
}

fn candidates_of(document: &Document, node: usize, axis: Axis, out: &mut Vec<Selected>) {
    match axis {
        Axis::Child => out.extend(document.children(node).map(Selected::Node)),
        Axis::Attribute => {
            let range = document.nodes.get(node).map_or(0..0, |node| node.attributes.clone());
            out.extend(range.map(Selected::Attribute));
        }
        Axis::Itself | Axis::DescendantOrSelf => out.push(Selected::Node(node)),
    }
}

impl Test {
    fn holds(&self, document: &Document, selected: Selected) -> bool {
        let is_named = |name: &Name| match self {
            Self::Any(None) => true,
            Self::Any(Some(namespace)) => document.namespace(name) == namespace.as_slice(),
            Self::Named { namespace, local } => {
                document.local_name(name) == local.as_slice() && document.namespace(name) == namespace.as_slice()
            }
            Self::Node | Self::Text => false,
        };
        match selected {
            Selected::Node(index) => document.nodes.get(index).is_some_and(|node| match self {
                Self::Node => true,
                Self::Text => !node.is_element,
                // The document itself has no name.
                _ => node.is_element && index > 0 && is_named(&node.name),
            }),
            Selected::Attribute(index) => {
                document.attributes.get(index).is_some_and(|attribute| *self == Self::Node || is_named(&attribute.name))
            }
        }
    }
}

impl Predicate {
    fn filter(&self, document: &Document, candidates: &mut Vec<Selected>) {
        match self {
            Self::Position(position) => {
                let chosen = position.checked_sub(1).and_then(|index| candidates.get(index)).copied();
                candidates.clear();
                candidates.extend(chosen);
            }
            Self::Last => {
                let chosen = candidates.last().copied();
                candidates.clear();
                candidates.extend(chosen);
            }
            Self::Has(axis, test, value) => {
                let mut inner = Vec::new();
                candidates.retain(|candidate| {
                    inner.clear();
                    match (*candidate, axis) {
                        (candidate, Axis::Itself) => inner.push(candidate),
                        (Selected::Node(node), axis) => candidates_of(document, node, *axis, &mut inner),
                        (Selected::Attribute(_), _) => {}
                    }
                    inner.iter().any(|selected| {
                        test.holds(document, *selected)
                            && value.as_ref().is_none_or(|value| text(document, *selected) == value.as_slice())
                    })
                });
            }
        }
    }
}

struct Compiler<'p> {
    path: &'p [u8],
    at: usize,
    namespaces: &'p [(&'p [u8], &'p [u8])],
}

impl<'p> Compiler<'p> {
    fn error(&self, kind: XPathErrorKind) -> XPathError {
        XPathError { position: self.at, kind }
    }

    fn rest(&self) -> &'p [u8] {
        self.path.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// Skips white space, then the text if it is next.
    fn eat(&mut self, text: &[u8]) -> bool {
        self.skip_space();
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn location_path(&mut self) -> Result<Vec<Step>, XPathError> {
        let everywhere = || Step { axis: Axis::DescendantOrSelf, test: Test::Node, predicates: Vec::new() };
        let mut steps = Vec::new();
        if self.eat(b"//") {
            steps.push(everywhere());
        } else {
            let is_absolute = self.eat(b"/");
            self.skip_space();
            if is_absolute && self.rest().is_empty() {
                return Ok(steps);
            }
        }
        loop {
            let (axis, test) = self.node_test()?;
            let is_leaf = axis == Axis::Attribute || test == Test::Text;
            let mut predicates = Vec::new();
            while self.eat(b"[") {
                predicates.push(self.predicate()?);
            }
            steps.push(Step { axis, test, predicates });
            if self.eat(b"//") {
                steps.push(everywhere());
            } else if !self.eat(b"/") {
                return Ok(steps);
            }
            if is_leaf {
                return Err(self.error(XPathErrorKind::StepAfterLeaf));
            }
        }
    }

    fn node_test(&mut self) -> Result<(Axis, Test), XPathError> {
        if self.eat(b".") && !self.rest().starts_with(b".") {
            return Ok((Axis::Itself, Test::Node));
        }
        let axis = if self.eat(b"@") || self.eat(b"attribute::") {
            Axis::Attribute
        } else {
            let _ = self.eat(b"child::");
            Axis::Child
        };
        self.skip_space();
        if axis == Axis::Child && self.eat(b"text()") {
            return Ok((axis, Test::Text));
        }
        if self.eat(b"node()") {
            return Ok((axis, Test::Node));
        }
        if self.eat(b"*") {
            return Ok((axis, Test::Any(None)));
        }
        let first = self.name()?;
        if !self.rest().starts_with(b":") || self.rest().starts_with(b"::") {
            return Ok((axis, Test::Named { namespace: Vec::new(), local: first.to_vec() }));
        }
        self.at += 1;
        let Some((_, namespace)) = self.namespaces.iter().find(|(prefix, _)| *prefix == first) else {
            let prefix = String::from_utf8_lossy(first).into_owned();
            return Err(self.error(XPathErrorKind::UnknownPrefix(prefix)));
        };
        let namespace = namespace.to_vec();
        if self.rest().starts_with(b"*") {
            self.at += 1;
            return Ok((axis, Test::Any(Some(namespace))));
        }
        let local = self.name()?.to_vec();
        Ok((axis, Test::Named { namespace, local }))
    }

    fn name(&mut self) -> Result<&'p [u8], XPathError> {
        let rest = self.rest();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | 0x80..);
        let length = rest.iter().take_while(|byte| is_name(byte)).count();
        let name = rest.get(..length).unwrap_or_default();
        if name.first().is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) {
            return Err(self.error(XPathErrorKind::StepExpected));
        }
        if rest.get(length) == Some(&b'(') {
            return Err(self.error(XPathErrorKind::StepExpected));
        }
        self.at += length;
        Ok(name)
    }

    /// After `[`.
    fn predicate(&mut self) -> Result<Predicate, XPathError> {
        self.skip_space();
        let unsupported = self.error(XPathErrorKind::UnsupportedPredicate);
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let predicate = if digits > 0 {
            let position = self
                .rest()
                .iter()
                .take(digits)
                .fold(0usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
            self.at += digits;
            Predicate::Position(position)
        } else if self.eat(b"last()") {
            Predicate::Last
        } else {
            let (axis, test) = self.node_test()?;
            let value = if self.eat(b"=") { Some(self.quoted().ok_or_else(|| unsupported.clone())?) } else { None };
            Predicate::Has(axis, test, value)
        };
        if self.eat(b"]") { Ok(predicate) } else { Err(unsupported) }
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        self.skip_space();
        let (quote, rest) = self.rest().split_first()?;
        if !matches!(quote, b'"' | b'\'') {
            return None;
        }
        let length = memchr::memchr(*quote, rest)?;
        self.at += length + 2;
        rest.get(..length).map(<[u8]>::to_vec)
    }
}
