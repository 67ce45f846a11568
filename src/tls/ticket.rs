//! Session tickets: the keys that let a client come back without a full handshake.
//!
//! One [`Tickets`] lives as long as the process, beside the snapshots, so that a reload does not cost every client a
//! full handshake. Tickets are stateless (nothing is stored per session) and their keys rotate every six hours.
//!
//! A resumed session skips the client's certificate, and rustls does not check that it was established under the same
//! demands. So each client-certificate policy has keys of its own: a ticket from a listener that asks for nothing is
//! unreadable to one that demands a certificate, and so is one from a time when other roots were trusted.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls_pki_types::CertificateDer;

/// The ticket keys of the process.
#[derive(Debug, Default)]
pub struct Tickets {
    ticketers: Mutex<Vec<(TicketPolicy, Weak<dyn ProducesTickets>)>>,
}

/// What must be equal for a session to be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TicketPolicy {
    /// No certificate is asked for.
    NoClientCertificate,
    /// One is asked for, or demanded, under these roots.
    ClientCertificate { is_required: bool, roots: Vec<CertificateDer<'static>> },
}

impl Tickets {
    /// None yet; keys are made when the first listener of a policy is built.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ticket keys of a policy: those in use, or new ones. They live as long as some snapshot uses them.
    pub(super) fn of(&self, policy: &TicketPolicy) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let mut ticketers = self.ticketers.lock().unwrap_or_else(PoisonError::into_inner);
        ticketers.retain(|(_, ticketer)| ticketer.strong_count() > 0);
        let known = ticketers.iter().find(|(known, _)| known == policy);
        if let Some(ticketer) = known.and_then(|(_, ticketer)| ticketer.upgrade()) {
            return Ok(ticketer);
        }
        let ticketer = Ticketer::new()?;
        ticketers.push((policy.clone(), Arc::downgrade(&ticketer)));
        Ok(ticketer)
    }
}
