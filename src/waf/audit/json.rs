//! One JSON object on one line, in libmodsecurity 3's layout, which log shippers know.
//!
//! Bytes that are not UTF-8 are written as `\xHH`, as in the log lines.

use serde_json::{Map, Value, json};

use super::{PRODUCER, engine_mode, sanitise};
use crate::waf::Program;
use crate::waf::collection::headers::Pair;
use crate::waf::line;
use crate::waf::transaction::Transaction;

/// The whole entry with a line end.
pub(super) fn write(program: &Program, transaction: &Transaction) -> Vec<u8> {
    let parts = transaction.control.audit_parts(program);
    let wants = |part: u8| parts.contains(&part);
    let t = transaction;
    let arena = &t.arena;
    let protocol = t.request.protocol.of(arena);
    let version = protocol.strip_prefix(b"HTTP/").unwrap_or(protocol);

    let mut request = Map::new();
    request.insert("method".into(), text(t.request.method.of(arena)));
    request.insert("http_version".into(), text(version));
    request.insert("hostname".into(), t.request.host.map_or(Value::Null, |host| text(host.of(arena))));
    let request_line = sanitise::request_line(program, t);
    request.insert("uri".into(), text(target(&request_line)));
    if wants(b'B') {
        request.insert("headers".into(), fields(t, &t.request_headers, true));
    }
    if wants(b'C') && !t.request_body.is_empty() {
        request.insert("body".into(), text(&sanitise::request_body(program, t)));
    }
    let mut response = Map::new();
    response.insert("http_code".into(), t.response.status.into());
    if wants(b'F') && t.response.has_head {
        response.insert("headers".into(), fields(t, &t.response_headers, false));
    }
    if wants(b'E') && t.response.is_body_inspected {
        response.insert("body".into(), text(&t.response_body));
    }
    let mut entry = json!({
        "client_ip": text(t.client_address.of(arena)),
        "time_stamp": super::native::time_stamp(t),
        "server_id": text(&program.settings.sensor_id),
        "client_port": t.client_port,
        "host_ip": text(t.server_address.of(arena)),
        "host_port": t.server_port,
        "unique_id": text(t.unique_id.of(arena)),
        "is_interrupted": t.is_interrupted,
        "request": request,
        "response": response,
    });
    if let (Some(entry), true) = (entry.as_object_mut(), wants(b'H')) {
        entry.insert(
            "producer".into(),
            json!({
                "modsecurity": "",
                "connector": PRODUCER,
                "secrules_engine": engine_mode(t),
                "components": program.component_signatures(),
            }),
        );
        entry.insert("messages".into(), messages(program, t));
    }
    let mut out = json!({ "transaction": entry }).to_string().into_bytes();
    out.push(b'\n');
    out
}

/// What is between the first and the last blank.
fn target(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
    let end = line.iter().rposition(|byte| *byte == b' ').filter(|at| *at >= start).unwrap_or(line.len());
    line.get(start..end).unwrap_or_default()
}

fn messages(program: &Program, transaction: &Transaction) -> Value {
    let messages = transaction.audit.messages.iter().filter_map(|message| {
        let head = program.heads.get(message.head as usize)?;
        let number = |number: Option<u8>| number.map_or_else(|| "0".to_owned(), |number| number.to_string());
        Some(json!({
            "message": text(&message.message),
            "details": {
                "match": text(&message.operator),
                "reference": "",
                "ruleId": head.id.0.to_string(),
                "file": &*head.file,
                "lineNumber": head.line.to_string(),
                "data": text(&message.data),
                "severity": number(head.severity),
                "ver": text(head.version.as_deref().unwrap_or_default()),
                "rev": text(head.revision.as_deref().unwrap_or_default()),
                "tags": message.rule.tags.iter().map(|tag| text(tag)).collect::<Vec<_>>(),
                "maturity": number(head.maturity),
                "accuracy": number(head.accuracy),
            },
        }))
    });
    messages.collect()
}

/// Fields of the same name are joined, because an object has each name once.
fn fields(transaction: &Transaction, pairs: &[Pair], is_request: bool) -> Value {
    let mut object = Map::new();
    for pair in pairs {
        let name = text(pair.name.of(&transaction.arena));
        let Value::String(name) = name else { continue };
        let Value::String(value) = text(&sanitise::field(transaction, pair, is_request)) else { continue };
        match object.get_mut(&name) {
            Some(Value::String(own)) => {
                own.push_str(", ");
                own.push_str(&value);
            }
            _ => {
                object.insert(name, value.into());
            }
        }
    }
    object.into()
}

fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut escaped = Vec::with_capacity(bytes.len() * 2);
            line::escape_name(bytes, &mut escaped);
            String::from_utf8_lossy(&escaped).into_owned().into()
        }
    }
}
