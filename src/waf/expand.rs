//! Macros: `%{TX.score}` in messages, arguments and names of variables. Split once at compile time, put together at
//! run time.
//!
//! A macro whose variable does not exist, or has no value now, gives nothing. A `%{` without `}` is plain text.

use super::body::xml::XPath;
use super::collection::{Collector, Value, Variable, Wanted};
use super::number::{atoi, whole};
use super::program::{Program, RuleIndex, TxNames, TxSlot, XPathId};
use super::regex::Regex;
use super::scratch::Scratch;
use super::transaction::Transaction;

/// Text with its macros already found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    source: Box<[u8]>,
    segments: Box<[Segment]>,
}

/// A part of a [`Text`].
#[derive(Debug, Clone)]
enum Segment {
    /// As is.
    Literal(Box<[u8]>),
    /// A TX variable.
    Slot(TxSlot),
    /// Any other variable: the first of its values.
    Variable(Variable, Option<Box<[u8]>>),
    /// The first member of a collection whose name matches.
    Pattern(Variable, Regex),
    /// The first node that an XPath selects; prefixes have no meaning here.
    XPath(XPathId),
    /// A variable that does not exist.
    Nothing,
}

impl Text {
    /// Finds the macros of `text`. TX variables get slots.
    pub(crate) fn parse(text: &[u8], names: &mut TxNames) -> Self {
        let mut segments = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'%', rest) {
            let (before, from) = rest.split_at(at);
            let Some((inside, after)) = macro_at(from) else {
                literal.extend_from_slice(before);
                literal.push(b'%');
                rest = from.get(1..).unwrap_or_default();
                continue;
            };
            literal.extend_from_slice(before);
            if !literal.is_empty() {
                segments.push(Segment::Literal(std::mem::take(&mut literal).into_boxed_slice()));
            }
            segments.push(segment(inside, names));
            rest = after;
        }
        literal.extend_from_slice(rest);
        if !literal.is_empty() {
            segments.push(Segment::Literal(literal.into_boxed_slice()));
        }
        Self { source: text.into(), segments: segments.into_boxed_slice() }
    }

    /// As written.
    pub(crate) fn source(&self) -> &[u8] {
        &self.source
    }

    /// The text, when it has no macros.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match &*self.segments {
            [] => Some(&[]),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The first byte, when it is not a macro's.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        match self.segments.first() {
            Some(Segment::Literal(text)) => text.first().copied(),
            _ => None,
        }
    }

    /// What stands before the first macro.
    pub(crate) fn literal_prefix(&self) -> &[u8] {
        match self.segments.first() {
            Some(Segment::Literal(text)) => text,
            _ => &[],
        }
    }

    /// Is there a macro about such a variable?
    pub(crate) fn mentions(&self, wanted: impl Fn(Variable) -> bool) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Variable(variable, _) | Segment::Pattern(variable, _) => wanted(*variable),
            Segment::Slot(_) => wanted(Variable::Tx),
            Segment::XPath(_) => wanted(Variable::Xml),
            Segment::Literal(_) | Segment::Nothing => false,
        })
    }

    /// The TX variables that its macros name.
    pub(crate) fn slots(&self) -> impl Iterator<Item = TxSlot> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Slot(slot) => Some(*slot),
            _ => None,
        })
    }

    /// Does it have no macros but those that name TX variables?
    pub(crate) fn depends_on_slots(&self) -> bool {
        self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_) | Segment::Slot(_) | Segment::Nothing))
    }

    /// Does a macro look for members of this collection by other means than their names?
    pub(crate) fn searches(&self, collection: Variable) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Variable(variable, _) | Segment::Pattern(variable, _) => *variable == collection,
            _ => false,
        })
    }

    /// The expanded text, when it depends on TX alone and `slots` knows what is there.
    pub(crate) fn evaluate<'a>(&self, slots: impl Fn(TxSlot) -> Option<&'a [u8]>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text),
                Segment::Nothing => {}
                Segment::Slot(slot) => out.extend_from_slice(slots(*slot)?),
                Segment::Variable(..) | Segment::Pattern(..) | Segment::XPath(..) => return None,
            }
        }
        Some(out)
    }

    /// The number that the expanded text is, where that can be told without writing it: one that is written out, or a
    /// sign and a variable of TX that holds nothing but digits.
    pub(crate) fn amount(&self, transaction: &Transaction) -> Option<i64> {
        let slot = |slot: TxSlot| whole(transaction.tx.slot(slot)?.of(&transaction.arena));
        match &*self.segments {
            [Segment::Literal(text)] => Some(atoi(text)),
            [Segment::Literal(sign), Segment::Slot(name)] if **sign == *b"+" => slot(*name),
            [Segment::Literal(sign), Segment::Slot(name)] if **sign == *b"-" => slot(*name).map(|number| -number),
            _ => None,
        }
    }

    /// Appends the expanded text to `out`.
    pub(crate) fn expand(
        &self,
        program: &Program,
        transaction: &Transaction,
        scratch: &mut Scratch,
        rule: Option<RuleIndex>,
        out: &mut Vec<u8>,
    ) {
        self.expand_within(usize::MAX, program, transaction, scratch, rule, out);
    }

    /// Fills `out` up to so many bytes with the expanded text, of which the rest is left out.
    pub(crate) fn expand_within(
        &self,
        most: usize,
        program: &Program,
        transaction: &Transaction,
        scratch: &mut Scratch,
        rule: Option<RuleIndex>,
        out: &mut Vec<u8>,
    ) {
        let append = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(text.get(..most.saturating_sub(out.len())).unwrap_or(text));
        };
        for segment in &self.segments {
            let (variable, wanted) = match segment {
                Segment::Literal(text) => {
                    append(text, out);
                    continue;
                }
                Segment::Nothing => continue,
                Segment::Slot(slot) => {
                    if let Some(span) = transaction.tx.slot(*slot) {
                        append(span.of(&transaction.arena), out);
                    }
                    continue;
                }
                // What nearly every message about a match asks for.
                Segment::Variable(Variable::MatchedVar, _) => {
                    append(transaction.matched.last_value(), out);
                    continue;
                }
                Segment::Variable(Variable::MatchedVarName, _) => {
                    append(transaction.matched.last_name(), out);
                    continue;
                }
                Segment::Variable(variable, Some(key)) => (*variable, Wanted::Key(key)),
                Segment::Variable(variable, None) => (*variable, Wanted::All),
                Segment::Pattern(variable, regex) => (*variable, Wanted::Regex(regex, None)),
                Segment::XPath(id) => (Variable::Xml, Wanted::XPath(*id)),
            };
            with_first_value(variable, wanted, program, transaction, scratch, rule, |text| append(text, out));
        }
    }
}

