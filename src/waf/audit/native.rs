//! ModSecurity's native format: parts between boundary lines.

use super::{PRODUCER, engine_mode, sanitise};
use crate::waf::Program;
use crate::waf::collection::files::Part;
use crate::waf::collection::headers::Pair;
use crate::waf::collection::time::Civil;
use crate::waf::line;
use crate::waf::transaction::Transaction;

/// Names of months as the common log format writes them.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `24/Nov/2026:06:50:00 +0000`
pub(super) fn time_stamp(transaction: &Transaction) -> String {
    let civil = Civil::from_epoch(transaction.now.as_secs());
    let month = MONTHS.get((civil.month as usize).wrapping_sub(1)).copied().unwrap_or("Jan");
    let Civil { year, day, hour, minute, second, .. } = civil;
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// The whole entry.
pub(super) fn write(program: &Program, transaction: &Transaction) -> Vec<u8> {
    let mut entry = Entry { out: Vec::with_capacity(2048), boundary: boundary(transaction) };
    let parts = transaction.control.audit_parts(program);
    let wants = |part: u8| parts.contains(&part);
    let t = transaction;

    entry.begin('A');
    let unique_id = String::from_utf8_lossy(t.unique_id.of(&t.arena));
    let client = String::from_utf8_lossy(t.client_address.of(&t.arena));
    let server = String::from_utf8_lossy(t.server_address.of(&t.arena));
    let (client_port, server_port) = (t.client_port, t.server_port);
    let when = time_stamp(t);
    entry.text(&format!("[{when}] {unique_id} {client} {client_port} {server} {server_port}\n"));

    if wants(b'B') {
        entry.begin('B');
        entry.line(&sanitise::request_line(program, t));
        entry.fields(t, &t.request_headers, true);
    }
    if wants(b'C') && !t.request_body.is_empty() {
        entry.begin('C');
        entry.line(&sanitise::request_body(program, t));
    }
    if wants(b'E') && t.response.is_body_inspected && !t.response_body.is_empty() {
        entry.begin('E');
        entry.line(&t.response_body);
    }
    if wants(b'F') && t.response.has_head {
        entry.begin('F');
        let mut head = t.response.protocol.of(&t.arena).to_vec();
        head.extend_from_slice(format!(" {}", t.response.status).as_bytes());
        entry.line(&head);
        entry.fields(t, &t.response_headers, false);
    }
    if wants(b'H') {
        entry.begin('H');
        trailer(&mut entry, program, t);
    }
    if wants(b'I') && t.body.processor == b"MULTIPART" {
        entry.begin('I');
        entry.line(&form(t));
    }
    if wants(b'J') && t.multipart.parts.iter().any(|part| part.filename.is_some()) {
        entry.begin('J');
        files(&mut entry, t);
    }
    if wants(b'K') {
        entry.begin('K');
        for rule in t.audit.matched.iter().filter_map(|rule| program.rule(*rule)) {
            let head = program.head(rule);
            entry.text(&format!("[id \"{}\"] [file \"{}\"] [line \"{}\"]\n", head.id.0, head.file, rule.line));
        }
        entry.text("\n");
    }
    entry.begin('Z');
    entry.text("\n");
    entry.out
}

/// Eight digits that are the same for no two entries next to each other. The engine has no randomness of its own, and
/// a client cannot choose the unique id.
fn boundary(transaction: &Transaction) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in transaction.unique_id.of(&transaction.arena) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash ^= transaction.now.subsec_nanos();
    format!("{hash:08x}")
}

struct Entry {
    out: Vec<u8>,
    boundary: String,
}

impl Entry {
    fn begin(&mut self, part: char) {
        let line = format!("--{}-{part}--\n", self.boundary);
        self.text(&line);
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.push(b'\n');
    }

    /// `Message: text`, one line whatever is in the text.
    fn labelled(&mut self, label: &str, bytes: &[u8]) {
        self.text(label);
        self.text(": ");
        self.line(bytes);
    }

    fn fields(&mut self, transaction: &Transaction, pairs: &[Pair], is_request: bool) {
        for pair in pairs {
            self.out.extend_from_slice(pair.name.of(&transaction.arena));
            self.text(": ");
            self.line(&sanitise::field(transaction, pair, is_request));
        }
        self.text("\n");
    }
}

fn trailer(entry: &mut Entry, program: &Program, transaction: &Transaction) {
    for message in &transaction.audit.messages {
        entry.labelled("Message", &message.text);
    }
    if transaction.is_interrupted {
        let phase = transaction.interruption.as_ref().map_or(0, |interruption| interruption.phase);
        entry.text(&format!("Action: Intercepted (phase {phase})\n"));
    }
    entry.text(&format!("Stopwatch: {} {}\n", transaction.now.as_micros(), transaction.elapsed.as_micros()));
    let mut producer = PRODUCER.to_owned();
    for signature in program.component_signatures() {
        producer.push_str("; ");
        producer.push_str(signature);
    }
    entry.text(&format!("Producer: {producer}.\n"));
    entry.text(&format!("Response-Status: {}\n", transaction.response.status));
    entry.text(&format!("Engine-Mode: \"{}\"\n\n", engine_mode(transaction)));
}

/// The fields of a multipart body as a form, without the files.
fn form(transaction: &Transaction) -> Vec<u8> {
    use crate::waf::transformation::{Transformation, TransformationContext};
    let context = TransformationContext::default();
    let mut out = Vec::new();
    for Part { name, filename, content, .. } in &transaction.multipart.parts {
        if filename.is_some() {
            continue;
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        let mut push = |bytes: &[u8]| {
            let mut encoded = Vec::new();
            let is_changed = Transformation::UrlEncode.apply(bytes, &mut encoded, &context);
            out.extend_from_slice(if is_changed { &encoded } else { bytes });
        };
        push(transaction.stored(*name));
        let is_hidden = sanitise::is_hidden(transaction.stored(*name), &transaction.audit.hidden.arguments);
        let value = transaction.stored(*content);
        let value = if is_hidden { vec![b'*'; value.len()] } else { value.to_vec() };
        out.push(b'=');
        let mut encoded = Vec::new();
        let is_changed = Transformation::UrlEncode.apply(&value, &mut encoded, &context);
        out.extend_from_slice(if is_changed { &encoded } else { &value });
    }
    out
}

fn files(entry: &mut Entry, transaction: &Transaction) {
    entry.text("#,size,name,filename\n");
    let files = transaction.multipart.parts.iter().filter(|part| part.filename.is_some());
    let mut total = 0;
    for (index, part) in (1..).zip(files) {
        let mut row = format!("{index},{},\"", part.size).into_bytes();
        line::escape(transaction.stored(part.name), &mut row);
        row.extend_from_slice(b"\",\"");
        line::escape(transaction.stored(part.filename.unwrap_or_default()), &mut row);
        row.push(b'"');
        entry.line(&row);
        total += part.size;
    }
    entry.text(&format!("Total,{total}\n\n"));
}
