//! TLS towards one backend pool: one `rustls::ClientConfig`, built with the snapshot and shared by all its connections.
//!
//! Trust is explicit: the pool's own roots file, or the system's store when it names none. The certificate must be
//! valid for the name the pool gives, whatever address is connected to. A client certificate is presented when the
//! pool has one. Verification can only be off when the configuration says so in plain words.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::provider;
use crate::certificate::CertificateError;
use crate::certificate::load::{self, KeyMaterial};
use crate::config::model::PoolTls;
use crate::diagnostics::Diagnostics;

/// The client configuration of one pool.
#[derive(Debug)]
pub struct ClientTls {
    material: Material,
    /// Offers h2 and http/1.1, or only http/1.1 where the pool does not speak HTTP/2.
    config: Arc<ClientConfig>,
    /// Offers http/1.1 only.
    http1: Arc<ClientConfig>,
}

/// The content of everything that went into a configuration.
#[derive(Debug, PartialEq, Eq)]
struct Material {
    settings: PoolTls,
    offers_http2: bool,
    roots: Option<Vec<CertificateDer<'static>>>,
    client: Option<KeyMaterial>,
}

impl ClientTls {
    /// Reads the files and builds the configuration, or returns `previous` when nothing in them changed (its sessions
    /// and connections stay usable). `place` names the pool in messages; `sessions` bounds the resumption cache.
    pub fn build(
        settings: &PoolTls,
        offers_http2: bool,
        sessions: usize,
        place: &str,
        previous: Option<&Arc<Self>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Self>> {
        let now = UnixTime::now();
        let mut failed = false;
        let mut roots = None;
        if let Some(path) = &settings.roots {
            match load::certificates(path) {
                Ok(certificates) => roots = Some(certificates),
                Err(error) => {
                    diagnostics.push(error.into_diagnostic(&format!("{place}: roots")));
                    failed = true;
                }
            }
        }
        let mut client = None;
        if let Some(files) = &settings.client_certificate {
            let place = format!("{place}: client_certificate");
            client = load::key_pair(files, &place, now, diagnostics).map(|(material, _)| material);
            failed |= client.is_none();
        }
        if failed {
            return None;
        }
        let material = Material { settings: settings.clone(), offers_http2, roots, client };
        if let Some(previous) = previous
            && previous.material == material
        {
            return Some(Arc::clone(previous));
        }
        let built = Self::from_material(material, sessions);
        built.map(Arc::new).map_err(|error| diagnostics.push(error.into_diagnostic(place))).ok()
    }

    /// The configuration for a new connection.
    pub fn config(&self, offer_http2: bool) -> &Arc<ClientConfig> {
        if offer_http2 { &self.config } else { &self.http1 }
    }

    fn from_material(material: Material, sessions: usize) -> Result<Self, CertificateError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        #[expect(clippy::expect_used, reason = "the provider's cipher suites cover both versions; a test builds this")]
        let builder = builder.with_safe_default_protocol_versions().expect("aws-lc-rs has suites of both versions");
        let verifier: Arc<dyn ServerCertVerifier> = if material.settings.verify {
            verifier(&material, &provider)?
        } else {
            Arc::new(AcceptAnyone { provider: Arc::clone(&provider) })
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match (&material.client, &material.settings.client_certificate) {
            (Some(material), Some(files)) => {
                let key = load::certified_key(material, files, &provider)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
            _ => builder.with_no_client_auth(),
        };
        // rustls keeps 256 sessions by default; a pool wants one for each backend's name, with some to spare.
        config.resumption = Resumption::in_memory_sessions(sessions.max(MINIMUM_SESSIONS));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        if material.offers_http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let config = if material.offers_http2 { Arc::new(config) } else { Arc::clone(&http1) };
        Ok(Self { material, config, http1 })
    }
}

/// Sessions kept for resumption at least.
const MINIMUM_SESSIONS: usize = 32;

fn verifier(
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, CertificateError> {
    let mut store = RootCertStore::empty();
    match (&material.roots, &material.settings.roots) {
        (Some(roots), Some(path)) => {
            for root in roots {
                let unusable = |source| CertificateError::UnusableRoots { path: path.clone(), source };
                store.add(root.clone()).map_err(unusable)?;
            }
        }
        _ => {
            // Some systems carry a certificate or two that webpki does not take; the others are still good.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    builder.build().map_err(|_| CertificateError::NoSystemRoots)
}

/// Takes every certificate. Only for pools whose configuration says `insecure_skip_verify: true`.
#[derive(Debug)]
struct AcceptAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
