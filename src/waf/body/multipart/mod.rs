//! `multipart/form-data`, read as ModSecurity 2 reads it, with every flag it raises.
//!
//! The reading is line by line, as there: a line that begins with `--` and the boundary ends a part; other lines that
//! look like one raise [`Flags::has_unmatched_boundary`]. What upload parsers are known to disagree about raises a
//! flag of its own, and what cannot be read is an [`Error`] (REQBODY_ERROR). The rules decide about flags.
//!
//! The content type is read by [`Boundary::parse`], the body by [`Parser`]. Field values are slices of the body when
//! they lie within one chunk; file contents stream through the sink. Memory: one line of 4 kB, one part's headers,
//! one field's value.

mod boundary;
mod part;

use memchr::memmem;

pub use boundary::Boundary;
pub use part::Part;

use super::Piece;

/// Longest line of a part's header, and how far into a line boundaries are looked for: ModSecurity's buffer.
pub const LINE_BYTES: usize = 4096;

/// Takes what is found, in order.
pub trait Sink {
    /// A field, complete.
    fn field(&mut self, part: &Part, value: Piece<'_>);

    /// The next bytes of a file.
    fn file_data(&mut self, part: &Part, data: &[u8]) {
        let _ = (part, data);
    }

    /// A file, complete.
    fn file(&mut self, part: &Part, file_name: &[u8], size: u64);
}

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Parts; one more is an error.
    pub parts: usize,
    /// Header lines of one part; one more is an error.
    pub part_headers: usize,
    /// Files; more raise [`Flags::is_file_limit_exceeded`] (SecUploadFileLimit).
    pub files: usize,
    /// Header lines and field values together, in bytes; more is an error (SecRequestBodyNoFilesLimit).
    pub no_files_bytes: usize,
}

/// What was noticed, under ModSecurity's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// The body could not be read (part of MULTIPART_STRICT_ERROR).
    pub has_error: bool,
    /// BQ, MULTIPART_BOUNDARY_QUOTED
    pub is_boundary_quoted: bool,
    /// BW, MULTIPART_BOUNDARY_WHITESPACE
    pub has_boundary_whitespace: bool,
    /// DB, MULTIPART_DATA_BEFORE
    pub has_data_before: bool,
    /// DA, MULTIPART_DATA_AFTER
    pub has_data_after: bool,
    /// HF, MULTIPART_HEADER_FOLDING
    pub has_header_folding: bool,
    /// LF, MULTIPART_LF_LINE
    pub has_lf_line: bool,
    /// A line ended in CR LF. With `has_lf_line`: MULTIPART_CRLF_LF_LINES.
    pub has_crlf_line: bool,
    /// SM, MULTIPART_MISSING_SEMICOLON
    pub is_semicolon_missing: bool,
    /// IQ, MULTIPART_INVALID_QUOTING
    pub has_invalid_quoting: bool,
    /// IP, MULTIPART_INVALID_PART
    pub has_invalid_part: bool,
    /// IH, MULTIPART_INVALID_HEADER_FOLDING
    pub has_invalid_header_folding: bool,
    /// FL, MULTIPART_FILE_LIMIT_EXCEEDED
    pub is_file_limit_exceeded: bool,
    /// MULTIPART_UNMATCHED_BOUNDARY, which is not part of MULTIPART_STRICT_ERROR
    pub has_unmatched_boundary: bool,
}

impl Flags {
    /// MULTIPART_STRICT_ERROR
    #[must_use]
    pub fn is_strict_error(&self) -> bool {
        self.has_error
            || self.is_boundary_quoted
            || self.has_boundary_whitespace
            || self.has_data_before
            || self.has_data_after
            || self.has_header_folding
            || self.has_lf_line
            || self.is_semicolon_missing
            || self.has_invalid_quoting
            || self.has_invalid_part
            || self.has_invalid_header_folding
            || self.is_file_limit_exceeded
    }

