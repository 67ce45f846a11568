//! Cuts a value into HTML tokens the way browsers do, lenient corners of old ones included.
//!
//! Called by `xss`, and by the test runner for libinjection's own cases. The states carry the names of the HTML
//! standard. Where a state has no token to give it sets the next one and goes round; nothing recurses, and the position
//! only moves forward.
//!
//! Two habits of the original that come from C and change verdicts: a NUL byte counts as white space, and the byte
//! 0xFF reads as the end of the value where white space is skipped.

use memchr::{memchr, memmem};

/// Where a value is thought to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Between tags.
    Data,
    /// In a tag, where an attribute begins.
    Tag,
    /// In an attribute's value, behind this quote.
    Quoted(u8),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the HTML standard")]
pub enum Kind {
    DataText,
    TagNameOpen,
    TagNameClose,
    TagNameSelfClose,
    TagClose,
    AttributeName,
    AttributeValue,
    TagComment,
    Doctype,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a [u8],
    /// Its text and everything behind it.
    pub(super) onwards: &'a [u8],
}

/// A value being cut into tokens.
#[derive(Debug)]
pub struct Tokenizer<'a> {
    input: &'a [u8],
    position: usize,
    state: State,
    is_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    End,
    Data,
    TagOpen,
    EndTagOpen,
    TagName,
    TagNameClose,
    BeforeAttributeName,
    AttributeName,
    AfterAttributeName,
    BeforeAttributeValue,
    QuotedValue(u8),
    UnquotedValue,
    AfterQuotedValue,
    SelfClosing,
    MarkupDeclaration,
    BogusComment,
    PercentComment,
}

impl<'a> Tokenizer<'a> {
    /// Begins with `input` as if it stood in `context`.
    #[must_use]
    pub const fn new(input: &'a [u8], context: Context) -> Self {
        let state = match context {
            Context::Data => State::Data,
            Context::Tag => State::BeforeAttributeName,
            Context::Quoted(quote) => State::QuotedValue(quote),
        };
        Self { input, position: 0, state, is_close: false }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.input.get(at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// The token from `start` to `end`; reading goes on at `position` in `state`.
    fn emit(&mut self, kind: Kind, start: usize, end: usize, position: usize, state: State) -> Option<Token<'a>> {
        self.position = position;
        self.state = state;
        let text = self.input.get(start..end).unwrap_or_default();
        Some(Token { kind, text, onwards: self.input.get(start..).unwrap_or_default() })
    }

    /// The rest of the value as one token.
    fn emit_rest(&mut self, kind: Kind) -> Option<Token<'a>> {
        let end = self.input.len();
        self.emit(kind, self.position, end, end, State::End)
    }

    /// Goes on at the next byte that is no white space, and gives it.
    fn skip_white(&mut self) -> Option<u8> {
        let white = self.rest().iter().take_while(|&&byte| is_white(byte)).count();
        self.position += white;
        self.byte(self.position).filter(|&byte| byte != 0xFF)
    }

