//! Text into a document, or what is wrong with it.

use std::collections::{HashMap, HashSet};

use super::document::{Attribute, Document, Name, Node};
use super::{Error, ErrorKind, Limits};

const XML_NAMESPACE: &[u8] = b"http://www.w3.org/XML/1998/namespace";

/// Entities noted from a document type.
const ENTITIES: usize = 1000;

/// Attributes of one element, and namespace declarations in force; both are looked up by comparing.
const ATTRIBUTES: usize = 256;

pub(super) fn scan(input: &[u8], limits: Limits) -> Result<Document, Error> {
    let document = Document { namespaces: vec![Vec::new(), XML_NAMESPACE.to_vec()], ..Document::default() };
    let mut scanner = Scanner {
        input,
        at: 0,
        limits,
        document,
        open: Vec::new(),
        scope: Vec::new(),
        entities: HashSet::new(),
        namespaces: HashMap::from([(Vec::new(), 0), (XML_NAMESPACE.to_vec(), 1)]),
        has_doctype: false,
        may_have_other_entities: false,
    };
    scanner.document()?;
    Ok(scanner.document)
}

/// An open element.
struct Open {
    node: usize,
    /// Its name in the input.
    name: std::ops::Range<usize>,
    /// Namespace declarations in force outside.
    scope_len: usize,
}

struct Scanner<'i> {
    input: &'i [u8],
    at: usize,
    limits: Limits,
    document: Document,
    open: Vec<Open>,
    /// Prefixes (none: the default) and namespaces in force.
    scope: Vec<(&'i [u8], usize)>,
    entities: HashSet<&'i [u8]>,
    namespaces: HashMap<Vec<u8>, usize>,
    has_doctype: bool,
    /// The document type has parts that are not read: an unknown entity may be declared there.
    may_have_other_entities: bool,
}

impl<'i> Scanner<'i> {
    fn error(&self, kind: ErrorKind) -> Error {
        Error { offset: self.at, kind }
    }

