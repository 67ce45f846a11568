//! The one exit: phase 5, access log, firewall log, metrics, exactly once for each request, however it ended.
//!
//! It has two halves. [`Exchange::conclude`] is the rules' part: the path calls it when the whole response is known
//! and before its end goes out, so that whoever has read a response finds every message of it in the log (test runners
//! rely on it, and people who try a rule), and the next request sees what this one taught the collections.
//! [`Exchange::record`] is the account, and can only be given when the last byte is out. An exchange that is dropped
//! without (the client reset its stream, the task was cancelled, something panicked) does both itself.

use super::fault::{Fault, FaultKind};
use super::inspect::Seen;
use super::reply::Reply;
use super::request::Exchange;
use crate::config::model::RouteAction;
use crate::http::Known;
use crate::runtime::clock;
use crate::telemetry::{About, AccessRecord, Action, FaultRecord, WafRecord, WafVerdict};
use crate::waf::{Program, Scratch, Transaction};

impl Exchange {
    /// An answer of the gateway's own is about to go out: phase 5 sees it as the response.
    pub(super) fn conclude_with(&mut self, reply: &Reply) {
        if self.is_concluded() {
            return;
        }
        // The phase that denied has ended just now.
        if self.outcome.action != Action::Deny {
            self.now = clock::now();
        }
        self.run_last_phase(None, Some(reply));
    }

    /// Phase 5 and its messages, once, before the end of the response goes out. The engine is asked even if it failed
    /// before, but a second failure is only noted.
    pub(super) fn conclude(&mut self) {
        if !self.is_concluded() {
            self.now = clock::now();
            self.run_last_phase(None, None);
        }
    }

    /// Is there nothing (more) for phase 5 to see?
    fn is_concluded(&self) -> bool {
        self.inspection.as_ref().is_none_or(|inspection| inspection.summary.is_some())
    }