/// Shows the first of the values that are wanted.
fn with_first_value(
    variable: Variable,
    wanted: Wanted<'_>,
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    rule: Option<RuleIndex>,
    show: impl FnOnce(&[u8]),
) {
    let mut values: Vec<Value> = std::mem::take(&mut scratch.macro_values);
    let mut text = std::mem::take(&mut scratch.macro_text);
    values.clear();
    text.clear();
    let mut collector = Collector { program, values: &mut values, text: &mut text, caches: &mut scratch.caches };
    transaction.collect(variable, wanted, rule, &mut collector);
    if let Some(value) = values.first() {
        show(transaction.bytes(program, &text, value.bytes));
    }
    scratch.macro_values = values;
    scratch.macro_text = text;
}

/// What is between the braces of a macro that begins `text`, and what follows it.
fn macro_at(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"%{")?;
    let end = memchr::memchr(b'}', inside)?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// `TX.score`, `REQUEST_HEADERS.Host`, `MATCHED_VAR`. A colon separates as well (libmodsecurity 3).
fn segment(inside: &[u8], names: &mut TxNames) -> Segment {
    let (name, key) = match memchr::memchr2(b'.', b':', inside) {
        Some(at) => (inside.get(..at).unwrap_or_default(), inside.get(at + 1..)),
        None => (inside, None),
    };
    let pattern = key.and_then(|key| key.strip_prefix(b"/")?.strip_suffix(b"/"));
    match (Variable::parse_ignoring_case(name), pattern) {
        // libmodsecurity 3 takes patterns here.
        (Some(variable), Some(pattern)) if !pattern.is_empty() && variable != Variable::Xml => {
            let regex = super::operate::pattern(pattern, true);
            regex.map_or(Segment::Nothing, |regex| Segment::Pattern(variable, regex))
        }
        (Some(Variable::Xml), _) => match key.map(|path| (path, XPath::compile(path, &[]))) {
            Some((path, Ok(xpath))) => Segment::XPath(names.xpath(path, xpath)),
            Some((_, Err(_))) => Segment::Nothing,
            None => Segment::Variable(Variable::Xml, None),
        },
        (Some(Variable::Tx), _) => key.map_or(Segment::Nothing, |key| Segment::Slot(names.intern(key))),
        (Some(variable), _) => Segment::Variable(variable, key.map(Into::into)),
        (None, _) => Segment::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_split() {
        let mut names = TxNames::new();
        let text = Text::parse(b"a %{tx.Score} 100% %{request_headers.Host}%{nope}%{x", &mut names);
        let score = names.find(b"score").expect("interned");
        let shown: Vec<String> = text.segments.iter().map(|segment| format!("{segment:?}")).collect();
        let literal = |text: &[u8]| format!("Literal({text:?})");
        let expected = [
            literal(b"a "),
            format!("Slot({score:?})"),
            literal(b" 100% "),
            format!("Variable(RequestHeaders, Some({:?}))", b"Host"),
            "Nothing".to_owned(),
            literal(b"%{x"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(Text::parse(b"plain", &mut names).literal(), Some(b"plain".as_slice()));
        assert_eq!(Text::parse(b"", &mut names).literal(), Some(b"".as_slice()));
    }
}