    fn data(&mut self) -> Option<Token<'a>> {
        let Some(text) = memchr(b'<', self.rest()) else {
            return if self.rest().is_empty() { None } else { self.emit_rest(Kind::DataText) };
        };
        let (start, end) = (self.position, self.position + text);
        self.emit(Kind::DataText, start, end, end + 1, State::TagOpen)
    }

    fn tag_name(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        // A NUL byte belongs to the name: some old browsers ignored it.
        let ends_name = |byte: &u8| *byte != 0 && (is_white(*byte) || matches!(*byte, b'/' | b'>'));
        let Some(length) = self.rest().iter().position(ends_name) else {
            return self.emit_rest(Kind::TagNameOpen);
        };
        let end = start + length;
        match self.byte(end) {
            Some(b'/') => self.emit(Kind::TagNameOpen, start, end, end + 1, State::SelfClosing),
            Some(b'>') if self.is_close => {
                self.is_close = false;
                self.emit(Kind::TagClose, start, end, end + 1, State::Data)
            }
            Some(b'>') => self.emit(Kind::TagNameOpen, start, end, end, State::TagNameClose),
            _ => self.emit(Kind::TagNameOpen, start, end, end + 1, State::BeforeAttributeName),
        }
    }

    fn attribute_name(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        // Whatever the first byte is, it belongs to the name.
        let tail = self.input.get(start + 1..).unwrap_or_default();
        let Some(length) = tail.iter().position(|&byte| is_white(byte) || matches!(byte, b'/' | b'=' | b'>')) else {
            return self.emit_rest(Kind::AttributeName);
        };
        let end = start + 1 + length;
        let (position, state) = match self.byte(end) {
            Some(b'/') => (end + 1, State::SelfClosing),
            Some(b'=') => (end + 1, State::BeforeAttributeValue),
            Some(b'>') => (end, State::TagNameClose),
            _ => (end + 1, State::AfterAttributeName),
        };
        self.emit(Kind::AttributeName, start, end, position, state)
    }

    fn quoted_value(&mut self, quote: u8) -> Option<Token<'a>> {
        // At the very start the quote is only thought of, not there.
        if self.position > 0 {
            self.position += 1;
        }
        let start = self.position;
        let Some(length) = memchr(quote, self.rest()) else {
            return self.emit_rest(Kind::AttributeValue);
        };
        let end = start + length;
        self.emit(Kind::AttributeValue, start, end, end + 1, State::AfterQuotedValue)
    }

    fn unquoted_value(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        let Some(length) = self.rest().iter().position(|&byte| is_white(byte) || byte == b'>') else {
            return self.emit_rest(Kind::AttributeValue);
        };
        let end = start + length;
        if self.byte(end) == Some(b'>') {
            return self.emit(Kind::AttributeValue, start, end, end, State::TagNameClose);
        }
        self.emit(Kind::AttributeValue, start, end, end + 1, State::BeforeAttributeName)
    }

    fn markup_declaration(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        if rest.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"DOCTYPE")) {
            let start = self.position;
            return match memchr(b'>', rest) {
                Some(length) => self.emit(Kind::Doctype, start, start + length, start + length + 1, State::Data),
                None => self.emit_rest(Kind::Doctype),
            };
        }
        if rest.starts_with(b"[CDATA[") {
            self.position += 7;
            let start = self.position;
            return match memmem::find(self.rest(), b"]]>") {
                Some(length) => self.emit(Kind::DataText, start, start + length, start + length + 3, State::Data),
                None => self.emit_rest(Kind::DataText),
            };
        }
        if rest.starts_with(b"--") {
            self.position += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    /// A comment ends with `-->` or `-!>`, where NUL bytes may stand behind the first dash.
    fn comment(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        let mut search = start;
        loop {
            let Some(dash) = self.input.get(search..).and_then(|rest| memchr(b'-', rest)).map(|dash| search + dash)
            else {
                return self.emit_rest(Kind::TagComment);
            };
            let mut at = dash + 1;
            while self.byte(at) == Some(0) {
                at += 1;
            }
            match (self.byte(at), self.byte(at + 1)) {
                _ if dash + 3 > self.input.len() => return self.emit_rest(Kind::TagComment),
                (None, _) | (Some(b'-' | b'!'), None) => return self.emit_rest(Kind::TagComment),
                (Some(b'-' | b'!'), Some(b'>')) => {
                    return self.emit(Kind::TagComment, start, dash, at + 2, State::Data);
                }
                _ => search = dash + 1,
            }
        }
    }

    fn bogus_comment(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        match memchr(b'>', self.rest()) {
            Some(length) => self.emit(Kind::TagComment, start, start + length, start + length + 1, State::Data),
            None => self.emit_rest(Kind::TagComment),
        }
    }

    /// `<% … %>`, which old browsers took for a comment.
    fn percent_comment(&mut self) -> Option<Token<'a>> {
        let start = self.position;
        match memmem::find(self.rest(), b"%>") {
            Some(length) => self.emit(Kind::TagComment, start, start + length, start + length + 2, State::Data),
            None => self.emit_rest(Kind::TagComment),
        }
    }
}

