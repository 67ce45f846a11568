//! Message heads: the bytes as they were sent, and where in them everything is.
//!
//! A head owns its bytes (one `Bytes`) and a list of spans into them, so wire order, case, duplicates and the raw
//! request line stay what the client sent and the rules see evidence, not a normalised copy. The list is a `Vec` that
//! the connection keeps from request to request: after the first, parsing allocates nothing. A `HeaderMap` was
//! rejected: it loses order and case, and hashes every name.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Known, TargetForm};

/// A range of a head's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One behind the last byte.
    pub end: u32,
}

impl Span {
    /// From offsets; a head is far below 4 GiB, see `limits::REQUEST_HEAD_BYTES`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    /// The bytes; empty when the span is not within them.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// As far on as `by`.
    #[must_use]
    pub fn moved(self, by: usize) -> Self {
        Self::new(self.start as usize + by, self.end as usize + by)
    }
}

/// One header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field {
    /// The name, in its case.
    pub name: Span,
    /// The value without white space around it.
    pub value: Span,
    /// The name, if the gateway knows it.
    pub known: Known,
}

/// Header lines (or trailer lines) in wire order.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    pub(crate) bytes: Bytes,
    pub(crate) list: Vec<Field>,
}

impl Fields {
    /// From pairs, for heads that were never text (HTTP/2) and for tests.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut builder = FieldsBuilder::default();
        for (name, value) in pairs {
            builder.push(name, value);
        }
        builder.finish()
    }

    /// Names and values in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.list.iter().map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// Names, values, and what the gateway knows of the name.
    pub fn iter_known(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> + Clone {
        self.list.iter().map(|field| (field.known, field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// How many lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// No line at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All values of a known name.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> + Clone {
        self.list.iter().filter(move |field| field.known == known).map(|field| field.value.of(&self.bytes))
    }

    /// First value of a known name.
    #[must_use]
    pub fn first(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// First value of a known name, sharing the head's bytes; empty when there is none.
    #[must_use]
    pub fn first_shared(&self, known: Known) -> Bytes {
        self.first(known).map(|value| self.bytes.slice_ref(value)).unwrap_or_default()
    }

    /// A value of these lines, sharing their bytes; a copy of any other.
    #[must_use]
    pub fn share(&self, value: &[u8]) -> Bytes {
        let range = self.bytes.as_ptr_range();
        let is_ours = range.contains(&value.as_ptr()) && value.as_ptr_range().end <= range.end;
        if is_ours { self.bytes.slice_ref(value) } else { Bytes::copy_from_slice(value) }
    }

    /// Bytes of the text that the lines are part of.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// First value of any name.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Removes every line of a known name.
    pub fn remove(&mut self, known: Known) {
        self.list.retain(|field| field.known != known);
    }

    /// Keeps the first line of a known name only.
    pub fn keep_first(&mut self, known: Known) {
        let mut is_seen = false;
        self.list.retain(|field| field.known != known || !std::mem::replace(&mut is_seen, true));
    }

    /// Merges the lines of a known name into the first one, values joined with `, `. Rewrites the bytes; rare.
    pub fn merge(&mut self, known: Known) {
        if self.all(known).count() < 2 {
            return;
        }
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + 256);
        bytes.put_slice(&self.bytes);
        let start = bytes.len();
        for (index, value) in self.all(known).enumerate() {
            if index > 0 {
                bytes.put_slice(b", ");
            }
            bytes.put_slice(value);
        }
        let merged = Span::new(start, bytes.len());
        self.keep_first(known);
        for field in &mut self.list {
            if field.known == known {
                field.value = merged;
            }
        }
        self.bytes = bytes.freeze();
    }

    /// Does any value of this comma-separated header contain the token, whatever its case?
    #[must_use]
    pub fn has_token(&self, known: Known, token: &[u8]) -> bool {
        self.all(known).any(|value| tokens(value).any(|each| each.eq_ignore_ascii_case(token)))
    }
}

/// The members of a comma-separated value, trimmed, empty ones left out.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Builds [`Fields`] from names and values.
#[derive(Debug, Default)]
pub struct FieldsBuilder {
    bytes: BytesMut,
    list: Vec<Field>,
}

impl FieldsBuilder {
    /// With room for so many bytes and lines.
    #[must_use]
    pub fn with_capacity(bytes: usize, lines: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(bytes), list: Vec::with_capacity(lines) }
    }

    /// Appends a line.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.put_slice(name);
        let middle = self.bytes.len();
        self.bytes.put_slice(value);
        self.list.push(Field {
            name: Span::new(start, middle),
            value: Span::new(middle, self.bytes.len()),
            known: Known::of(name),
        });
    }

    /// The finished lines.
    #[must_use]
    pub fn finish(self) -> Fields {
        Fields { bytes: self.bytes.freeze(), list: self.list }
    }
}

