//! A part's headers, and what its content disposition says.

use super::boundary::is_space;
use super::{Error, Flags, LINE_BYTES};

/// What is known of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// The field's name.
    pub name: Vec<u8>,
    /// A file's name as sent; none for a field.
    pub file_name: Option<Vec<u8>>,
    /// MULTIPART_PART_HEADERS: the header lines, as `name: value` when they were folded, else as sent.
    pub header_lines: Vec<Vec<u8>>,
}

/// The headers of the part being read.
#[derive(Debug, Default)]
pub(super) struct Headers {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The last names seen, for MULTIPART_NAME and MULTIPART_FILENAME.
pub(super) struct Names<'p> {
    pub(super) name: &'p mut Option<Vec<u8>>,
    pub(super) file_name: &'p mut Option<Vec<u8>>,
}

impl Headers {
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    /// One line with its line end. True: it was the empty one, and data begins.
    pub(super) fn line(
        &mut self,
        line: &[u8],
        part: &mut Part,
        flags: &mut Flags,
        names: &mut Names<'_>,
    ) -> Result<bool, Error> {
        if line.contains(&0) {
            return Err(Error::NulInHeaders);
        }
        if line == b"\r\n" || line == b"\n" {
            self.end(part, flags, names)?;
            return Ok(true);
        }
        let text = without_line_end(line);
        if line.first().is_some_and(|byte| is_space(*byte)) {
            self.fold(line, part, flags)?;
        } else {
            self.header(text, part)?;
        }
        Ok(false)
    }

    /// A line that goes on with the header before it.
    fn fold(&mut self, line: &[u8], part: &mut Part, flags: &mut Flags) -> Result<(), Error> {
        flags.has_header_folding = true;
        let blank = line.iter().take_while(|byte| is_space(**byte)).count();
        let (space, rest) = line.split_at(blank);
        // Leading white space other than blanks and tabs: some parsers fold there, others do not.
        if space.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            flags.has_invalid_header_folding = true;
        }
        let Some((name, value)) = self.headers.last_mut() else { return Err(Error::Folding) };
        value.push(b' ');
        value.extend_from_slice(without_line_end(rest));
        if value.len() > LINE_BYTES {
            return Err(Error::HeaderTooLong);
        }
        if let Some(last) = part.header_lines.last_mut() {
            *last = [name.as_slice(), b": ", value.as_slice()].concat();
        }
        Ok(())
    }

    fn header(&mut self, text: &[u8], part: &mut Part) -> Result<(), Error> {
        let Some(colon) = memchr::memchr(b':', text) else {
            return Err(Error::ColonMissing { line: text.to_vec() });
        };
        let (name, value) = text.split_at(colon);
        if name.is_empty() {
            return Err(Error::HeaderNameMissing);
        }
        if name.iter().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::InvalidHeaderName);
        }
        if self.value(name).is_some() {
            return Err(Error::DuplicateHeader { name: name.to_vec() });
        }
        let value = value.get(1..).unwrap_or_default();
        let blank = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.headers.push((name.to_vec(), value.get(blank..).unwrap_or_default().to_vec()));
        part.header_lines.push(text.to_vec());
        Ok(())
    }

    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The empty line: what is this part?
    fn end(&self, part: &mut Part, flags: &mut Flags, names: &mut Names<'_>) -> Result<(), Error> {
        let Some(value) = self.value(b"Content-Disposition") else { return Err(Error::DispositionMissing) };
        let mut disposition = Disposition { rest: value, name: None, file_name: None };
        let result = disposition.read(flags, names);
        let Disposition { name, file_name, .. } = disposition;
        result.map_err(|code| Error::InvalidDisposition { code, value: value.to_vec() })?;
        let Some(name) = name else { return Err(Error::NameMissing) };
        if file_name.is_some() && memchr::memmem::find(value, b"filename=").is_none() {
            // We understood it, but a cruder parser might not.
            return Err(Error::InvalidDispositionFileName);
        }
        part.name = name;
        part.file_name = file_name;
        Ok(())
    }
}

/// A content disposition being read. The error codes are ModSecurity's, which its message shows.
struct Disposition<'v> {
    rest: &'v [u8],
    name: Option<Vec<u8>>,
    file_name: Option<Vec<u8>>,
}

impl Disposition<'_> {
    fn read(&mut self, flags: &mut Flags, names: &mut Names<'_>) -> Result<(), i8> {
        self.rest = self.rest.strip_prefix(b"form-data").ok_or(-1)?;
        self.skip_blanks();
        match self.rest {
            [] => return Ok(()),
            [b';', rest @ ..] => self.rest = rest,
            _ => return Err(-2),
        }
        while !self.rest.is_empty() {
            self.parameter(flags, names)?;
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Fails with this code when nothing is left.
    fn require(&self, code: i8) -> Result<u8, i8> {
        self.rest.first().copied().ok_or(code)
    }

    fn parameter(&mut self, flags: &mut Flags, names: &mut Names<'_>) -> Result<(), i8> {
        self.skip_blanks();
        self.require(-3)?;
        let length = self.rest.iter().take_while(|byte| !matches!(byte, b'=' | b' ' | b'\t')).count();
        let (parameter, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.require(-4)?;
        self.skip_blanks();
        if self.require(-5)? != b'=' {
            return Err(-13);
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.skip_blanks();
        let quote = Some(self.require(-6)?).filter(|byte| matches!(byte, b'"' | b'\''));
        let before_value = self.rest;
        let value = match quote {
            Some(quote) => {
                if quote == b'\'' {
                    // Some servers take single quotes; it is wrong all the same.
                    flags.has_invalid_quoting = true;
                }
                self.quoted(quote)?
            }
            None => {
                let length = self.rest.iter().take_while(|byte| is_token(**byte)).count();
                let (value, rest) = self.rest.split_at(length);
                self.rest = rest;
                value.to_vec()
            }
        };
        if quote != Some(b'"') && value.contains(&b'\'') {
            flags.has_invalid_quoting = true;
        }
        let (place, last, duplicate) = match parameter {
            b"name" => (&mut self.name, &mut *names.name, -14),
            b"filename" => (&mut self.file_name, &mut *names.file_name, -15),
            _ => return Err(-11),
        };
        *last = Some(value.clone());
        if place.replace(value).is_some() {
            return Err(duplicate);
        }
        if self.rest.is_empty() {
            return Ok(());
        }
        let consumed = before_value.len() - self.rest.len();
        let behind_value = consumed.checked_sub(1).and_then(|last| before_value.get(last)).copied();
        let rest = self.rest;
        self.skip_blanks();
        match self.rest {
            [] => Ok(()),
            [b';', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            _ => {
                let before = if self.rest.len() == rest.len() { behind_value } else { Some(b' ') };
                if matches!(before, Some(b'"' | b'\'')) {
                    flags.has_invalid_quoting = true;
                }
                Err(-12)
            }
        }
    }

    /// After a quote: up to the next one. Only the quote and the backslash can be escaped; another backslash stays,
    /// because browsers send paths with them.
    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, i8> {
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.require(-7)?;
        let mut value = Vec::new();
        loop {
            match self.rest {
                [] => return Err(-10),
                [b'\\'] => return Err(-8),
                [b'\\', escaped, rest @ ..] if *escaped == quote || *escaped == b'\\' => {
                    value.push(*escaped);
                    self.rest = rest;
                }
                [byte, rest @ ..] => {
                    self.rest = rest;
                    if *byte == quote {
                        return Ok(value);
                    }
                    value.push(*byte);
                }
            }
        }
    }
}

/// A character of a token (RFC 2616).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
