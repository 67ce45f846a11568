//! Overwriting what must not be shown.

use super::Hidden;
use crate::waf::collection::headers::Pair;
use crate::waf::transaction::Transaction;

/// The request line with the values of hidden arguments overwritten.
pub(super) fn request_line(transaction: &Transaction) -> Vec<u8> {
    let mut line = transaction.request.line.of(&transaction.arena).to_vec();
    let hidden = &transaction.audit.hidden.arguments;
    if hidden.is_empty() {
        return line;
    }
    if let Some(start) = line.iter().position(|byte| *byte == b'?').map(|at| at + 1) {
        let end = line.iter().rposition(|byte| *byte == b' ').filter(|at| *at > start).unwrap_or(line.len());
        if let Some(query) = line.get_mut(start..end) {
            pairs(query, hidden);
        }
    }
    line
}

/// The request body with the values of hidden arguments overwritten.
pub(super) fn request_body(transaction: &Transaction) -> Vec<u8> {
    let mut body = transaction.request_body.clone();
    let hidden = &transaction.audit.hidden.arguments;
    if hidden.is_empty() {
        return body;
    }
    if transaction.body.processor == b"URLENCODED" {
        pairs(&mut body, hidden);
        return body;
    }
    for argument in &transaction.arguments {
        if is_hidden(transaction.stored(argument.name), hidden) {
            occurrences(&mut body, transaction.stored(argument.value));
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

fn is_hidden(name: &[u8], hidden: &[Vec<u8>]) -> bool {
    hidden.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Overwrites values in `name=value&…`. A name that only looks different (`%61`) is found as well.
fn pairs(text: &mut [u8], hidden: &[Vec<u8>]) {
    for pair in text.split_mut(|byte| *byte == b'&') {
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

fn occurrences(body: &mut [u8], value: &[u8]) {
    if value.is_empty() {
        return;
    }
    let found: Vec<usize> = memchr::memmem::find_iter(body, value).collect();
    for start in found {
        body.iter_mut().skip(start).take(value.len()).for_each(|byte| *byte = b'*');
    }
}
