//! The response as rules see it.

use super::collection::Span;
use super::collection::headers::{self, Pair};
use super::content_coding;
use super::settings::{EngineMode, LimitAction};
use super::transaction::{BodyStep, Transaction};
use super::{Disruption, Program};

/// What is known of the response.
#[derive(Debug, Default)]
pub(crate) struct ResponseState {
    /// Has phase 3 begun?
    pub(crate) has_head: bool,
    pub(crate) status: u16,
    pub(crate) protocol: Span,
    /// Is its media type among those whose bodies are inspected?
    pub(crate) is_mime_type_inspected: bool,
    /// Is the body there for phase 4?
    pub(crate) is_body_inspected: bool,
    /// OUTBOUND_DATA_ERROR
    pub(crate) is_body_too_long: bool,
    /// Is the head that of an answer of the gateway's own?
    is_own: bool,
}

impl Transaction {
    /// Takes everything that phase 3 can see.
    pub(crate) fn take_response_head(
        &mut self,
        program: &Program,
        status: u16,
        protocol: &[u8],
        tell: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])),
    ) {
        self.response.has_head = true;
        self.response.status = status;
        self.response.protocol = self.store(protocol);
        self.response_headers.clear();
        tell(&mut |name, value| {
            let name = self.store(name);
            let value = self.store(value);
            self.response_headers.push(Pair { name, value });
        });
        let media_type = headers::find(&self.response_headers, &self.arena, b"Content-Type").unwrap_or_default();
        let end = media_type.iter().position(|byte| *byte == b';').unwrap_or(media_type.len());
        let media_type = media_type.get(..end).unwrap_or_default().trim_ascii();
        let inspected = &program.settings.response_body_mime_types;
        self.response.is_mime_type_inspected = inspected.iter().any(|own| own.eq_ignore_ascii_case(media_type));
    }

    /// The client is answered with this, by the gateway, and not with what a backend said: phase 5 and the audit log
    /// see it as the response. After a denial of which this is not told they see the status that the rule wanted.
    /// `tell` says name and value of each header field.
    pub fn answered(
        &mut self,
        program: &Program,
        status: u16,
        protocol: &[u8],
        tell: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])),
    ) {
        self.take_response_head(program, status, protocol, tell);
        self.response.is_own = true;
    }

    /// Before phase 5: nothing of a response that a rule has stopped is left to see.
    pub(crate) fn note_denial(&mut self, program: &Program) {
        if !self.is_interrupted || self.response.is_own {
            return;
        }
        let status = match self.interruption.as_ref().map(|interruption| &interruption.disruption) {
            Some(Disruption::Deny { status } | Disruption::Redirect { status, .. }) => *status,
            // As in ModSecurity 2, though nobody gets to see it.
            Some(Disruption::Drop) => 403,
            None => return,
        };
        self.answered(program, status, b"HTTP/1.1", |_| {});
    }

    /// Undoes the content codings of an inspected body; one that cannot be unfolded is inspected as it is.
    pub(crate) fn unfold_response_body(&mut self) {
        if !self.response.is_body_inspected {
            return;
        }
        let encoding = headers::find(&self.response_headers, &self.arena, b"Content-Encoding");
        let limit = self.control.response_body_limit;
        if let Some(Ok(unfolded)) = content_coding::decode(encoding, &self.response_body, limit) {
            self.response_body = unfolded;
        }
    }

    /// Keeps the bytes of the body up to the limit.
    pub(crate) fn take_response_body(&mut self, chunk: &[u8]) -> BodyStep {
        if self.control.engine == EngineMode::Off {
            return BodyStep::WindowFull;
        }
        let limit = usize::try_from(self.control.response_body_limit).unwrap_or(usize::MAX);
        let room = limit.saturating_sub(self.response_body.len());
        let kept = chunk.get(..chunk.len().min(room)).unwrap_or_default();
        self.response_body.extend_from_slice(kept);
        if chunk.len() <= room {
            return BodyStep::Continue;
        }
        self.response.is_body_too_long = true;
        match self.control.response_body_limit_action {
            LimitAction::Reject if self.control.may_interrupt() => BodyStep::Reject,
            _ => BodyStep::WindowFull,
        }
    }
}
