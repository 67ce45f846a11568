//! Variables with one value: parts of the request line, addresses, flags and sizes.

use super::headers::find;
use super::{Buffer, Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::waf::program::RuleIndex;
use crate::waf::transaction::Transaction;

/// What MODSEC_BUILD says: 2.9.8, release.
const MODSEC_BUILD: &[u8] = b"020908900";

/// Appends the value of a variable that has one at most.
pub(crate) fn collect(
    transaction: &Transaction,
    variable: Variable,
    wanted: Wanted<'_>,
    rule: Option<RuleIndex>,
    out: &mut Collector<'_>,
) {
    use Variable as V;
    let t = transaction;
    let request = &t.request;
    let arena = |span: Span| Some(Bytes::arena(span));
    let bytes = match variable {
        V::RequestLine => arena(request.line),
        V::RequestMethod => arena(request.method),
        V::RequestProtocol => arena(request.protocol),
        V::RequestUriRaw => arena(request.target),
        V::RequestUri => request_uri(t, out),
        V::RequestFilename | V::PathInfo => request.path.and_then(arena),
        V::RequestBasename => request.path.map(|path| Bytes::arena(basename(path, path.of(&t.arena)))),
        V::QueryString => request.query.and_then(arena),
        V::RemoteAddr | V::RemoteHost | V::UserAgentIp => arena(t.client_address),
        V::ServerAddr => arena(t.server_address),
        V::RemotePort => Some(out.number(t.client_port)),
        V::ServerPort => Some(out.number(t.server_port)),
        V::ServerName => request.host.and_then(arena),
        V::RemoteUser => request.user.and_then(arena),
        V::AuthType => find(&t.request_headers, &t.arena, b"Authorization").map(|value| {
            let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
            out.text(|text| text.extend_from_slice(value.get(..end).unwrap_or_default()))
        }),
        V::UniqueId => arena(t.unique_id),
        V::ArgsCombinedSize => Some(out.number(t.arguments_size())),
        V::FilesCombinedSize => Some(out.number(t.multipart.files_size())),
        V::RequestBodyLength => Some(out.number(t.request_body.len())),
        V::RequestBody => t.body.is_request_body_visible.then(|| whole(Buffer::RequestBody, t.request_body.len())),
        V::ResponseBody => t.response.is_body_inspected.then(|| whole(Buffer::ResponseBody, t.response_body.len())),
        V::FullRequest => Some(out.text(|text| full_request(t, text))),
        V::FullRequestLength => {
            let mut text = Vec::new();
            full_request(t, &mut text);
            Some(out.number(text.len()))
        }
        V::ReqbodyProcessor => Some(out.text(|text| text.extend_from_slice(&t.body.processor))),
        V::ReqbodyError | V::ReqbodyProcessorError => Some(flag(out, t.body.error.is_some())),
        V::ReqbodyErrorMsg | V::ReqbodyProcessorErrorMsg => {
            Some(out.text(|text| text.extend_from_slice(t.body.error.as_deref().unwrap_or_default())))
        }
        V::UrlencodedError => Some(flag(out, t.body.has_urlencoded_error)),
        V::InboundDataError => Some(flag(out, t.body.is_too_long)),
        V::OutboundDataError => Some(flag(out, t.response.is_body_too_long)),
        V::MscPcreError | V::MscPcreLimitsExceeded => Some(flag(out, t.has_exhausted_regex)),
        V::HighestSeverity => Some(out.number(t.highest_severity)),
        V::Duration => Some(out.number(t.elapsed.as_micros() as u64)),
        V::ModsecBuild => Some(out.text(|text| text.extend_from_slice(MODSEC_BUILD))),
        V::WebAppId => {
            let program = out.program;
            Some(out.text(|text| text.extend_from_slice(&program.settings.web_app_id)))
        }
        V::SessionId => t.persistent.session_id.and_then(arena),
        V::UserId => t.persistent.user_id.and_then(arena),
        V::ResponseStatus | V::Status if t.response.has_head => Some(out.number(t.response.status)),
        V::ResponseProtocol if t.response.has_head => arena(t.response.protocol),
        V::StatusLine if t.response.has_head => Some(out.text(|text| {
            text.extend_from_slice(t.response.protocol.of(&t.arena));
            text.push(b' ');
            text.extend_from_slice(itoa::Buffer::new().format(t.response.status).as_bytes());
        })),
        V::ResponseContentType if t.response.has_head => {
            let value = find(&t.response_headers, &t.arena, b"Content-Type");
            value.map(|value| out.text(|text| text.extend_from_slice(value)))
        }
        V::ResponseContentLength if t.response.has_head => {
            let value = find(&t.response_headers, &t.arena, b"Content-Length");
            match value {
                Some(value) => Some(out.text(|text| text.extend_from_slice(value))),
                None => Some(out.number(t.response_body.len())),
            }
        }
        V::SdbmDeleteError => Some(flag(out, false)),
        V::MultipartName => t.multipart.last_name.and_then(arena),
        V::MultipartFilename => t.multipart.last_filename.and_then(arena),
        V::Rule => return rule_member(wanted, rule, out),
        V::Env => return env(t, wanted, out),
        V::Geo => return geo(t, wanted, out),
        _ => t.multipart.flag(variable).map(|value| out.number(value)),
    };
    if let Some(bytes) = bytes {
        out.push(Value::scalar(variable, bytes));
    }
}

fn whole(buffer: Buffer, len: usize) -> Bytes {
    Bytes { buffer, span: Span { start: 0, len: len as u32 } }
}

fn flag(out: &mut Collector<'_>, is_set: bool) -> Bytes {
    out.text(|text| text.push(if is_set { b'1' } else { b'0' }))
}

/// Path and query, without scheme, authority and fragment.
fn request_uri(transaction: &Transaction, out: &mut Collector<'_>) -> Option<Bytes> {
    let request = &transaction.request;
    match (request.path, request.query) {
        (None, None) => None,
        (Some(path), None) => Some(Bytes::arena(path)),
        // As sent, path, question mark and query lie next to each other.
        (Some(path), Some(query)) if path.start + path.len + 1 == query.start => {
            Some(Bytes::arena(Span { start: path.start, len: path.len + 1 + query.len }))
        }
        (path, Some(query)) => Some(out.text(|text| {
            text.extend_from_slice(path.unwrap_or_default().of(&transaction.arena));
            text.push(b'?');
            text.extend_from_slice(query.of(&transaction.arena));
        })),
    }
}

/// What stands behind the last slash or backslash.
fn basename(path: Span, bytes: &[u8]) -> Span {
    let start = bytes.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1) as u32;
    Span { start: path.start + start, len: path.len - start }
}

