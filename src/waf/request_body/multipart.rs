//! Multipart bodies: fields are arguments, files and part headers have variables of their own, irregularities have
//! flags.

use super::BODY;
use crate::limits;
use crate::waf::Program;
use crate::waf::body::Piece;
use crate::waf::body::multipart::{self, Boundary, Outcome, Sink};
use crate::waf::collection::arguments::{Argument, Origin};
use crate::waf::collection::files::Part;
use crate::waf::collection::{Bytes, Span};
use crate::waf::transaction::Transaction;

impl Transaction {
    /// Reads a multipart body. When it fails there are no arguments, but files and part headers seen so far stay, as in
    /// ModSecurity 2.
    pub(super) fn parse_multipart(&mut self, program: &Program, body: &[u8]) {
        let boundary = match Boundary::parse(self.request_header(b"Content-Type")) {
            Ok(boundary) => boundary,
            Err(problem) => {
                self.multipart.flags.has_error = true;
                self.body.fail(format!("Multipart parsing error (init): {problem}"));
                return;
            }
        };
        let settings = &program.settings;
        let limits = multipart::Limits {
            parts: limits::WAF_MULTIPART_PARTS,
            part_headers: limits::WAF_MULTIPART_HEADERS,
            files: settings.upload_file_limit as usize,
            no_files_bytes: self.no_files_limit(program),
        };
        let mut parts = Parts { transaction: self, keeps_content: program.uses_file_content, content: None };
        let outcome = multipart::parse(boundary, body, limits, &mut parts);
        self.take_multipart(program, outcome);
    }

    fn take_multipart(&mut self, program: &Program, outcome: Outcome) {
        let Outcome { flags, error, name, file_name, .. } = outcome;
        self.multipart.flags = flags;
        self.multipart.last_name = name.map(|name| self.store(&name));
        self.multipart.last_filename = file_name.map(|name| self.store(&name));
        if let Some(problem) = error {
            if problem == multipart::Error::NoFilesLimit {
                self.refuse_length();
            }
            self.body.fail(format!("Multipart parsing error: {problem}"));
            return;
        }
        let free = self.free_arguments(program);
        let fields = self.multipart.parts.iter().filter(|part| part.filename.is_none()).take(free);
        self.arguments.extend(fields.map(|part| Argument {
            name: part.name,
            value: part.content,
            origin: Origin::Body,
        }));
    }
}

/// Puts what is found where rules look for it.
struct Parts<'t> {
    transaction: &'t mut Transaction,
    /// Do rules look at the content of files?
    keeps_content: bool,
    /// Where the content of the file being read begins in the arena.
    content: Option<u32>,
}

impl Parts<'_> {
    fn add(&mut self, part: &multipart::Part, filename: Option<&[u8]>, size: u64, content: Bytes) {
        let transaction = &mut *self.transaction;
        let name = Bytes::arena(transaction.store(&part.name));
        for line in &part.header_lines {
            let line = Bytes::arena(transaction.store(line));
            transaction.multipart.part_headers.push((name, line));
        }
        let filename = filename.map(|filename| Bytes::arena(transaction.store(filename)));
        transaction.multipart.parts.push(Part { name, filename, size, content });
    }
}

impl Sink for Parts<'_> {
    fn field(&mut self, part: &multipart::Part, value: Piece<'_>) {
        let content = self.transaction.keep(value, BODY);
        self.add(part, None, value.bytes.len() as u64, content);
    }

    fn file_data(&mut self, _part: &multipart::Part, data: &[u8]) {
        if self.keeps_content && self.transaction.arena.len() + data.len() <= limits::WAF_ARENA_BYTES {
            let start = self.transaction.store(data).start;
            self.content.get_or_insert(start);
        }
    }

    fn file(&mut self, part: &multipart::Part, file_name: &[u8], size: u64) {
        let end = self.transaction.arena.len() as u32;
        let content = self.content.take().map(|start| Bytes::arena(Span { start, len: end - start }));
        self.add(part, Some(file_name), size, content.unwrap_or_default());
    }
}
