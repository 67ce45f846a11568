//! What can be wrong with a certificate or key file, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::diagnostics::Diagnostic;

/// A file that cannot be used. Every variant names it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not readable.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not PEM, or PEM that breaks off.
    #[error("`{}` is not valid PEM: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// PEM without a certificate in it.
    #[error("`{}` contains no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// PEM without a key in it.
    #[error("`{}` contains no private key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key that needs a password.
    #[error("the private key in `{}` is encrypted", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that is not X.509.
    #[error("certificate {} of `{}` is not a valid X.509 certificate", position + 1, path.display())]
    NotX509 {
        /// The file.
        path: PathBuf,
        /// Which of the chain, from 0.
        position: usize,
    },
    /// A key of a kind that TLS does not know.
    #[error("the private key in `{}` cannot be used: {source}", path.display())]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Key and certificate are not a pair.
    #[error("the key `{}` does not belong to the certificate `{}`", key.display(), certificate.display())]
    KeyMismatch {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A chain in the wrong order.
    #[error(
        "the chain in `{}` is out of order: certificate {} (`{issuer}`) was not the issuer of the one before it \
         (`{subject}`)", path.display(), position + 1
    )]
    ChainOrder {
        /// The file.
        path: PathBuf,
        /// The certificate out of order, from 0.
        position: usize,
        /// Its subject.
        issuer: String,
        /// The subject before it.
        subject: String,
    },
    /// The leaf is an authority.
    #[error("the first certificate of `{}` (`{subject}`) is an authority, not a server's own", path.display())]
    LeafNotFirst {
        /// The file.
        path: PathBuf,
        /// Its subject.
        subject: String,
    },
    /// Roots that no verifier takes.
    #[error("the roots in `{}` cannot be used: {source}", path.display())]
    UnusableRoots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The system has no trusted roots.
    #[error("the system's certificate store is empty")]
    NoSystemRoots,
}

impl CertificateError {
    /// What to do, in one sentence.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "let the user that portcullis runs as read the file".to_owned()
            }
            Self::Unreadable { .. } => return None,
            Self::NotPem { path, .. } | Self::NoCertificate { path } => {
                let path = path.display();
                format!(
                    "a PEM file begins with `-----BEGIN`; convert DER with `openssl x509 -inform der -in {path}` and PFX \
                     with `openssl pkcs12 -in {path} -nodes`"
                )
            }
            Self::NoKey { .. } => "give a PEM file with a PKCS#8, SEC1 (EC) or PKCS#1 (RSA) private key".to_owned(),
            Self::EncryptedKey { path } => format!(
                "decrypt it with `openssl pkey -in {} -out plain.pem`, and protect the result by its file mode",
                path.display()
            ),
            Self::KeyMismatch { .. } => {
                "compare `openssl x509 -noout -pubkey -in CERTIFICATE` with `openssl pkey -pubout -in KEY`".to_owned()
            }
            Self::ChainOrder { .. } | Self::LeafNotFirst { .. } => {
                "put the server's own certificate first, then its issuer, and so on; the root may be left out"
                    .to_owned()
            }
            Self::NoSystemRoots => "install the package `ca-certificates`, or name a file of roots".to_owned(),
            Self::NotX509 { .. } | Self::UnusableKey { .. } | Self::UnusableRoots { .. } => return None,
        })
    }

    /// As a problem of the configuration; `place` says which setting names the file.
    pub fn into_diagnostic(self, place: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error(None, format!("{place}: {self}"));
        match self.advice() {
            Some(advice) => diagnostic.advise(advice),
            None => diagnostic,
        }
    }
}