/// Protocol version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1 and higher minors.
    #[default]
    Http11,
    /// HTTP/2, by the h2 adapter.
    Http2,
    /// Any other major in an HTTP/1 request line: shown to the rules, spoken to as 1.1, closed afterwards.
    Other,
}

/// A request head.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Header lines; their bytes are the head's.
    pub fields: Fields,
    pub(crate) line: Span,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) protocol: Span,
    pub(crate) form: TargetForm,
    pub(crate) path: Span,
    /// The version spoken.
    pub version: Version,
}

impl RequestHead {
    /// Builds one that was never text: the HTTP/2 adapter's. The raw line becomes `METHOD target HTTP/2.0`.
    #[must_use]
    pub fn synthesize<'a>(
        method: &[u8],
        target: &[u8],
        form: TargetForm,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut bytes = BytesMut::with_capacity(512);
        bytes.put_slice(method);
        let method = Span::new(0, bytes.len());
        bytes.put_u8(b' ');
        let start = bytes.len();
        bytes.put_slice(target);
        let target = Span::new(start, bytes.len());
        bytes.put_u8(b' ');
        let start = bytes.len();
        bytes.put_slice(b"HTTP/2.0");
        let protocol = Span::new(start, bytes.len());
        let line = Span::new(0, bytes.len());
        let mut builder = FieldsBuilder { bytes, list: Vec::with_capacity(16) };
        for (name, value) in fields {
            builder.push(name, value);
        }
        let mut head = Self {
            fields: builder.finish(),
            line,
            method,
            target,
            protocol,
            form,
            path: target,
            version: Version::Http2,
        };
        head.set_path();
        head
    }

    /// The request line as sent, without its line end.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.line.of(&self.fields.bytes)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.fields.bytes)
    }

    /// The target as sent.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.fields.bytes)
    }

    /// The protocol as sent, `HTTP/1.1`.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.protocol.of(&self.fields.bytes)
    }

    /// The form of the target.
    #[must_use]
    pub fn form(&self) -> TargetForm {
        self.form
    }

    /// Path and query for routing and for the backend; `/` for an absolute form without a path and for CONNECT, so
    /// that no backend is ever asked for a tunnel.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        self.path.of(&self.fields.bytes)
    }

    /// Works out the path once the target's form is known. An absolute form's empty path becomes `/`, which may need
    /// a byte that was not sent: it is put behind the head, where no line looks.
    pub(crate) fn set_path(&mut self) {
        let Span { start, end } = self.target;
        self.path = match self.form {
            TargetForm::Origin | TargetForm::Asterisk => self.target,
            TargetForm::Absolute { path, .. } => path.moved(start as usize),
            TargetForm::Authority => Span { start: end, end },
        };
        let is_asterisk = self.form == TargetForm::Asterisk;
        let path = self.path.of(&self.fields.bytes);
        if is_asterisk || path.first() == Some(&b'/') {
            return;
        }
        let mut bytes = BytesMut::with_capacity(self.fields.bytes.len() + path.len() + 1);
        bytes.put_slice(&self.fields.bytes);
        bytes.put_u8(b'/');
        bytes.put_slice(path);
        self.path = Span::new(self.fields.bytes.len(), bytes.len());
        self.fields.bytes = bytes.freeze();
    }

    /// Who is asked: the authority of an absolute form, else Host (or `:authority`). With port as sent.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        match self.form {
            TargetForm::Absolute { authority, .. } => {
                authority.moved(self.target.start as usize).of(&self.fields.bytes)
            }
            _ => self.fields.first(Known::Host).unwrap_or_default(),
        }
    }

    /// Empties it for the next request; the list keeps its memory.
    pub fn clear(&mut self) {
        self.fields.bytes = Bytes::new();
        self.fields.list.clear();
        (self.line, self.method, self.target, self.protocol, self.path) = <_>::default();
        self.form = TargetForm::Origin;
        self.version = Version::Http11;
    }
}

/// A response head.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Header lines; their bytes are the head's.
    pub fields: Fields,
    /// 100 to 999.
    pub status: u16,
    pub(crate) reason: Span,
    /// The version spoken.
    pub version: Version,
}

impl ResponseHead {
    /// Builds one that was never text: an HTTP/2 backend's.
    #[must_use]
    pub fn synthesize<'a>(status: u16, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self { fields: Fields::from_pairs(fields), status, reason: Span::default(), version: Version::Http2 }
    }

    /// The reason phrase as sent.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.fields.bytes)
    }

    /// Empties it for the next response; the list keeps its memory.
    pub fn clear(&mut self) {
        self.fields.bytes = Bytes::new();
        self.fields.list.clear();
        self.status = 0;
        self.reason = Span::default();
        self.version = Version::Http11;
    }
}
