//! TLS towards clients: one `rustls::ServerConfig` per listener.
//!
//! The runtime builds it with each snapshot; the gateway hands it to the acceptor. Certificates are chosen by SNI:
//! exact name, then wildcard, then the first certificate of the listener. Several certificates may carry the same name
//! (ECDSA beside RSA): the first whose key the client can verify is taken.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, version};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::provider;
use super::ticket::{TicketPolicy, Tickets};
use crate::certificate::load;
use crate::certificate::{CertificateError, Leaf};
use crate::config::model::{ClientCertificatePolicy, ListenerTls};
use crate::diagnostics::{Diagnostic, Diagnostics};

/// The server side of one listener.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// The leaf certificates, in the order of the configuration: for metrics (expiry) and the admin page.
    pub certificates: Vec<Leaf>,
    /// Certificates about to expire.
    pub warnings: Diagnostics,
    names: Arc<Certificates>,
}

impl ServerTls {
    /// Reads the files and builds the configuration. `place` names the listener in messages.
    pub fn build(settings: &ListenerTls, http2: bool, tickets: &Tickets, place: &str) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let certificates = Certificates::load(settings, place, &mut diagnostics);
        let policy = read_policy(&settings.client_certificate, place, &mut diagnostics);
        let config = match (certificates, policy) {
            (Some((certificates, leaves)), Some(policy)) if !diagnostics.has_errors() => {
                let names = Arc::new(certificates);
                match build_config(settings, http2, tickets, Arc::clone(&names), policy) {
                    Ok(config) => Some((config, leaves, names)),
                    Err(error) => {
                        diagnostics.push(error.into_diagnostic(place));
                        None
                    }
                }
            }
            _ => None,
        };
        match config {
            Some((config, certificates, names)) => {
                Ok(Self { config: Arc::new(config), certificates, warnings: diagnostics, names })
            }
            None => Err(diagnostics),
        }
    }

    /// Is the certificate shown to whoever asks for `sni` also right for `host`? One that no certificate names has none
    /// of its own to insist on.
    pub fn is_one_certificate(&self, sni: &str, host: &[u8]) -> bool {
        let Some(own) = std::str::from_utf8(host).ok().and_then(|host| self.names.named(host)) else { return true };
        let shown = self.names.named(sni).unwrap_or(&self.names.default);
        own.iter().any(|key| shown.iter().any(|other| Arc::ptr_eq(key, other)))
    }
}

/// The certificates of a listener, found by name.
#[derive(Debug)]
struct Certificates {
    /// Lower-case name to keys, in the order of the configuration; a wildcard is kept without its `*.`.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    fn load(settings: &ListenerTls, place: &str, diagnostics: &mut Diagnostics) -> Option<(Self, Vec<Leaf>)> {
        let now = UnixTime::now();
        let mut certificates = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: Vec::new() };
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut first_names: Vec<String> = Vec::new();
        for (position, files) in settings.certificates.iter().enumerate() {
            let place = format!("{place}: certificates[{position}]");
            let Some((material, leaf)) = load::key_pair(files, &place, now, diagnostics) else { continue };
            let key = match load::certified_key(&material, files, &provider()) {
                Ok(key) => key,
                Err(error) => {
                    diagnostics.push(error.into_diagnostic(&place));
                    continue;
                }
            };
            if leaf.dns_names.is_empty() && leaf.addresses.is_empty() {
                let message =
                    format!("{place}: `{}` names nobody, so no client accepts it", files.certificate.display());
                let advice = "issue it with a subject alternative name; the common name is not looked at";
                diagnostics.push(Diagnostic::warning(None, message).advise(advice));
            }
            for name in &leaf.dns_names {
                match name.strip_prefix("*.") {
                    Some(parent) => certificates.wildcard.entry(parent.to_owned()).or_default().push(key.clone()),
                    None => certificates.exact.entry(name.clone()).or_default().push(key.clone()),
                }
            }
            // Another certificate with the same names (RSA beside ECDSA) is an alternative for the default too.
            if certificates.default.is_empty() {
                first_names.clone_from(&leaf.dns_names);
                certificates.default.push(key);
            } else if leaf.dns_names == first_names {
                certificates.default.push(key);
            }
            leaves.push(leaf);
        }
        (leaves.len() == settings.certificates.len() && !leaves.is_empty()).then_some((certificates, leaves))
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        // rustls gives the name as sent, and names do not differ by case.
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        let wildcard = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(name).or_else(wildcard).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = hello.server_name().and_then(|name| self.named(name)).unwrap_or(&self.default);
        let schemes = hello.signature_schemes();
        let usable = keys.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or_else(|| keys.first()).cloned()
    }
}

enum Policy {
    None,
    Ask { is_required: bool, path: PathBuf, roots: Vec<CertificateDer<'static>> },
}

fn read_policy(policy: &ClientCertificatePolicy, place: &str, diagnostics: &mut Diagnostics) -> Option<Policy> {
    let (is_required, path) = match policy {
        ClientCertificatePolicy::None => return Some(Policy::None),
        ClientCertificatePolicy::Optional(path) => (false, path),
        ClientCertificatePolicy::Required(path) => (true, path),
    };
    let place = format!("{place}: client_certificate");
    match load::certificates(path) {
        Ok(roots) => {
            let now = UnixTime::now();
            for root in roots.iter().filter_map(|root| Leaf::parse(root)) {
                let what = format!("{place}: root in `{}`", path.display());
                if let Some(warning) = load::expiry(&root, now, &what) {
                    diagnostics.push(warning);
                }
            }
            Some(Policy::Ask { is_required, path: path.clone(), roots })
        }
        Err(error) => {
            diagnostics.push(error.into_diagnostic(&place));
            None
        }
    }
}

fn build_config(
    settings: &ListenerTls,
    http2: bool,
    tickets: &Tickets,
    certificates: Arc<Certificates>,
    policy: Policy,
) -> Result<ServerConfig, CertificateError> {
    let versions: &[&rustls::SupportedProtocolVersion] =
        if settings.tls12 { &[&version::TLS13, &version::TLS12] } else { &[&version::TLS13] };
    let builder = ServerConfig::builder_with_provider(provider());
    #[expect(clippy::expect_used, reason = "the provider's cipher suites cover both versions; a test builds this")]
    let builder = builder.with_protocol_versions(versions).expect("aws-lc-rs has suites of both versions");
    let (builder, policy) = match policy {
        Policy::None => (builder.with_no_client_auth(), TicketPolicy::NoClientCertificate),
        Policy::Ask { is_required, path, roots } => {
            let mut store = RootCertStore::empty();
            for root in &roots {
                let unusable = |source| CertificateError::UnusableRoots { path: path.clone(), source };
                store.add(root.clone()).map_err(unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider());
            let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|_| CertificateError::NoCertificate { path })?;
            let policy = TicketPolicy::ClientCertificate { is_required, roots };
            (builder.with_client_cert_verifier(verifier), policy)
        }
    };
    let mut config = builder.with_cert_resolver(certificates);
    // Some clients name HTTP/1.0 and nothing else; refusing them there would be an alert without a word.
    let offered: &[&[u8]] = if http2 { &[b"h2", b"http/1.1", b"http/1.0"] } else { &[b"http/1.1", b"http/1.0"] };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    // Stateless tickets instead of a session cache: nothing is stored per client and no lock is taken per handshake.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Ok(ticketer) = tickets.of(&policy) {
        config.ticketer = ticketer;
    }
    // Each ticket is a signature-free but not costless record; a stateless one may be used again, so one is enough.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}