    /// MULTIPART_CRLF_LF_LINES
    #[must_use]
    pub fn has_mixed_lines(&self) -> bool {
        self.has_crlf_line && self.has_lf_line
    }
}

/// Why a body is refused, in ModSecurity's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is said by its message")]
pub enum Error {
    #[error("Multipart: Content-Type header not available.")]
    ContentTypeMissing,
    #[error("Multipart: Invalid MIME type.")]
    InvalidMimeType,
    #[error("Multipart: Multiple boundary parameters in C-T.")]
    SeveralBoundaries,
    #[error("Multipart: Boundary not found in C-T.")]
    BoundaryMissing,
    #[error("Multipart: Invalid boundary in C-T ({0}).")]
    InvalidBoundaryParameter(&'static str),
    #[error("Multipart: Invalid boundary ({0}).")]
    InvalidBoundary(&'static str),
    #[error("Multipart: Invalid boundary: {}", line.escape_ascii())]
    InvalidBoundaryLine { line: Vec<u8> },
    #[error("Multipart: Nul byte in part headers.")]
    NulInHeaders,
    #[error("Multipart: Part missing Content-Disposition header.")]
    DispositionMissing,
    #[error("Multipart: Invalid Content-Disposition header ({code}): {}.", value.escape_ascii())]
    InvalidDisposition { code: i8, value: Vec<u8> },
    #[error("Multipart: Invalid Content-Disposition header (filename).")]
    InvalidDispositionFileName,
    #[error("Multipart: Content-Disposition header missing name field.")]
    NameMissing,
    #[error("Multipart: Invalid part header (folding error).")]
    Folding,
    #[error("Multipart: Part header too long.")]
    HeaderTooLong,
    #[error("Multipart: Part header line over {LINE_BYTES} bytes long")]
    HeaderLineTooLong,
    #[error("Multipart: Too many part headers.")]
    TooManyHeaders,
    #[error("Multipart: Invalid part header (colon missing): {}.", line.escape_ascii())]
    ColonMissing { line: Vec<u8> },
    #[error("Multipart: Invalid part header (header name missing).")]
    HeaderNameMissing,
    #[error("Multipart: Invalid part header (contains invalid character).")]
    InvalidHeaderName,
    #[error("Multipart: Duplicate part header: {}.", name.escape_ascii())]
    DuplicateHeader { name: Vec<u8> },
    #[error("Multipart: Final boundary missing.")]
    FinalBoundaryMissing,
    #[error("Multipart: No boundaries found in payload.")]
    NoBoundaries,
    #[error("Multipart: Too many parts.")]
    TooManyParts,
    #[error("Multipart: Request body no files data length is larger than the configured limit.")]
    NoFilesLimit,
}

/// What there is to say about a body once it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was noticed.
    pub flags: Flags,
    /// Why reading ended early.
    pub error: Option<Error>,
    /// MULTIPART_NAME: the last `name` of a content disposition.
    pub name: Option<Vec<u8>>,
    /// MULTIPART_FILENAME: the last `filename`.
    pub file_name: Option<Vec<u8>>,
    /// Header lines and field values together.
    pub no_files_bytes: usize,
}

/// Reads a whole body.
pub fn parse(boundary: Boundary, input: &[u8], limits: Limits, sink: &mut impl Sink) -> Outcome {
    let mut parser = Parser::new(boundary, limits);
    // What it fails with is in the outcome as well.
    parser.feed(input, sink).ok();
    parser.finish(sink)
}

/// How the last line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Other,
    Lf,
    CrLf,
}

/// Reads a body that arrives in chunks.
#[derive(Debug)]
pub struct Parser {
    boundary: Boundary,
    /// Looks for `--` and the boundary anywhere in a line.
    finder: memmem::Finder<'static>,
    limits: Limits,
    flags: Flags,
    error: Option<Error>,
    /// Bytes before the current chunk.
    consumed: usize,
    /// The unfinished line (or part of a long one), from earlier chunks.
    line: Vec<u8>,
    /// Does `line` begin a line, or go on with one of more than [`LINE_BYTES`]?
    is_at_line_start: bool,
    line_end: LineEnd,
    boundaries: usize,
    is_complete: bool,
    part: Option<Box<Building>>,
    name: Option<Vec<u8>>,
    file_name: Option<Vec<u8>>,
    parts: usize,
    files: usize,
    no_files_bytes: usize,
}