    fn run_last_phase(&mut self, mut scratch: Option<&mut Scratch>, reply: Option<&Reply>) {
        let elapsed = self.now.saturating_duration_since(self.started);
        let (id, started) = (self.id, self.started_unix);
        let finish = |transaction: &mut Transaction, program: &Program, scratch: &mut Scratch, _: Seen<'_>| {
            if let Some(reply) = reply {
                transaction.answered(program, reply.status, b"HTTP/1.1", |take| reply.fields(&id, started, take));
            }
            transaction.finish(program, scratch, elapsed)
        };
        let summary = self.engine_with(scratch.as_deref_mut(), finish);
        let summary = summary.ok().flatten().unwrap_or_default();
        let Some(inspection) = &mut self.inspection else { return };
        let recorder = &self.worker.shared.recorder;
        if recorder.wants_rule_messages() {
            let about = About { id: self.id.as_str(), started: self.started_unix, client: Some(self.client.peer) };
            let fresh = summary.matches.get(inspection.announced..).unwrap_or_default();
            recorder.rule_messages(about, fresh, &summary.notices);
        }
        inspection.summary = Some(summary);
        // One that has failed is not to be trusted.
        if let Some(transaction) = inspection.transaction.take().filter(|_| !inspection.is_failed) {
            match scratch {
                Some(scratch) => transaction.recycle(scratch),
                None => transaction.recycle(&mut self.worker.scratch()),
            }
        }
    }

    /// Ends the request's account.
    pub(super) fn record(&mut self) {
        if std::mem::take(&mut self.is_open) && !self.leave_aside() {
            self.close(None);
        }
    }

    /// As [`Exchange::record`] for whoever has a scratch of his own.
    pub(super) fn record_with(&mut self, scratch: &mut Scratch) {
        if std::mem::take(&mut self.is_open) {
            self.close(Some(scratch));
        }
    }

    fn close(&mut self, scratch: Option<&mut Scratch>) {
        if !self.is_concluded() {
            self.now = clock::now();
            self.run_last_phase(scratch, None);
        }
        self.now = clock::now();
        let total = self.now.saturating_duration_since(self.started);
        let policy = self.policy();
        let route = self.route();
        let pool = match route.map(|route| &route.action) {
            Some(RouteAction::Forward { pool, .. }) if self.outcome.lease.is_some() => {
                self.snapshot.configuration.pools.get(usize::from(pool.0)).map(|pool| pool.name.as_str())
            }
            _ => None,
        };
        let fields = &self.head.fields;
        let outcome = &self.outcome;
        let record = AccessRecord {
            id: self.id.as_bytes(),
            started: self.started_unix,
            listener: self.snapshot.listener(self.client.listener).map_or("", |listener| &listener.name),
            site: self.site().map_or("", |site| &site.name),
            route: route.map_or("", |route| &route.name),
            pool: pool.unwrap_or_default(),
            policy: policy.map_or("", |policy| &policy.name),
            backend: outcome.lease.as_ref().map_or("", |lease| lease.backend_name()),
            connection: Some(&self.client.text),
            method: self.head.method(),
            target: self.head.target(),
            protocol: self.head.protocol(),
            host: fields.first(Known::Host).unwrap_or_default(),
            user_agent: fields.first(Known::UserAgent).unwrap_or_default(),
            status: outcome.status,
            backend_status: outcome.backend_status,
            content_type: &outcome.content_type,
            received_bytes: outcome.received_bytes,
            sent_bytes: outcome.sent_bytes,
            total,
            connect: outcome.connect,
            first_byte: outcome.first_byte,
            action: outcome.action,
            waf: self.waf_record(),
            fault: outcome.fault.as_ref().map(|fault| FaultRecord {
                kind: fault.kind.name(),
                side: fault.kind.side().name(),
                detail: &fault.detail,
            }),
            retries: outcome.retries,
            is_connection_reused: self.earlier > 0,
        };
        let handles = self.snapshot.handles.request(self.client.listener, route.map(|route| route.id));
        self.worker.shared.recorder.record(&record, handles);
        self.outcome.lease = None;
        self.inspection = None;
        self.earlier += 1;
    }

    fn waf_record(&self) -> Option<WafRecord<'_>> {
        let inspection = self.inspection.as_ref()?;
        let summary = inspection.summary.as_ref()?;
        let [request_duration, response_duration] = inspection.durations;
        let would_block = summary.interruption.as_ref().map(|found| (found.phase, found.rule_id.0));
        let verdict = match (inspection.is_failed, inspection.blocked, would_block) {
            (true, _, _) => WafVerdict::Failed,
            (_, Some(_), _) => WafVerdict::Blocked,
            (_, None, Some(_)) => WafVerdict::Detected,
            _ => WafVerdict::Allowed,
        };
        Some(WafRecord {
            mode: inspection.mode,
            verdict,
            request_duration,
            response_duration: self.outcome.backend_status.map(|_| response_duration),
            rule: inspection.blocked.or(would_block),
            inbound_score: summary.inbound_score,
            outbound_score: summary.outbound_score,
            matches: &summary.matches,
            audit: self
                .policy()
                .and_then(|policy| policy.program.as_deref()?.audit_log())
                .zip(summary.audit.as_deref()),
        })
    }
}

impl Exchange {
    /// The client is gone in the middle of it: there is nobody to answer, but a line to write.
    pub(super) fn break_off(&mut self) {
        self.abandon(Fault::new(FaultKind::ClientClosed, "the client broke the exchange off"));
    }

    fn abandon(&mut self, fault: Fault) {
        if self.outcome.fault.is_none() {
            if self.outcome.status == 0 {
                self.outcome.status = fault.status();
            }
            self.outcome.fault = Some(fault);
        }
        self.record();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        if std::thread::panicking() {
            self.abandon(Fault::new(FaultKind::Panic, "the gateway failed on this request"));
        } else {
            self.break_off();
        }
    }
}
