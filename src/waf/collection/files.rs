//! What a multipart body brought: uploaded files, part headers, and the flags of its irregularities.

use super::{Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::waf::body::multipart::Flags;
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
    /// MULTIPART_NAME: the name that was seen last.
    pub(crate) last_name: Option<Span>,
    /// MULTIPART_FILENAME: the file name that was seen last.
    pub(crate) last_filename: Option<Span>,
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
            V::MultipartBoundaryQuoted => flags.is_boundary_quoted,
            V::MultipartBoundaryWhitespace => flags.has_boundary_whitespace,
            V::MultipartDataBefore => flags.has_data_before,
            V::MultipartDataAfter => flags.has_data_after,
            V::MultipartHeaderFolding => flags.has_header_folding,
            V::MultipartLfLine => flags.has_lf_line,
            V::MultipartCrlfLine => flags.has_crlf_line,
            V::MultipartCrlfLfLines => flags.has_mixed_lines(),
            V::MultipartMissingSemicolon | V::MultipartSemicolonMissing => flags.is_semicolon_missing,
            V::MultipartInvalidQuoting => flags.has_invalid_quoting,
            V::MultipartInvalidPart => flags.has_invalid_part,
            V::MultipartInvalidHeaderFolding => flags.has_invalid_header_folding,
            V::MultipartFileLimitExceeded => flags.is_file_limit_exceeded,
            V::MultipartStrictError => flags.is_strict_error(),
            V::MultipartUnmatchedBoundary => flags.has_unmatched_boundary,
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
        if part.filename.is_none() || !selects(&wanted, transaction.stored(part.name), out.caches) {
            continue;
        }
        let bytes = match variable {
            Variable::FilesNames => part.name,
            Variable::FilesSizes => out.number(part.size),
            Variable::FilesTmpContent => part.content,
            // Files are never written to disk, so there is no name to tell.
            Variable::FilesTmpNames => continue,
            _ => part.filename.unwrap_or_default(),
        };
        out.push(Value::member(variable, part.name, bytes));
    }
}
