//! What a multipart body brought: uploaded files, part headers, and the flags of its irregularities.

use super::{Bytes, Collector, Value, Variable, Wanted, selects};
use crate::waf::transaction::Transaction;

/// A part of a multipart body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// `name` of its Content-Disposition.
    pub(crate) name: Bytes,
    /// `filename`, when it is a file.
    pub(crate) filename: Option<Bytes>,
    /// Bytes of its content.
    pub(crate) size: u64,
    /// The content of a file.
    pub(crate) content: Bytes,
}

/// A multipart body as rules see it.
#[derive(Debug, Default)]
pub(crate) struct Multipart {
    pub(crate) parts: Vec<Part>,
    /// Header lines with the name of their part.
    pub(crate) part_headers: Vec<(Bytes, Bytes)>,
    pub(crate) flags: Flags,
}

/// MULTIPART_* flags.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) boundary_quoted: bool,
    pub(crate) boundary_whitespace: bool,
    pub(crate) data_before: bool,
    pub(crate) data_after: bool,
    pub(crate) header_folding: bool,
    pub(crate) crlf_line: bool,
    pub(crate) lf_line: bool,
    pub(crate) semicolon_missing: bool,
    pub(crate) invalid_quoting: bool,
    pub(crate) invalid_part: bool,
    pub(crate) invalid_header_folding: bool,
    pub(crate) file_limit_exceeded: bool,
    pub(crate) unmatched_boundary: u8,
}

impl Flags {
    /// MULTIPART_STRICT_ERROR
    fn has_strict_error(self) -> bool {
        self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.semicolon_missing
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
    }
}

impl Multipart {
    /// FILES_COMBINED_SIZE
    pub(crate) fn files_size(&self) -> u64 {
        self.parts.iter().filter(|part| part.filename.is_some()).map(|part| part.size).sum()
    }

    /// The value of a flag variable.
    pub(crate) fn flag(&self, variable: Variable) -> Option<u8> {
        use Variable as V;
        let flags = &self.flags;
        let is_set = match variable {
            V::MultipartBoundaryQuoted => flags.boundary_quoted,
            V::MultipartBoundaryWhitespace => flags.boundary_whitespace,
            V::MultipartDataBefore => flags.data_before,
            V::MultipartDataAfter => flags.data_after,
            V::MultipartHeaderFolding => flags.header_folding,
            V::MultipartLfLine => flags.lf_line,
            V::MultipartCrlfLine => flags.crlf_line,
            V::MultipartCrlfLfLines => flags.crlf_line && flags.lf_line,
            V::MultipartMissingSemicolon | V::MultipartSemicolonMissing => flags.semicolon_missing,
            V::MultipartInvalidQuoting => flags.invalid_quoting,
            V::MultipartInvalidPart => flags.invalid_part,
            V::MultipartInvalidHeaderFolding => flags.invalid_header_folding,
            V::MultipartFileLimitExceeded => flags.file_limit_exceeded,
            V::MultipartStrictError => flags.has_strict_error(),
            V::MultipartUnmatchedBoundary => return Some(flags.unmatched_boundary),
            _ => return None,
        };
        Some(u8::from(is_set))
    }
}

/// Appends what `wanted` names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let multipart = &transaction.multipart;
    if variable == Variable::MultipartPartHeaders {
        for (name, header) in &multipart.part_headers {
            if selects(&wanted, transaction.stored(*name), out.caches) {
                out.push(Value::member(variable, *name, *header));
            }
        }
        return;
    }
    for part in &multipart.parts {
        let is_of_all_parts = variable == Variable::MultipartName;
        if (part.filename.is_none() && !is_of_all_parts) || !selects(&wanted, transaction.stored(part.name), out.caches)
        {
            continue;
        }
        let bytes = match variable {
            Variable::FilesNames | Variable::MultipartName => part.name,
            Variable::FilesSizes => out.number(part.size),
            Variable::FilesTmpContent => part.content,
            // Files are never written to disk, so there is no name to tell.
            Variable::FilesTmpNames => continue,
            _ => part.filename.unwrap_or_default(),
        };
        out.push(Value::member(variable, part.name, bytes));
    }
}
