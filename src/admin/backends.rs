//! What is known of the backends: for people as JSON, for Prometheus as gauges and counters.

use std::time::UNIX_EPOCH;

use serde_json::json;

use crate::telemetry::Exposition;
use crate::upstream::{Backend, Upstreams};

/// The answer of `/backends`.
pub(super) fn json(upstreams: &Upstreams) -> String {
    let pools: Vec<_> = upstreams
        .pools()
        .iter()
        .map(|pool| {
            let backends: Vec<_> = pool.backends().iter().map(backend_json).collect();
            json!({ "pool": pool.settings().name, "running": pool.running(), "backends": backends })
        })
        .collect();
    serde_json::to_string_pretty(&pools).unwrap_or_default() + "\n"
}

fn backend_json(backend: &Backend) -> serde_json::Value {
    let counters = backend.counters();
    let probe = backend.last_probe().map(|report| {
        let (status, layer, message) = match &report.outcome {
            Ok(status) => (Some(*status), None, format!("status {status}")),
            Err(failure) => (None, Some(failure.layer()), failure.to_string()),
        };
        json!({
            "at": report.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            "milliseconds": report.took.as_millis(),
            "status": status,
            "failed_layer": layer,
            "message": message,
        })
    });
    json!({
        "backend": backend.name(),
        "health": format!("{:?}", backend.health()).to_lowercase(),
        "available": backend.is_available(),
        "ejected": backend.is_ejected(),
        "running": backend.running(),
        "requests": counters.requests,
        "failures": counters.failures,
        "connects": counters.connects,
        "connect_failures": counters.connect_failures,
        "ejections": counters.ejections,
        "last_probe": probe,
    })
}

/// Appends the families of backends.
pub(super) fn render_metrics(upstreams: &Upstreams, out: &mut String) {
    type Pick = fn(&Backend) -> u64;
    let families: [(&str, &str, &str, Pick); 8] = [
        ("portcullis_upstream_healthy", "gauge", "1 while the backend takes traffic.", |b| u64::from(b.is_available())),
        ("portcullis_upstream_ejected", "gauge", "1 while it is left out after failed requests.", |b| {
            u64::from(b.is_ejected())
        }),
        ("portcullis_upstream_requests_running", "gauge", "Requests running on it.", |b| b.running() as u64),
        ("portcullis_upstream_requests_total", "counter", "Requests given to it.", |b| b.counters().requests),
        ("portcullis_upstream_failures_total", "counter", "Of them, failed.", |b| b.counters().failures),
        ("portcullis_upstream_ejections_total", "counter", "Times it was ejected.", |b| b.counters().ejections),
        ("portcullis_upstream_probes_total", "counter", "Probes made.", |b| b.counters().probes),
        ("portcullis_upstream_probe_failures_total", "counter", "Of them, failed.", |b| b.counters().probe_failures),
    ];
    let mut text = Exposition { out };
    for (name, kind, help, pick) in families {
        text.family(name, kind, help);
        for pool in upstreams.pools() {
            for backend in pool.backends() {
                text.sample(name, &[("pool", &pool.settings().name), ("server", backend.name())], pick(backend));
            }
        }
    }
}
