//! The access log: one JSON line per request. `docs/logs.md` tells the fields; names are stable.

use std::ops::Range;

use super::AccessRecord;
use super::json::JsonLine;
use super::record::WafRecord;
use crate::config::model::Mode;

/// Longest method, target, host, user agent and content type written; a longer one is cut, and the line says so.
const FIELD_BYTES: usize = 8 * 1024;

/// The parts of a line that the firewall log tells in the same words: where in the buffer they are.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    /// Everything up to the host.
    pub(super) request: Range<usize>,
    /// The object about the inspection.
    pub(super) waf: Range<usize>,
}

/// Appends the line.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>) -> Told {
    let mut told = Told { request: out.len()..0, ..Told::default() };
    let mut line = JsonLine::new(out);
    line.time("time", record.started);
    write_request(&mut line, record);
    told.request.end = line.position();
    line.bytes_if_any("user_agent", cut(record.user_agent));
    line.number("status", record.status);
    line.bytes("action", record.action.name().as_bytes());
    if let Some(status) = record.backend_status {
        line.number("backend_status", status);
    }
    line.bytes_if_any("content_type", cut(record.content_type));
    line.number("received_bytes", record.received_bytes);
    line.number("sent_bytes", record.sent_bytes);
    line.seconds("duration", record.total);
    if let Some(connect) = record.connect {
        line.seconds("connect", connect);
    }
    if let Some(first_byte) = record.first_byte {
        line.seconds("first_byte", first_byte);
    }
    line.bytes_if_any("pool", record.pool.as_bytes());
    line.bytes_if_any("backend", record.backend.as_bytes());
    if record.retries > 0 {
        line.number("retries", record.retries);
    }
    if record.is_connection_reused {
        line.boolean("connection_reused", true);
    }
    if let Some(waf) = &record.waf {
        line.raw("waf", |out| {
            told.waf.start = out.len();
            write_waf(out, waf);
            told.waf.end = out.len();
        });
    }
    if let Some(tls) = record.connection.map(|connection| &connection.tls).filter(|tls| !tls.is_empty()) {
        line.raw("tls", |out| out.extend_from_slice(tls));
    }
    if let Some(fault) = &record.fault {
        line.raw("fault", |out| {
            let mut object = JsonLine::new(out);
            object.bytes("kind", fault.kind.as_bytes());
            object.bytes("side", fault.side.as_bytes());
            object.bytes("detail", fault.detail.as_bytes());
            object.close();
        });
    }
    if record.target.len() > FIELD_BYTES {
        line.boolean("cut", true);
    }
    line.finish();
    told
}

/// Who asked for what, where it went: the part that both logs have.
pub(super) fn write_request(line: &mut JsonLine<'_>, record: &AccessRecord<'_>) {
    line.bytes("id", record.id);
    line.bytes("listener", record.listener.as_bytes());
    line.bytes_if_any("site", record.site.as_bytes());
    line.bytes_if_any("route", record.route.as_bytes());
    if let Some(connection) = record.connection {
        line.fields(&connection.client);
    }
    line.bytes("method", cut(record.method));
    line.bytes("target", cut(record.target));
    line.bytes("protocol", cut(record.protocol));
    line.bytes("host", cut(record.host));
}

/// The verdict, as both logs tell it.
pub(super) fn write_waf(out: &mut Vec<u8>, waf: &WafRecord<'_>) {
    let mut object = JsonLine::new(out);
    object.bytes("verdict", waf.verdict.name().as_bytes());
    object.bytes("mode", mode_name(waf.mode).as_bytes());
    object.seconds("duration", waf.duration());
    if let Some((phase, rule)) = waf.rule {
        object.number("phase", phase);
        object.number("rule", rule);
    }
    if let Some(score) = waf.inbound_score {
        object.signed("inbound_score", score);
    }
    if let Some(score) = waf.outbound_score {
        object.signed("outbound_score", score);
    }
    if !waf.matches.is_empty() {
        object.count("matches", waf.matches.len());
    }
    object.close();
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Detection => "detection",
        Mode::Prevention => "prevention",
    }
}

fn cut(value: &[u8]) -> &[u8] {
    value.get(..FIELD_BYTES).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Action, ConnectionText, FaultRecord, TlsRecord};
    use std::time::Duration;

    #[test]
    fn a_full_record_is_one_line_of_valid_json() {
        let target = vec![b'a'; 2 * FIELD_BYTES];
        let tls = TlsRecord { version: "TLSv1.3", cipher: "X", sni: "a.example", client_subject: "" };
        let connection = ConnectionText::new("192.0.2.1:5000".parse().unwrap(), Some(&tls));
        let record = AccessRecord {
            id: b"01",
            started: Duration::from_secs(1),
            listener: "public",
            site: "api",
            route: "all",
            pool: "apim",
            backend: "10.0.0.1:443",
            connection: Some(&connection),
            method: b"GET",
            target: &target,
            protocol: b"HTTP/1.1",
            host: b"a\xff.example\n",
            status: 502,
            backend_status: Some(200),
            total: Duration::from_millis(12),
            connect: Some(Duration::from_micros(5)),
            action: Action::Fault,
            fault: Some(FaultRecord { kind: "upstream_tls_name", side: "upstream", detail: "no \"name\"" }),
            ..AccessRecord::default()
        };
        let mut out = Vec::new();
        write(&mut out, &record);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["time"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(value["client"], "192.0.2.1");
        assert_eq!(value["client_port"], 5000);
        assert_eq!(value["tls"], serde_json::json!({"version": "TLSv1.3", "cipher": "X", "sni": "a.example"}));
        assert_eq!(value["duration"], 0.012);
        assert_eq!(value["fault"]["detail"], "no \"name\"");
        assert_eq!(value["cut"], true);
        assert_eq!(value["host"], "a\u{ff}.example\n");
    }
}
