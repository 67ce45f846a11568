//! Builds everything a configuration needs, off the path, and tries it before it is put in force.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use crate::config::model::{ClientCertificatePolicy, Configuration, KeyPair, Policy};
use crate::config::{Loaded, Places};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::gateway::Snapshot;
use crate::route::Router;
use crate::telemetry::Metrics;
use crate::tls::client::ClientTls;
use crate::tls::server::ServerTls;
use crate::tls::ticket::Tickets;
use crate::upstream::Upstreams;
use crate::waf::{Connection, Program, RequestLine, Scratch, Transaction};

/// What of the running snapshot the new one builds on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Previous<'p> {
    pub(super) snapshot: &'p Arc<Snapshot>,
    /// Slots whose listener is not in the new configuration: their TLS settings stay as they are.
    pub(super) removed: &'p [usize],
}

/// Builds a snapshot of a configuration whose listeners stand at their slots.
pub(super) fn build(
    configuration: Configuration,
    places: &Places,
    previous: Option<Previous<'_>>,
    tickets: &Tickets,
    metrics: &Metrics,
) -> Result<(Snapshot, Diagnostics), Diagnostics> {
    let mut found = Diagnostics::new();
    let mut listeners = Vec::with_capacity(configuration.listeners.len());
    for (slot, listener) in configuration.listeners.iter().enumerate() {
        let kept = previous.filter(|previous| previous.removed.contains(&slot));
        if let Some(tls) = kept.and_then(|previous| previous.snapshot.listeners.get(slot)) {
            listeners.push(tls.clone());
            continue;
        }
        let tls = match &listener.tls {
            None => None,
            Some(settings) => {
                let place = format!("listener `{}`: tls", listener.name);
                match ServerTls::build(settings, listener.http2, tickets, &place) {
                    Ok(tls) => {
                        found.extend(tls.warnings.clone());
                        Some(tls)
                    }
                    Err(problems) => {
                        found.extend(problems);
                        None
                    }
                }
            }
        };
        listeners.push(tls);
    }
    let old = previous.map(|previous| &previous.snapshot.upstreams);
    let upstreams = match Upstreams::build(&configuration, old) {
        Ok(upstreams) => {
            found.extend(upstreams.warnings().clone());
            Some(upstreams)
        }
        Err(problems) => {
            found.extend(problems);
            None
        }
    };
    for policy in &configuration.policies {
        if let Err(problem) = try_rules(policy) {
            found.push(problem);
        }
        if let Some(log) = policy.program.as_deref().and_then(Program::audit_log)
            && let Err(error) = crate::telemetry::try_audit_log(log)
        {
            let message = format!("the audit log {} cannot be written: {error}", log.path.display());
            found.push(Diagnostic::error(None, message));
        }
    }
    let found = places.locate(found);
    match upstreams {
        Some(upstreams) if !found.has_errors() => {
            let handles = metrics.request_handles(&configuration);
            let router = Router::new(&configuration);
            Ok((Snapshot { configuration, router, upstreams, listeners, handles }, found))
        }
        _ => Err(found),
    }
}

/// Everything that loading and building finds, without binding or serving: `portcullis check`. `problems` is what
/// loading found; after an error in the file the certificates that it names are looked at all the same, so that all of
/// it can be mended at once.
pub fn check(loaded: Loaded, problems: Diagnostics) -> Result<Diagnostics, Diagnostics> {
    let mut all = problems;
    if all.has_errors() {
        all.extend(loaded.places.locate(try_certificates(&loaded.configuration)));
        return Err(all);
    }
    match build(loaded.configuration, &loaded.places, None, &Tickets::new(), &Metrics::new()) {
        Ok((_, found)) => {
            all.extend(found);
            Ok(all)
        }
        Err(found) => {
            all.extend(found);
            Err(all)
        }
    }
}

/// What is wrong with the certificates of a configuration, which may be half a one. Files that cannot be read have been
/// told of already, with their own places.
fn try_certificates(configuration: &Configuration) -> Diagnostics {
    let mut found = Diagnostics::new();
    let tickets = Tickets::new();
    for listener in &configuration.listeners {
        let Some(mut settings) = listener.tls.clone() else { continue };
        settings.certificates.retain(is_readable_pair);
        if let ClientCertificatePolicy::Optional(roots) | ClientCertificatePolicy::Required(roots) =
            &settings.client_certificate
            && !is_readable(roots)
        {
            settings.client_certificate = ClientCertificatePolicy::None;
        }
        if settings.certificates.is_empty() {
            continue;
        }
        let place = format!("listener `{}`: tls", listener.name);
        match ServerTls::build(&settings, listener.http2, &tickets, &place) {
            Ok(tls) => found.extend(tls.warnings),
            Err(problems) => found.extend(problems),
        }
    }
    for pool in &configuration.pools {
        if let Some(mut settings) = pool.tls.clone() {
            settings.client_certificate = settings.client_certificate.filter(is_readable_pair);
            if settings.roots.as_deref().is_some_and(|roots| !is_readable(roots)) {
                continue;
            }
            let place = format!("pool `{}`: tls", pool.name);
            ClientTls::build(&settings, pool.http2, 1, &place, None, &mut found);
        }
    }
    found
}

fn is_readable(path: &Path) -> bool {
    std::fs::File::open(path).is_ok()
}

fn is_readable_pair(pair: &KeyPair) -> bool {
    is_readable(&pair.certificate) && is_readable(&pair.key)
}

/// One harmless transaction through a policy's rules: whatever panics does so here and not on the path.
fn try_rules(policy: &Policy) -> Result<(), Diagnostic> {
    let Some(program) = &policy.program else { return Ok(()) };
    let run = || {
        let mut scratch = Scratch::default();
        let connection = Connection {
            client_address: std::net::Ipv4Addr::LOCALHOST.into(),
            client_port: 1,
            server_address: std::net::Ipv4Addr::LOCALHOST.into(),
            server_port: 443,
            unique_id: "self-check",
            now: clock::unix_now(),
            is_detection_only: true,
        };
        let line = RequestLine {
            raw: b"GET /self-check?q=1 HTTP/1.1",
            method: b"GET",
            target: b"/self-check?q=1",
            protocol: b"HTTP/1.1",
        };
        let headers: [(&[u8], &[u8]); 3] =
            [(b"Host", b"localhost"), (b"User-Agent", b"portcullis"), (b"Accept", b"*/*")];
        let mut transaction = Transaction::new(program, &mut scratch, &connection);
        // The verdicts do not matter here.
        drop(transaction.request_headers(program, &mut scratch, line, headers.into_iter()));
        drop(transaction.finish_request_body(program, &mut scratch));
        let headers: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/plain")];
        drop(transaction.response_headers(program, &mut scratch, 200, b"HTTP/1.1", headers.into_iter()));
        drop(transaction.finish_response_body(program, &mut scratch));
        drop(transaction.finish(program, &mut scratch, Duration::from_millis(1)));
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        let message = format!("the rules of the policy `{}` make the engine fail on a plain request", policy.name);
        Diagnostic::error(None, message).advise("this is a bug of portcullis: please report it with the rules")
    })
}
