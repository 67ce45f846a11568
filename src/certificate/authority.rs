//! Makes a certificate authority and certificates under it, for the demo, for tests and for hand-made set-ups
//! (`portcullis certs init`). ECDSA P-256 throughout: a handshake costs a third of RSA's.
//!
//! This is a convenience for laboratories and private networks, not a product: keys are written as plain PEM, readable
//! by their owner only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair as RcgenKeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::config::model::KeyPair;

/// A certificate authority with its key.
pub struct Authority {
    certificate_pem: String,
    key_pem: String,
    issuer: Issuer<'static, RcgenKeyPair>,
}

/// A certificate chain with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// Leaf first.
    pub certificate_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Proves a server's name.
    Server,
    /// Proves a client's identity.
    Client,
    /// Both.
    Both,
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Begin.
    pub from: SystemTime,
    /// End.
    pub until: SystemTime,
}

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A name or key that cannot be used.
    #[error("cannot make the certificate for `{subject}`: {source}")]
    Make {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A file that cannot be written, or exists already.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Validity {
    /// From an hour ago (clocks differ) for so many days.
    pub fn days(days: u64) -> Self {
        let now = SystemTime::now();
        Self { from: now - Duration::from_secs(3600), until: now + Duration::from_secs(days * 86_400) }
    }
}

impl Authority {
    /// A new authority of this name.
    pub fn new(name: &str, validity: Validity) -> Result<Self, AuthorityError> {
        let make = || {
            let key = RcgenKeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut parameters = parameters(name, validity);
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = parameters.self_signed(&key)?;
            let key_pem = key.serialize_pem();
            Ok(Self { certificate_pem: certificate.pem(), key_pem, issuer: Issuer::new(parameters, key) })
        };
        make().map_err(|source| AuthorityError::Make { subject: name.to_owned(), source })
    }

    /// An authority made before.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, AuthorityError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| AuthorityError::Read { path: path.to_owned(), source })
        };
        let (certificate_pem, key_pem) = (read(certificate)?, read(key)?);
        let make = || {
            let key = RcgenKeyPair::from_pem(&key_pem)?;
            Issuer::from_ca_cert_pem(&certificate_pem, key)
        };
        let subject = certificate.display().to_string();
        let issuer = make().map_err(|source| AuthorityError::Make { subject, source })?;
        Ok(Self { certificate_pem, key_pem, issuer })
    }

    /// The root, to be trusted by the other side.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The root with its key.
    pub fn as_issued(&self) -> Issued {
        Issued { certificate_pem: self.certificate_pem.clone(), key_pem: self.key_pem.clone() }
    }

    /// A server's certificate; the names may be DNS names, wildcards and addresses, the first is also the common name.
    pub fn server(&self, names: &[&str]) -> Result<Issued, AuthorityError> {
        let subject = names.first().copied().unwrap_or("server");
        self.issue(subject, names, Usage::Server, Validity::days(LEAF_DAYS))
    }

    /// A client's certificate.
    pub fn client(&self, common_name: &str) -> Result<Issued, AuthorityError> {
        self.issue(common_name, &[], Usage::Client, Validity::days(LEAF_DAYS))
    }

    /// Any certificate.
    pub fn issue(
        &self,
        common_name: &str,
        names: &[&str],
        usage: Usage,
        validity: Validity,
    ) -> Result<Issued, AuthorityError> {
        let make = || {
            let key = RcgenKeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut parameters = parameters(common_name, validity);
            for name in names {
                parameters.subject_alt_names.push(match name.parse() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName((*name).try_into()?),
                });
            }
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = match usage {
                Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
                Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
                Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            };
            parameters.use_authority_key_identifier_extension = true;
            let certificate = parameters.signed_by(&key, &self.issuer)?;
            Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
        };
        make().map_err(|source| AuthorityError::Make { subject: common_name.to_owned(), source })
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key` (mode 0600) into a directory, which must exist. Existing files are an error.
    pub fn write(&self, directory: &Path, name: &str) -> Result<KeyPair, AuthorityError> {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        write_new(&certificate, &self.certificate_pem, 0o644)?;
        write_new(&key, &self.key_pem, 0o600)?;
        Ok(KeyPair { certificate, key })
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Validity of an authority made by hand.
pub const AUTHORITY_DAYS: u64 = 3_650;

/// Validity of a certificate: the longest that browsers take (398 days), less a day.
pub const LEAF_DAYS: u64 = 397;

fn parameters(common_name: &str, validity: Validity) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    parameters.not_before = epoch + since_epoch(validity.from);
    parameters.not_after = epoch + since_epoch(validity.until);
    parameters
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let write = |mut file: fs::File| file.write_all(text.as_bytes());
    options.open(path).and_then(write).map_err(|source| AuthorityError::Write { path: path.to_owned(), source })
}