/// The part being read.
#[derive(Debug, Default)]
struct Building {
    part: Part,
    headers: part::Headers,
    has_data: bool,
    in_data: bool,
    /// Offset of the first byte of data that the sink does not have.
    start: usize,
    /// Offset behind the data so far, without the line end that would belong to a boundary.
    end: usize,
    /// The bytes from `start` on that lie in earlier chunks.
    carry: Vec<u8>,
    size: u64,
}

impl Parser {
    /// For one body.
    #[must_use]
    pub fn new(boundary: Boundary, limits: Limits) -> Self {
        let finder = memmem::Finder::new(&[b"--", boundary.bytes()].concat()).into_owned();
        let flags = boundary.flags();
        Self {
            boundary,
            finder,
            limits,
            flags,
            error: None,
            consumed: 0,
            line: Vec::new(),
            is_at_line_start: true,
            line_end: LineEnd::Other,
            boundaries: 0,
            is_complete: false,
            part: None,
            name: None,
            file_name: None,
            parts: 0,
            files: 0,
            no_files_bytes: 0,
        }
    }

    /// The next bytes. After an error nothing more is read.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        if self.error.is_none()
            && let Err(error) = self.advance(chunk, sink)
        {
            self.flags.has_error = true;
            self.error = Some(error);
        }
        self.consumed += chunk.len();
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The end of the body.
    pub fn finish(mut self, sink: &mut impl Sink) -> Outcome {
        if self.error.is_none() && self.consumed > 0 && !self.is_complete {
            self.error = self.unfinished(sink).err();
        }
        Outcome {
            flags: self.flags,
            error: self.error,
            name: self.name,
            file_name: self.file_name,
            no_files_bytes: self.no_files_bytes,
        }
    }

    /// A final boundary without a line end is still one.
    fn unfinished(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        if self.boundaries == 0 {
            return Err(Error::NoBoundaries);
        }
        let is_final = self.is_at_line_start
            && self
                .line
                .strip_prefix(b"--")
                .and_then(|line| line.strip_prefix(self.boundary.bytes()))
                .is_some_and(|rest| rest == b"--");
        if !is_final {
            return Err(Error::FinalBoundaryMissing);
        }
        if self.line_end == LineEnd::Lf {
            self.flags.has_lf_line = true;
        }
        if self.part.as_ref().is_none_or(|part| !part.has_data) {
            self.flags.has_invalid_part = true;
        }
        self.end_part(&[], sink)?;
        self.is_complete = true;
        Ok(())
    }