impl<'a> Iterator for Tokenizer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            match self.state {
                State::End => return None,
                State::Data => {
                    let token = self.data()?;
                    if !token.text.is_empty() {
                        return Some(token);
                    }
                }
                State::TagOpen => match self.byte(self.position)? {
                    b'!' => {
                        self.position += 1;
                        self.state = State::MarkupDeclaration;
                    }
                    b'/' => {
                        self.position += 1;
                        self.is_close = true;
                        self.state = State::EndTagOpen;
                    }
                    b'?' => {
                        self.position += 1;
                        self.state = State::BogusComment;
                    }
                    b'%' => {
                        self.position += 1;
                        self.state = State::PercentComment;
                    }
                    0 | b'a'..=b'z' | b'A'..=b'Z' => self.state = State::TagName,
                    _ => {
                        let at = self.position;
                        return self.emit(Kind::DataText, at - 1, at, at, State::Data);
                    }
                },
                State::EndTagOpen => match self.byte(self.position)? {
                    // The original forgets here that this was a closing tag, so that the next tag becomes one.
                    b'>' => self.state = State::Data,
                    b'a'..=b'z' | b'A'..=b'Z' => self.state = State::TagName,
                    _ => {
                        self.is_close = false;
                        self.state = State::BogusComment;
                    }
                },
                State::TagName => return self.tag_name(),
                State::TagNameClose => {
                    self.is_close = false;
                    let at = self.position;
                    let state = if at + 1 < self.input.len() { State::Data } else { State::End };
                    return self.emit(Kind::TagNameClose, at, at + 1, at + 1, state);
                }
                State::BeforeAttributeName => match self.skip_white()? {
                    b'/' => {
                        self.position += 1;
                        self.state = State::SelfClosing;
                    }
                    b'>' => {
                        let at = self.position;
                        return self.emit(Kind::TagNameClose, at, at + 1, at + 1, State::Data);
                    }
                    _ => self.state = State::AttributeName,
                },
                State::AttributeName => return self.attribute_name(),
                State::AfterAttributeName => match self.skip_white()? {
                    b'/' => {
                        self.position += 1;
                        self.state = State::SelfClosing;
                    }
                    b'=' => {
                        self.position += 1;
                        self.state = State::BeforeAttributeValue;
                    }
                    b'>' => self.state = State::TagNameClose,
                    _ => self.state = State::AttributeName,
                },
                State::BeforeAttributeValue => {
                    self.state = match self.skip_white()? {
                        quote @ (b'"' | b'\'' | b'`') => State::QuotedValue(quote),
                        _ => State::UnquotedValue,
                    };
                }
                State::QuotedValue(quote) => return self.quoted_value(quote),
                State::UnquotedValue => return self.unquoted_value(),
                State::AfterQuotedValue => match self.byte(self.position)? {
                    b'/' => {
                        self.position += 1;
                        self.state = State::SelfClosing;
                    }
                    b'>' => {
                        let at = self.position;
                        return self.emit(Kind::TagNameClose, at, at + 1, at + 1, State::Data);
                    }
                    _ => self.state = State::BeforeAttributeName,
                },
                State::SelfClosing => {
                    let at = self.position;
                    if self.byte(at)? == b'>' {
                        return self.emit(Kind::TagNameSelfClose, at.saturating_sub(1), at + 1, at + 1, State::Data);
                    }
                    self.state = State::BeforeAttributeName;
                }
                State::MarkupDeclaration => return self.markup_declaration(),
                State::BogusComment => return self.bogus_comment(),
                State::PercentComment => return self.percent_comment(),
            }
        }
    }
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | 0x09..=0x0D)
}