/// FULL_REQUEST: the header fields, an empty line and the body.
fn full_request(transaction: &Transaction, out: &mut Vec<u8>) {
    for pair in &transaction.request_headers {
        out.extend_from_slice(pair.name.of(&transaction.arena));
        out.extend_from_slice(b": ");
        out.extend_from_slice(pair.value.of(&transaction.arena));
        out.push(b'\n');
    }
    out.extend_from_slice(b"\n\n");
    out.extend_from_slice(&transaction.request_body);
}

/// `RULE:id` and its like: metadata of the rule (or its chain) under evaluation.
fn rule_member(wanted: Wanted<'_>, rule: Option<RuleIndex>, out: &mut Collector<'_>) {
    let program = out.program;
    let Some(rule) = rule.and_then(|rule| program.rule(rule)) else { return };
    let head = program.head(rule);
    let members: [(&[u8], Option<Vec<u8>>); 5] = [
        (b"id", Some(head.id.0.to_string().into_bytes())),
        (b"rev", head.revision.as_deref().map(<[u8]>::to_vec)),
        (b"severity", head.severity.map(|severity| severity.to_string().into_bytes())),
        (b"msg", head.message.as_ref().map(|text| text.source().to_vec())),
        (b"logdata", head.log_data.as_ref().map(|text| text.source().to_vec())),
    ];
    for (name, value) in members {
        let Some(value) = value else { continue };
        if selects(&wanted, name, out.caches) {
            let key = out.text(|text| text.extend_from_slice(name));
            let bytes = out.text(|text| text.extend_from_slice(&value));
            out.push(Value::member(Variable::Rule, key, bytes));
        }
    }
}

/// What `setenv` set in this transaction. The environment of the process is not shown to rules.
fn env(transaction: &Transaction, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    for (name, value) in &transaction.environment {
        if selects(&wanted, name.of(&transaction.arena), out.caches) {
            out.push(Value::member(Variable::Env, Bytes::arena(*name), Bytes::arena(*value)));
        }
    }
}

/// What `@geoLookup` found last.
fn geo(transaction: &Transaction, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    for (name, value) in &transaction.geo {
        if selects(&wanted, name.of(&transaction.arena), out.caches) {
            out.push(Value::member(Variable::Geo, Bytes::arena(*name), Bytes::arena(*value)));
        }
    }
}