    fn advance(&mut self, chunk: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            if self.is_complete {
                self.flags.has_data_after = true;
                return Ok(());
            }
            let Some(length) = self.segment(rest) else {
                self.line.extend_from_slice(rest);
                break;
            };
            let piece = rest.get(..length).unwrap_or_default();
            let end = self.consumed + at + length;
            if self.line.is_empty() {
                self.line(piece, end, chunk, sink)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(piece);
                self.line(&line, end, chunk, sink)?;
                line.clear();
                self.line = line;
            }
            at += length;
        }
        self.keep(chunk, sink);
        Ok(())
    }

    /// How many bytes of `rest` complete the line in `self.line`: up to a newline, or until it is [`LINE_BYTES`] long
    /// (one less when the last would be a CR, which must stay with its LF).
    fn segment(&self, rest: &[u8]) -> Option<usize> {
        let room = LINE_BYTES.saturating_sub(self.line.len());
        let near = rest.get(..room.min(rest.len())).unwrap_or_default();
        if let Some(newline) = memchr::memchr(b'\n', near) {
            return Some(newline + 1);
        }
        if room == 1 && near == b"\r" {
            return Some(0);
        }
        if near.len() < room {
            return None;
        }
        Some(if near.last() == Some(&b'\r') && room > 1 { room - 1 } else { room })
    }

    /// A line, or the next [`LINE_BYTES`] of a long one; `end` is the offset behind it.
    fn line(&mut self, line: &[u8], end: usize, chunk: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let is_whole = line.last() == Some(&b'\n');
        if !(self.is_at_line_start && self.boundary_line(line, chunk, sink)?) {
            self.content_line(line, is_whole, end)?;
        }
        self.is_at_line_start = is_whole;
        self.line_end = match line {
            [.., b'\r', b'\n'] => LineEnd::CrLf,
            [.., b'\n'] => LineEnd::Lf,
            _ => LineEnd::Other,
        };
        if self.is_at_line_start
            && let Some(building) = &mut self.part
            && building.in_data
            && !building.has_data
        {
            building.start = end;
            building.end = end;
        }
        Ok(())
    }

    /// Was it a boundary?
    fn boundary_line(&mut self, line: &[u8], chunk: &[u8], sink: &mut impl Sink) -> Result<bool, Error> {
        // As in ModSecurity a NUL ends the text that is compared.
        let text = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let Some(after_dashes) = text.strip_prefix(b"--").filter(|_| text.len() > 3) else {
            if self.finder.find(line).is_some() {
                self.flags.has_unmatched_boundary = true;
            }
            return Ok(false);
        };
        let Some(after) = after_dashes.strip_prefix(self.boundary.bytes()) else {
            self.look_alike(after_dashes)?;
            return Ok(false);
        };
        if self.line_end == LineEnd::Lf {
            self.flags.has_lf_line = true;
        }
        if self.boundaries > 0 && self.part.as_ref().is_none_or(|part| !part.has_data) {
            // Where data should begin, or among the headers: not taken for a boundary.
            self.flags.has_invalid_part = true;
            return Ok(false);
        }
        let (is_final, ending) = match after.strip_prefix(b"--") {
            Some(ending) => (true, ending),
            None => (false, after),
        };
        // The rest of the line itself, not of the text: a NUL behind the boundary is no line end.
        match ending {
            b"\r\n" if line.len() == text.len() => self.flags.has_crlf_line = true,
            b"\n" if line.len() == text.len() => self.flags.has_lf_line = true,
            _ => return Err(Error::InvalidBoundaryLine { line: text.to_vec() }),
        }
        self.end_part(chunk, sink)?;
        if is_final {
            self.is_complete = true;
        } else {
            self.parts += 1;
            if self.parts > self.limits.parts {
                return Err(Error::TooManyParts);
            }
            self.part = Some(Box::default());
        }
        self.boundaries += 1;
        Ok(true)
    }

    /// A line with two dashes that is not the boundary.
    fn look_alike(&mut self, after_dashes: &[u8]) -> Result<(), Error> {
        let boundary = self.boundary.bytes();
        if self.flags.is_boundary_quoted
            && after_dashes.strip_prefix(b"\"").is_some_and(|rest| rest.starts_with(boundary))
        {
            return Err(Error::InvalidBoundary("quotes"));
        }
        let trimmed = after_dashes.trim_ascii_start();
        if trimmed.len() < after_dashes.len() && trimmed.starts_with(boundary) {
            return Err(Error::InvalidBoundary("whitespace"));
        }
        self.flags.has_unmatched_boundary = true;
        Ok(())
    }

    fn content_line(&mut self, line: &[u8], is_whole: bool, end: usize) -> Result<(), Error> {
        let Some(building) = &mut self.part else {
            self.flags.has_data_before = true;
            return Ok(());
        };
        if building.in_data {
            let reserved = match line {
                [.., b'\r', b'\n'] => 2,
                [.., b'\n'] => 1,
                _ => 0,
            };
            let before = building.end;
            building.has_data = true;
            building.end = end - reserved;
            if building.part.file_name.is_none() {
                self.no_files_bytes += building.end - before.min(building.end);
            }
        } else {
            if !is_whole || line.len() >= LINE_BYTES {
                return Err(Error::HeaderLineTooLong);
            }
            self.no_files_bytes += line.len();
            if let [.., b'\r', _] = line {
                self.flags.has_crlf_line = true;
            } else {
                self.flags.has_lf_line = true;
            }
            if building.headers.len() > self.limits.part_headers {
                return Err(Error::TooManyHeaders);
            }
            let mut names = part::Names { name: &mut self.name, file_name: &mut self.file_name };
            if building.headers.line(line, &mut building.part, &mut self.flags, &mut names)? {
                building.in_data = true;
            }
        }
        if self.no_files_bytes > self.limits.no_files_bytes { Err(Error::NoFilesLimit) } else { Ok(()) }
    }

    /// The part before a boundary is complete.
    fn end_part(&mut self, chunk: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let Some(mut building) = self.part.take() else { return Ok(()) };
        if !building.in_data {
            // Headers that never ended: there is no name to give it to the rules under.
            self.flags.has_invalid_part = true;
            return Ok(());
        }
        let chunk_start = self.consumed;
        if let Some(file_name) = building.part.file_name.clone() {
            self.files += 1;
            if self.files > self.limits.files {
                self.flags.is_file_limit_exceeded = true;
            }
            building.give(chunk, chunk_start, sink);
            sink.file(&building.part, &file_name, building.size);
        } else {
            let length = building.end - building.start;
            if building.start >= chunk_start && building.carry.is_empty() {
                let from = building.start - chunk_start;
                let value = chunk.get(from..from + length).unwrap_or_default();
                sink.field(&building.part, Piece::at(value, building.start));
            } else {
                building.carry_to(chunk, chunk_start);
                let value = building.carry.get(..length).unwrap_or_default();
                sink.field(&building.part, Piece::at(value, building.start));
            }
        }
        Ok(())
    }

    /// At the end of a chunk: what the part being read still needs of it.
    fn keep(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let chunk_start = self.consumed;
        if let Some(building) = &mut self.part
            && building.in_data
        {
            if building.part.file_name.is_some() {
                building.give(chunk, chunk_start, sink);
            }
            let end = chunk_start + chunk.len();
            building.carry_until(chunk, chunk_start, end);
        }
    }
}