    fn rest(&self) -> &'i [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn skip_space(&mut self) -> bool {
        let count = self.rest().iter().take_while(|byte| is_space(**byte)).count();
        self.at += count;
        count > 0
    }

    fn document(&mut self) -> Result<(), Error> {
        if self.rest().starts_with(b"<?xml") && self.rest().get(5).is_some_and(|byte| is_space(*byte)) {
            self.declaration()?;
        }
        self.push_node(Node { is_element: true, end: 0, name: Name::default(), text: 0..0, attributes: 0..0 })?;
        self.misc(true)?;
        match self.rest() {
            [b'<', ..] => {}
            [] => return Err(self.error(ErrorKind::PrematureEnd)),
            _ => return Err(self.error(ErrorKind::RootMissing)),
        }
        self.tag()?;
        while !self.open.is_empty() {
            self.content()?;
        }
        self.misc(false)?;
        if !self.rest().is_empty() {
            return Err(self.error(ErrorKind::ExtraContent));
        }
        let (nodes, text) = (self.document.nodes.len(), self.document.text.len());
        if let Some(root) = self.document.nodes.first_mut() {
            root.end = nodes;
            root.text = 0..text;
        }
        Ok(())
    }

    /// `<?xml version="1.0" encoding="UTF-8" standalone="no"?>`
    fn declaration(&mut self) -> Result<(), Error> {
        let invalid = self.error(ErrorKind::InvalidInstruction);
        self.at += 5;
        let mut known: &[&[u8]] = &[b"version", b"encoding", b"standalone"];
        let mut has_version = false;
        loop {
            let has_space = self.skip_space();
            if self.eat(b"?>") {
                return if has_version { Ok(()) } else { Err(invalid) };
            }
            let Some(index) = known.iter().position(|name| self.rest().starts_with(name)) else { return Err(invalid) };
            if !has_space || (!has_version && index > 0) {
                return Err(invalid);
            }
            has_version = true;
            let name = known.get(index).copied().unwrap_or_default();
            known = known.get(index + 1..).unwrap_or_default();
            self.at += name.len();
            let value = self.declared_value().ok_or(invalid)?;
            let is_valid = match name {
                b"version" => value.strip_prefix(b"1.").is_some_and(|minor| minor.iter().all(u8::is_ascii_digit)),
                b"standalone" => matches!(value, b"yes" | b"no"),
                _ => {
                    value.first().is_some_and(u8::is_ascii_alphabetic)
                        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
                }
            };
            if !is_valid {
                return Err(invalid);
            }
        }
    }

    fn declared_value(&mut self) -> Option<&'i [u8]> {
        self.skip_space();
        if !self.eat(b"=") {
            return None;
        }
        self.skip_space();
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let length = memchr::memchr(quote, self.rest().get(1..)?)?;
        let value = self.rest().get(1..=length)?;
        self.at += length + 2;
        Some(value)
    }

    /// White space, comments, instructions, and before the root a document type.
    fn misc(&mut self, is_before_root: bool) -> Result<(), Error> {
        loop {
            self.skip_space();
            if self.rest().starts_with(b"<!--") {
                self.comment()?;
            } else if self.rest().starts_with(b"<?") {
                self.instruction()?;
            } else if is_before_root && !self.has_doctype && self.rest().starts_with(b"<!DOCTYPE") {
                self.doctype()?;
            } else {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<(), Error> {
        self.at += 4;
        let Some(length) = memchr::memmem::find(self.rest(), b"--") else {
            return Err(self.error(ErrorKind::PrematureEnd));
        };
        self.check_characters(length)?;
        self.at += length;
        if self.eat(b"-->") { Ok(()) } else { Err(self.error(ErrorKind::InvalidComment)) }
    }

    fn instruction(&mut self) -> Result<(), Error> {
        self.at += 2;
        let name = self.name()?;
        if name == b"xml" {
            return Err(self.error(ErrorKind::InvalidInstruction));
        }
        let Some(length) = memchr::memmem::find(self.rest(), b"?>") else {
            return Err(self.error(ErrorKind::PrematureEnd));
        };
        if length > 0 && !self.peek().is_some_and(is_space) {
            return Err(self.error(ErrorKind::InvalidInstruction));
        }
        self.check_characters(length)?;
        self.at += length + 2;
        Ok(())
    }

    /// Reads over a document type and notes which entities it declares.
    fn doctype(&mut self) -> Result<(), Error> {
        self.has_doctype = true;
        self.at += b"<!DOCTYPE".len();
        if !self.skip_space() {
            return Err(self.error(ErrorKind::InvalidDoctype));
        }
        self.name()?;
        self.skip_space();
        if self.rest().starts_with(b"SYSTEM") || self.rest().starts_with(b"PUBLIC") {
            self.may_have_other_entities = true;
            let literals = if self.rest().starts_with(b"SYSTEM") { 1 } else { 2 };
            self.at += 6;
            for _ in 0..literals {
                if !self.skip_space() {
                    return Err(self.error(ErrorKind::InvalidDoctype));
                }
                self.literal()?;
            }
            self.skip_space();
        }
        if self.eat(b"[") {
            self.internal_subset()?;
            self.skip_space();
        }
        if self.eat(b">") { Ok(()) } else { Err(self.error(ErrorKind::InvalidDoctype)) }
    }

    /// A quoted text.
    fn literal(&mut self) -> Result<(), Error> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(quote) = quote else { return Err(self.error(ErrorKind::InvalidDoctype)) };
        self.at += 1;
        let Some(length) = memchr::memchr(quote, self.rest()) else {
            return Err(self.error(ErrorKind::PrematureEnd));
        };
        self.check_characters(length)?;
        self.at += length + 1;
        Ok(())
    }

    fn internal_subset(&mut self) -> Result<(), Error> {
        loop {
            self.skip_space();
            if self.eat(b"]") {
                return Ok(());
            }
            if self.rest().starts_with(b"<!--") {
                self.comment()?;
            } else if self.rest().starts_with(b"<?") {
                self.instruction()?;
            } else if self.eat(b"%") {
                self.may_have_other_entities = true;
                self.name()?;
                if !self.eat(b";") {
                    return Err(self.error(ErrorKind::InvalidDoctype));
                }
            } else if self.rest().starts_with(b"<!") {
                self.markup_declaration()?;
            } else {
                let kind = if self.rest().is_empty() { ErrorKind::PrematureEnd } else { ErrorKind::InvalidDoctype };
                return Err(self.error(kind));
            }
        }
    }

    /// `<!ENTITY …>`, `<!ELEMENT …>`, `<!ATTLIST …>`, `<!NOTATION …>`
    fn markup_declaration(&mut self) -> Result<(), Error> {
        let is_entity = self.rest().starts_with(b"<!ENTITY");
        let kinds: [&[u8]; 4] = [b"<!ENTITY", b"<!ELEMENT", b"<!ATTLIST", b"<!NOTATION"];
        let Some(kind) = kinds.into_iter().find(|kind| self.rest().starts_with(kind)) else {
            return Err(self.error(ErrorKind::InvalidDoctype));
        };
        self.at += kind.len();
        if !self.skip_space() {
            return Err(self.error(ErrorKind::InvalidDoctype));
        }
        if is_entity && self.peek() != Some(b'%') {
            let name = self.name()?;
            if self.entities.len() < ENTITIES {
                self.entities.insert(name);
            } else {
                self.may_have_other_entities = true;
            }
        }
        loop {
            match self.peek() {
                Some(b'>') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"' | b'\'') => self.literal()?,
                Some(b'<') => return Err(self.error(ErrorKind::InvalidDoctype)),
                Some(_) => {
                    let length = self.rest().iter().take_while(|byte| !b">\"'<".contains(byte)).count();
                    self.check_characters(length)?;
                    self.at += length;
                }
                None => return Err(self.error(ErrorKind::PrematureEnd)),
            }
        }
    }

    fn name(&mut self) -> Result<&'i [u8], Error> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_name_byte(**byte)).count();
        let is_name = rest.first().is_some_and(|byte| !matches!(byte, b'-' | b'.' | b'0'..=b'9'));
        if length == 0 || !is_name {
            let kind = if rest.is_empty() { ErrorKind::PrematureEnd } else { ErrorKind::InvalidName };
            return Err(self.error(kind));
        }
        self.check_characters(length)?;
        self.at += length;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// Text, or one piece of markup.
    fn content(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        match rest {
            [] => Err(self.error(ErrorKind::PrematureEnd)),
            [b'<', b'/', ..] => self.end_tag(),
            [b'<', b'!', b'-', b'-', ..] => self.comment(),
            [b'<', b'!', b'[', ..] => self.cdata(),
            [b'<', b'?', ..] => self.instruction(),
            [b'<', ..] => self.tag(),
            _ => self.text(),
        }
    }

    fn cdata(&mut self) -> Result<(), Error> {
        if !self.eat(b"<![CDATA[") {
            return Err(self.error(ErrorKind::InvalidTag));
        }
        let Some(length) = memchr::memmem::find(self.rest(), b"]]>") else {
            return Err(self.error(ErrorKind::PrematureEnd));
        };
        self.check_characters(length)?;
        let start = self.document.text.len();
        let text = self.rest().get(..length).unwrap_or_default();
        push_lines(text, &mut self.document.text);
        self.at += length + 3;
        self.text_node(start)
    }

    fn text(&mut self) -> Result<(), Error> {
        let start = self.document.text.len();
        loop {
            let rest = self.rest();
            let length = memchr::memchr2(b'<', b'&', rest).unwrap_or(rest.len());
            let plain = rest.get(..length).unwrap_or_default();
            if let Some(offset) = memchr::memmem::find(plain, b"]]>") {
                self.at += offset;
                return Err(self.error(ErrorKind::CdataEndInText));
            }
            self.check_characters(length)?;
            push_lines(plain, &mut self.document.text);
            self.at += length;
            if self.peek() != Some(b'&') {
                return self.text_node(start);
            }
            let mut text = std::mem::take(&mut self.document.text);
            let result = self.reference(&mut text);
            self.document.text = text;
            result?;
        }
    }

    fn text_node(&mut self, start: usize) -> Result<(), Error> {
        let end = self.document.nodes.len() + 1;
        let text = start..self.document.text.len();
        if text.is_empty() {
            return Ok(());
        }
        self.push_node(Node { is_element: false, end, name: Name::default(), text, attributes: 0..0 })
    }

    fn push_node(&mut self, node: Node) -> Result<(), Error> {
        if self.document.nodes.len() + self.document.attributes.len() >= self.limits.nodes {
            return Err(self.error(ErrorKind::TooManyNodes));
        }
        self.document.nodes.push(node);
        Ok(())
    }

    /// At `&`: appends what it stands for.
    fn reference(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let invalid = self.error(ErrorKind::InvalidReference);
        let start = self.at;
        self.at += 1;
        if self.eat(b"#") {
            let radix = if self.eat(b"x") { 16 } else { 10 };
            let digits = self.rest().iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
            let value =
                self.rest().iter().take(digits).try_fold(0u32, |sum, digit| {
                    sum.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
                });
            self.at += digits;
            let character = value.and_then(char::from_u32).filter(|character| is_character(*character));
            let (Some(character), true, true) = (character, digits > 0, self.eat(b";")) else { return Err(invalid) };
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        let name = self.name().map_err(|_| invalid)?;
        if !self.eat(b";") {
            return Err(invalid);
        }
        match name {
            b"lt" => out.push(b'<'),
            b"gt" => out.push(b'>'),
            b"amp" => out.push(b'&'),
            b"apos" => out.push(b'\''),
            b"quot" => out.push(b'"'),
            name if self.may_have_other_entities || self.entities.contains(name) => {
                // Not expanded: rules see the reference itself.
                out.extend_from_slice(self.input.get(start..self.at).unwrap_or_default());
            }
            _ => return Err(Error { offset: start, kind: ErrorKind::UnknownEntity }),
        }
        Ok(())
    }

    /// A start tag.
    fn tag(&mut self) -> Result<(), Error> {
        self.at += 1;
        let name_start = self.at;
        let name = self.name()?;
        let name_range = name_start..self.at;
        let scope_len = self.scope.len();
        let mut attributes: Vec<(&'i [u8], std::ops::Range<usize>)> = Vec::new();
        let is_empty = loop {
            let has_space = self.skip_space();
            match self.rest() {
                [b'>', ..] => {
                    self.at += 1;
                    break false;
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    break true;
                }
                [] => return Err(self.error(ErrorKind::PrematureEnd)),
                _ if has_space => self.attribute(&mut attributes, scope_len)?,
                _ => return Err(self.error(ErrorKind::InvalidTag)),
            }
        };
        let first = self.document.attributes.len();
        let resolved = self.resolve(name, true);
        let node = self.document.nodes.len();
        let text = self.document.text.len();
        let nodes =
            Node { is_element: true, end: node + 1, name: resolved, text: text..text, attributes: first..first };
        self.push_node(nodes)?;
        for (name, value) in attributes {
            let name = self.resolve(name, false);
            if self.document.nodes.len() + self.document.attributes.len() >= self.limits.nodes {
                return Err(self.error(ErrorKind::TooManyNodes));
            }
            self.document.attributes.push(Attribute { name, value });
        }
        let last = self.document.attributes.len();
        if let Some(node) = self.document.nodes.get_mut(node) {
            node.attributes = first..last;
        }
        if is_empty {
            self.scope.truncate(scope_len);
            return Ok(());
        }
        if self.open.len() >= self.limits.depth {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.open.push(Open { node, name: name_range, scope_len });
        Ok(())
    }

    /// `scope_len`: namespace declarations in force outside this tag.
    fn attribute(
        &mut self,
        attributes: &mut Vec<(&'i [u8], std::ops::Range<usize>)>,
        scope_len: usize,
    ) -> Result<(), Error> {
        let name = self.name()?;
        self.skip_space();
        if !self.eat(b"=") {
            return Err(self.error(ErrorKind::InvalidAttribute));
        }
        self.skip_space();
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(quote) = quote else { return Err(self.error(ErrorKind::InvalidAttribute)) };
        self.at += 1;
        let start = self.document.values.len();
        loop {
            let rest = self.rest();
            let Some(length) = memchr::memchr3(quote, b'&', b'<', rest) else {
                return Err(self.error(ErrorKind::PrematureEnd));
            };
            self.check_characters(length)?;
            let plain = rest.get(..length).unwrap_or_default();
            push_attribute_text(plain, &mut self.document.values);
            self.at += length;
            match self.peek() {
                Some(b'&') => {
                    let mut values = std::mem::take(&mut self.document.values);
                    let result = self.reference(&mut values);
                    self.document.values = values;
                    result?;
                }
                Some(b'<') => return Err(self.error(ErrorKind::LessThanInAttribute)),
                _ => break,
            }
        }
        self.at += 1;
        let value = start..self.document.values.len();
        let prefix = match name.strip_prefix(b"xmlns") {
            Some([]) => Some(&b""[..]),
            Some([b':', prefix @ ..]) => Some(prefix),
            _ => None,
        };
        if let Some(prefix) = prefix {
            let bytes = self.document.values.get(value).unwrap_or_default().to_vec();
            self.document.values.truncate(start);
            if self.scope.iter().skip(scope_len).any(|(known, _)| *known == prefix) {
                return Err(self.error(ErrorKind::DuplicateAttribute));
            }
            let number = self.namespace_number(bytes);
            self.scope.push((prefix, number));
            if self.scope.len() > ATTRIBUTES {
                return Err(self.error(ErrorKind::TooManyNodes));
            }
            return Ok(());
        }
        if attributes.iter().any(|(known, _)| *known == name) {
            return Err(self.error(ErrorKind::DuplicateAttribute));
        }
        if attributes.len() >= ATTRIBUTES {
            return Err(self.error(ErrorKind::TooManyNodes));
        }
        attributes.push((name, value));
        Ok(())
    }

    fn namespace_number(&mut self, name: Vec<u8>) -> usize {
        let next = self.document.namespaces.len();
        *self.namespaces.entry(name).or_insert_with_key(|name| {
            self.document.namespaces.push(name.clone());
            next
        })
    }

    /// Prefix into namespace. A prefix that is not declared stays part of the name, as in libxml2.
    fn resolve(&mut self, name: &'i [u8], is_element: bool) -> Name {
        let colon = memchr::memchr(b':', name).filter(|at| *at > 0 && at + 1 < name.len());
        let (prefix, local) = match colon {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
            None => (&b""[..], name),
        };
        let namespace = match prefix {
            b"" if !is_element => Some(0),
            b"xml" => Some(1),
            prefix => self.scope.iter().rev().find(|(known, _)| *known == prefix).map(|(_, number)| *number),
        };
        let local = match (namespace, colon) {
            (None, Some(_)) => name,
            _ => local,
        };
        let start = self.document.names.len();
        self.document.names.extend_from_slice(local);
        Name { local: start..self.document.names.len(), namespace: namespace.unwrap_or_default() }
    }

    fn end_tag(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        self.skip_space();
        if !self.eat(b">") {
            let kind = if self.rest().is_empty() { ErrorKind::PrematureEnd } else { ErrorKind::InvalidTag };
            return Err(self.error(kind));
        }
        let mismatch = Error { offset: start, kind: ErrorKind::TagMismatch };
        let Some(open) = self.open.pop() else { return Err(mismatch) };
        if self.input.get(open.name.clone()) != Some(name) {
            return Err(mismatch);
        }
        self.scope.truncate(open.scope_len);
        let (nodes, text) = (self.document.nodes.len(), self.document.text.len());
        if let Some(node) = self.document.nodes.get_mut(open.node) {
            node.end = nodes;
            node.text.end = text;
        }
        Ok(())
    }

    /// The next bytes must be XML's characters, in UTF-8.
    fn check_characters(&self, length: usize) -> Result<(), Error> {
        let text = self.rest().get(..length).unwrap_or_default();
        let invalid = |offset: usize| Error { offset: self.at + offset, kind: ErrorKind::InvalidCharacter };
        let is_plain = text.iter().all(|byte| (0x20..0x80).contains(byte) || matches!(byte, b'\n' | b'\r' | b'\t'));
        if is_plain {
            return Ok(());
        }
        let text = std::str::from_utf8(text).map_err(|error| invalid(error.valid_up_to()))?;
        match text.char_indices().find(|(_, character)| !is_character(*character)) {
            Some((offset, _)) => Err(invalid(offset)),
            None => Ok(()),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Name characters; beyond ASCII all are taken.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.' | 0x80..)
}

fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\x20'..='\u{fffd}' | '\u{10000}'..)
}

/// Text with line ends as LF.
fn push_lines(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.push(b'\n');
        rest = after.get(1..).unwrap_or_default();
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    out.extend_from_slice(rest);
}

/// Attribute text with white space as blanks.
fn push_attribute_text(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' && bytes.peek() == Some(&b'\n') {
            continue;
        }
        out.push(if is_space(byte) { b' ' } else { byte });
    }
}
