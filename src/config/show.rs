//! A configuration as it is in force: every key with its value, defaults included, in the form of the file.
//!
//! `portcullis config show` prints it. What came from an environment variable that sounds like a secret is not even
//! read for it ([`is_secret`]), so it cannot be printed by mistake.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::decode::{format_bytes, format_duration};
use super::model::{
    Balance, Beyond, BodyWindow, ClientCertificatePolicy, Configuration, Flavour, HostHeader, KeyPair, Listener,
    LogSink, Mode, OnFault, PathMatch, Policy, Pool, Route, RouteAction, Site,
};

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Does the name of an environment variable sound as if its value were nobody's business?
pub fn is_secret(name: &str) -> bool {
    let words = ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "CREDENTIAL", "APIKEY", "API_KEY", "PRIVATE"];
    words.iter().any(|word| name.contains(word))
}

/// A value of the file.
enum Node {
    Plain(String),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
}

/// The file that says all of it. Rules are told by their number: their text is in their own files.
pub fn show(configuration: &Configuration) -> String {
    let admin = configuration.admin.map(|address| map([("address", text(address))]));
    let runtime = &configuration.runtime;
    let logs = &configuration.logs;
    let top = map([
        ("listeners", list(&configuration.listeners, listener)),
        ("sites", list(&configuration.sites, |one| site(configuration, one))),
        ("pools", list(&configuration.pools, pool)),
        ("policies", list(&configuration.policies, policy)),
        ("admin", admin.unwrap_or_else(|| plain("off"))),
        (
            "logs",
            map([
                ("access", sink(&logs.access)),
                ("firewall", sink(&logs.firewall)),
                ("rule_messages", sink(&logs.rule_messages)),
                ("queue", plain(logs.queue)),
            ]),
        ),
        (
            "runtime",
            map([
                ("workers", plain(runtime.workers)),
                ("flavour", plain(if runtime.flavour == Flavour::PerCore { "per_core" } else { "shared" })),
                ("drain", duration(runtime.drain)),
            ]),
        ),
    ]);
    let mut out = String::new();
    render(&top, 0, &mut out);
    out
}

fn listener(listener: &Listener) -> Node {
    let (timeouts, limits) = (&listener.timeouts, &listener.limits);
    let mut node = vec![("name", text(&listener.name)), ("address", text(listener.address))];
    if let Some(tls) = &listener.tls {
        let mut keys = vec![
            ("certificates", list(&tls.certificates, key_pair)),
            ("minimum_version", text(if tls.tls12 { "1.2" } else { "1.3" })),
        ];
        let policy = match &tls.client_certificate {
            ClientCertificatePolicy::None => None,
            ClientCertificatePolicy::Optional(roots) => Some(("optional", roots)),
            ClientCertificatePolicy::Required(roots) => Some(("required", roots)),
        };
        if let Some((mode, roots)) = policy {
            keys.push(("client_certificate", map([("mode", plain(mode)), ("roots", path(roots))])));
        }
        node.push(("tls", Node::Map(keys)));
    }
    node.extend([
        ("http2", plain(listener.http2)),
        ("trust_request_id", plain(listener.trust_request_id)),
        (
            "timeouts",
            map([
                ("handshake", duration(timeouts.handshake)),
                ("head", duration(timeouts.head)),
                ("body", duration(timeouts.body)),
                ("write", duration(timeouts.write)),
                ("idle", duration(timeouts.idle)),
            ]),
        ),
    ]);
    let mut bounds = vec![("head_bytes", bytes(limits.head_bytes as u64)), ("headers", plain(limits.headers))];
    // No bound is what is meant when the key is left out.
    if limits.body_bytes != u64::MAX {
        bounds.push(("body_bytes", bytes(limits.body_bytes)));
    }
    bounds.extend([("connections", plain(limits.connections)), ("h2_streams", plain(limits.h2_streams))]);
    node.push(("limits", Node::Map(bounds)));
    Node::Map(node)
}

