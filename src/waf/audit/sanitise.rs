//! Overwriting what must not be shown.

use super::Hidden;
use crate::waf::Program;
use crate::waf::collection::arguments::Origin;
use crate::waf::collection::headers::Pair;
use crate::waf::line;
use crate::waf::transaction::Transaction;

/// The request line with the values of hidden arguments overwritten.
pub(super) fn request_line(program: &Program, transaction: &Transaction) -> Vec<u8> {
    let mut line = transaction.request.line.of(&transaction.arena).to_vec();
    let hidden = &transaction.audit.hidden.arguments;
    if hidden.is_empty() {
        return line;
    }
    if let Some(start) = line.iter().position(|byte| *byte == b'?').map(|at| at + 1) {
        let end = line.iter().rposition(|byte| *byte == b' ').filter(|at| *at > start).unwrap_or(line.len());
        if let Some(query) = line.get_mut(start..end) {
            pairs(query, program.settings.argument_separator, hidden);
        }
    }
    line
}

/// The request body with the values of hidden arguments overwritten; all of it where a value may stand in it otherwise
/// than as rules see it, as in the escapes of JSON. More is hidden than asked for, never less.
pub(super) fn request_body(program: &Program, transaction: &Transaction) -> Vec<u8> {
    let mut body = transaction.request_body.clone();
    let hidden = &transaction.audit.hidden.arguments;
    if hidden.is_empty() {
        return body;
    }
    if transaction.body.processor == b"URLENCODED" {
        pairs(&mut body, program.settings.argument_separator, hidden);
        return body;
    }
    let is_escaped = |mark: &[u8]| memchr::memmem::find(&transaction.request_body, mark).is_some();
    let has_escapes = match transaction.body.processor.as_slice() {
        b"JSON" => is_escaped(b"\\u"),
        b"XML" => is_escaped(b"&"),
        _ => false,
    };
    for argument in transaction.arguments.iter().filter(|argument| argument.origin != Origin::Query) {
        if is_hidden(transaction.stored(argument.name), hidden)
            && (has_escapes || !overwrite(&transaction.request_body, &mut body, transaction.stored(argument.value)))
        {
            body.fill(b'*');
            return body;
        }
    }
    body
}

/// The value of a field, or asterisks.
pub(super) fn field<'a>(transaction: &'a Transaction, pair: &Pair, is_request: bool) -> std::borrow::Cow<'a, [u8]> {
    let Hidden { request_headers, response_headers, .. } = &transaction.audit.hidden;
    let hidden = if is_request { request_headers } else { response_headers };
    let value = pair.value.of(&transaction.arena);
    if is_hidden(pair.name.of(&transaction.arena), hidden) {
        return vec![b'*'; value.len()].into();
    }
    value.into()
}

pub(super) fn is_hidden(name: &[u8], hidden: &[Vec<u8>]) -> bool {
    let is_in = |name: &[u8]| hidden.iter().any(|own| own.eq_ignore_ascii_case(name));
    if is_in(name) {
        return true;
    }
    // What matched is known by the name that messages give it.
    let mut shown = Vec::new();
    line::escape_name(name, &mut shown);
    shown != name && is_in(&shown)
}

/// Overwrites values in `name=value&…`. A name that only looks different (`%61`) is found as well.
fn pairs(text: &mut [u8], separator: u8, hidden: &[Vec<u8>]) {
    for pair in text.split_mut(|byte| *byte == separator) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = pair.split_at_mut(equals);
        let mut decoded = Vec::new();
        let context = crate::waf::transformation::TransformationContext::default();
        let is_encoded = crate::waf::transformation::Transformation::UrlDecode.apply(name, &mut decoded, &context);
        if is_hidden(if is_encoded { &decoded } else { name }, hidden) {
            value.iter_mut().skip(1).for_each(|byte| *byte = b'*');
        }
    }
}

/// Overwrites a value wherever it stands. Was it found?
fn overwrite(body: &[u8], shown: &mut [u8], value: &[u8]) -> bool {
    let mut is_found = value.is_empty();
    for start in memchr::memmem::find_iter(body, value).take_while(|_| !value.is_empty()) {
        is_found = true;
        if let Some(part) = shown.get_mut(start..start + value.len()) {
            part.fill(b'*');
        }
    }
    is_found
}
