//! Reads PEM chains, keys and roots, and checks at load what would otherwise fail in some client's handshake: the key
//! belongs to the certificate, the chain is in order, nothing is expired.
//!
//! What is loaded compares equal exactly when the files' content is: a reload uses that to keep what did not change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::{CertificateError, Leaf};
use crate::config::model::KeyPair;
use crate::diagnostics::{Diagnostic, Diagnostics};

/// A chain with its key, as read. Neither `Debug` nor anything else prints the key.
pub struct KeyMaterial {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

impl PartialEq for KeyMaterial {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

impl Eq for KeyMaterial {}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaterial").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Reads a chain and its key and checks both. `place` names the setting in messages. Warnings (soon expired, already
/// expired, an order that only strict clients refuse) and errors go to `diagnostics`; `None` after an error.
pub fn key_pair(
    files: &KeyPair,
    place: &str,
    now: UnixTime,
    diagnostics: &mut Diagnostics,
) -> Option<(KeyMaterial, Leaf)> {
    let chain = report(certificates(&files.certificate), place, diagnostics);
    let key = report(private_key(&files.key), place, diagnostics);
    let chain = chain?;
    let leaves = report(parse_chain(&files.certificate, &chain), place, diagnostics)?;
    let (leaf, _) = leaves.split_first()?;
    report(check_order(&files.certificate, &leaves), place, diagnostics)?;
    for (position, certificate) in leaves.iter().enumerate() {
        let which = if position == 0 { String::new() } else { format!("certificate {} of ", position + 1) };
        if let Some(warning) = expiry(certificate, now, &format!("{place}: {which}`{}`", files.certificate.display())) {
            diagnostics.push(warning);
        }
    }
    Some((KeyMaterial { chain, key: key? }, leaf.clone()))
}

/// Makes the key usable and proves that it belongs to the chain.
pub fn certified_key(
    material: &KeyMaterial,
    files: &KeyPair,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    match CertifiedKey::from_der(material.chain.clone(), material.key.clone_key(), provider) {
        Ok(key) => Ok(Arc::new(key)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(CertificateError::KeyMismatch { certificate: files.certificate.clone(), key: files.key.clone() })
        }
        Err(source) => Err(CertificateError::UnusableKey { path: files.key.clone(), source }),
    }
}

/// Every certificate of a PEM file, in its order; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|source| CertificateError::NotPem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key of a PEM file: PKCS#8, SEC1 or PKCS#1.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(path)?;
    if ENCRYPTED.iter().any(|mark| memchr::memmem::find(&text, mark).is_some()) {
        return Err(CertificateError::EncryptedKey { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        PemError::NoItemsFound => CertificateError::NoKey { path: path.to_owned() },
        source => CertificateError::NotPem { path: path.to_owned(), source },
    })
}

/// Says that a certificate is expired, not valid yet, or about to expire.
pub fn expiry(certificate: &Leaf, now: UnixTime, what: &str) -> Option<Diagnostic> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let left = certificate.expires_in(now);
    let days = left.unsigned_abs() / 86_400;
    let message = if left < 0 {
        format!("{what} (`{}`) expired {days} days ago", certificate.subject)
    } else if certificate.not_before > seconds {
        format!("{what} (`{}`) is not valid yet", certificate.subject)
    } else if left < EXPIRY_WARNING_SECONDS {
        format!("{what} (`{}`) expires in {days} days", certificate.subject)
    } else {
        return None;
    };
    Some(Diagnostic::warning(None, message).advise("renew it, then `portcullis reload`"))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Unreadable { path: path.to_owned(), source })
}

fn parse_chain(path: &Path, chain: &[CertificateDer<'static>]) -> Result<Vec<Leaf>, CertificateError> {
    let parse = |(position, der): (usize, &CertificateDer<'static>)| {
        Leaf::parse(der).ok_or_else(|| CertificateError::NotX509 { path: path.to_owned(), position })
    };
    chain.iter().enumerate().map(parse).collect()
}

fn check_order(path: &Path, leaves: &[Leaf]) -> Result<(), CertificateError> {
    if let [first, _, ..] = leaves
        && first.is_authority
    {
        return Err(CertificateError::LeafNotFirst { path: path.to_owned(), subject: first.subject.clone() });
    }
    for (position, pair) in leaves.windows(2).enumerate() {
        if let [subject, issuer] = pair
            && subject.issuer != issuer.subject
        {
            return Err(CertificateError::ChainOrder {
                path: path.to_owned(),
                position: position + 1,
                issuer: issuer.subject.clone(),
                subject: subject.subject.clone(),
            });
        }
    }
    Ok(())
}

fn report<T>(result: Result<T, CertificateError>, place: &str, diagnostics: &mut Diagnostics) -> Option<T> {
    result.map_err(|error| diagnostics.push(error.into_diagnostic(place))).ok()
}

/// Marks of a key that needs a password: PKCS#8 and the older OpenSSL form.
const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];

/// Certificates that live this long without renewal are usually forgotten ones; automatic renewal happens at 30 days.
const EXPIRY_WARNING_SECONDS: i64 = 21 * 86_400;