fn site(configuration: &Configuration, site: &Site) -> Node {
    let mut node = vec![("name", text(&site.name))];
    if !site.listeners.is_empty() {
        let names = site.listeners.iter().filter_map(|index| configuration.listeners.get(*index));
        node.push(("listeners", Node::List(names.map(|listener| text(&listener.name)).collect())));
    }
    node.push(("hosts", list(&site.hosts, |host| text(host))));
    let policy = |index: u16| configuration.policies.get(usize::from(index)).map_or("", |policy| &policy.name);
    node.push(("policy", text(policy(site.policy.0))));
    node.push(("routes", list(&site.routes, |one| route(configuration, one, policy(one.policy.0)))));
    Node::Map(node)
}

fn route(configuration: &Configuration, route: &Route, policy: &str) -> Node {
    let matched = match &route.path {
        PathMatch::Exact(path) => ("path_exact", text(path)),
        PathMatch::Prefix(path) => ("path", text(path)),
    };
    let mut node = vec![("name", text(&route.name)), matched, ("policy", text(policy))];
    match &route.action {
        RouteAction::Forward { pool, host, rewrite_prefix } => {
            let name = configuration.pools.get(usize::from(pool.0)).map_or("", |pool| &pool.name);
            let host = match host {
                HostHeader::Preserve => "preserve",
                HostHeader::Backend => "backend",
                HostHeader::Literal(host) => host,
            };
            node.extend([("pool", text(name)), ("host", text(host))]);
            node.extend(rewrite_prefix.as_ref().map(|prefix| ("rewrite_prefix", text(prefix))));
        }
        RouteAction::Redirect { status, location } => {
            node.push(("redirect", map([("status", plain(status)), ("location", text(location))])));
        }
        RouteAction::Respond { status, body } => {
            node.push(("respond", map([("status", plain(status)), ("body", text(body))])));
        }
    }
    Node::Map(node)
}

fn pool(pool: &Pool) -> Node {
    let backends = list(&pool.backends, |backend| {
        let is_bare = backend.host.contains(':') && !backend.host.starts_with('[');
        let host = if is_bare { format!("[{}]", backend.host) } else { backend.host.clone() };
        map([("address", text(format!("{host}:{}", backend.port))), ("weight", plain(backend.weight))])
    });
    let balance = if pool.balance == Balance::RoundRobin { "round_robin" } else { "least_request" };
    let mut node = vec![("name", text(&pool.name)), ("backends", backends), ("balance", plain(balance))];
    if let Some(tls) = &pool.tls {
        let mut keys = vec![("insecure_skip_verify", plain(!tls.verify))];
        keys.extend(tls.roots.as_deref().map(|roots| ("roots", path(roots))));
        keys.extend(tls.server_name.as_ref().map(|name| ("server_name", text(name))));
        keys.extend(tls.client_certificate.as_ref().map(|pair| ("client_certificate", key_pair(pair))));
        node.push(("tls", Node::Map(keys)));
    }
    node.push(("http2", plain(pool.http2)));
    if let Some(probe) = &pool.probe {
        let status = list(&probe.expected_status, |(from, to)| {
            text(if from == to { from.to_string() } else { format!("{from}-{to}") })
        });
        let mut keys = vec![("path", text(&probe.path))];
        keys.extend(probe.host.as_ref().map(|host| ("host", text(host))));
        keys.extend([
            ("interval", duration(probe.interval)),
            ("timeout", duration(probe.timeout)),
            ("healthy_threshold", plain(probe.healthy_threshold)),
            ("unhealthy_threshold", plain(probe.unhealthy_threshold)),
            ("status", status),
        ]);
        keys.extend(probe.expected_body.as_ref().map(|body| ("body", text(body))));
        keys.push(("jitter_percent", plain(probe.jitter_percent)));
        node.push(("probe", Node::Map(keys)));
    }
    if let Some(ejection) = &pool.ejection {
        let keys = [
            ("consecutive_failures", plain(ejection.consecutive_failures)),
            ("base_duration", duration(ejection.base_duration)),
            ("maximum_percent", plain(ejection.maximum_percent)),
        ];
        node.push(("ejection", map(keys)));
    }
    let (timeouts, retry) = (&pool.timeouts, &pool.retry);
    node.extend([
        (
            "timeouts",
            map([
                ("connect", duration(timeouts.connect)),
                ("response", duration(timeouts.response)),
                ("read", duration(timeouts.read)),
                ("idle", duration(timeouts.idle)),
            ]),
        ),
        (
            "retry",
            map([
                ("attempts", plain(retry.attempts)),
                ("budget_percent", plain(retry.budget_percent)),
                ("buffer_bytes", bytes(retry.buffer_bytes as u64)),
            ]),
        ),
        ("idle_connections", plain(pool.idle_connections)),
    ]);
    Node::Map(node)
}