impl Building {
    /// Appends the bytes of this chunk that belong to the data so far.
    fn carry_to(&mut self, chunk: &[u8], chunk_start: usize) {
        self.carry_until(chunk, chunk_start, self.end);
    }

    /// Makes `carry` reach from `start` to `end`.
    fn carry_until(&mut self, chunk: &[u8], chunk_start: usize, end: usize) {
        let have = self.start + self.carry.len();
        let from = have.saturating_sub(chunk_start);
        let to = end.saturating_sub(chunk_start).min(chunk.len());
        if have >= chunk_start
            && let Some(more) = chunk.get(from..to)
        {
            self.carry.extend_from_slice(more);
        }
    }

    /// Gives the sink the data so far.
    fn give(&mut self, chunk: &[u8], chunk_start: usize, sink: &mut impl Sink) {
        let length = self.end - self.start;
        self.size += length as u64;
        let carried = length.min(self.carry.len());
        if let Some(data) = self.carry.get(..carried).filter(|data| !data.is_empty()) {
            sink.file_data(&self.part, data);
        }
        self.carry.drain(..carried);
        let from = (self.start + carried).saturating_sub(chunk_start);
        let to = self.end.saturating_sub(chunk_start);
        if carried < length
            && let Some(data) = chunk.get(from..to)
        {
            sink.file_data(&self.part, data);
        }
        self.start = self.end;
    }
}

#[cfg(test)]
mod tests;