fn policy(policy: &Policy) -> Node {
    let mode = match policy.mode {
        Mode::Off => "off",
        Mode::Detection => "detection",
        Mode::Prevention => "prevention",
    };
    let window = |window: &BodyWindow| {
        let beyond = if window.beyond == Beyond::Reject { "reject" } else { "process_partial" };
        map([("inspect", plain(window.inspect)), ("bytes", bytes(window.bytes as u64)), ("beyond", plain(beyond))])
    };
    let mut node = vec![("name", text(&policy.name)), ("mode", plain(mode))];
    if let Some(program) = &policy.program {
        node.push(("rules", plain(format!("# {} in force", program.rule_count()))));
    }
    node.extend([
        ("request_body", window(&policy.request_body)),
        ("response_body", window(&policy.response_body)),
        ("on_fault", plain(if policy.on_fault == OnFault::Deny { "deny" } else { "allow" })),
    ]);
    Node::Map(node)
}

fn key_pair(pair: &KeyPair) -> Node {
    map([("certificate", path(&pair.certificate)), ("key", path(&pair.key))])
}

fn sink(sink: &LogSink) -> Node {
    match sink {
        LogSink::Off => plain("off"),
        LogSink::Stdout => plain("stdout"),
        LogSink::Stderr => plain("stderr"),
        LogSink::File(file) => path(file),
    }
}

fn plain(value: impl ToString) -> Node {
    Node::Plain(value.to_string())
}

fn text(value: impl ToString) -> Node {
    Node::Text(value.to_string())
}

fn path(path: &Path) -> Node {
    text(path.display())
}

fn duration(value: Duration) -> Node {
    plain(format_duration(value))
}

fn bytes(value: u64) -> Node {
    plain(format_bytes(value))
}

fn list<T>(items: &[T], of: impl Fn(&T) -> Node) -> Node {
    Node::List(items.iter().map(of).collect())
}

fn map<const N: usize>(keys: [(&'static str, Node); N]) -> Node {
    Node::Map(keys.into())
}

/// Block style; lists of plain things in one line. A text is quoted as in JSON, which YAML reads the same.
fn render(node: &Node, depth: usize, out: &mut String) {
    let Node::Map(keys) = node else { return };
    for (index, (key, value)) in keys.iter().enumerate() {
        // The first key of a list's member stands behind the dash.
        if index > 0 || !out.ends_with("- ") {
            out.push_str(&"  ".repeat(depth));
        }
        match value {
            Node::Map(_) => {
                out.push_str(&format!("{key}:\n"));
                render(value, depth + 1, out);
            }
            Node::List(items) if items.iter().any(|item| matches!(item, Node::Map(_))) => {
                out.push_str(&format!("{key}:\n"));
                for item in items {
                    out.push_str(&"  ".repeat(depth + 1));
                    out.push_str("- ");
                    render(item, depth + 2, out);
                }
            }
            _ => {
                let written = writeln!(out, "{key}: {}", scalar(value));
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
        }
    }
}

fn scalar(node: &Node) -> String {
    match node {
        Node::Plain(text) => text.clone(),
        // A dollar of our own is doubled, so that what is printed can be read again.
        Node::Text(text) => serde_json::Value::from(text.replace('$', "$$")).to_string(),
        Node::List(items) => format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
        Node::Map(_) => String::new(),
    }
}
