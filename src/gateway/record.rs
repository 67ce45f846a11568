//! The one exit: phase 5, access log, firewall log, metrics, exactly once for each request, however it ended.
//!
//! The path calls [`Exchange::record`] when the last byte is out. An exchange that is dropped without (the client
//! reset its stream, the task was cancelled, something panicked) records itself.

use super::fault::{Fault, FaultKind};
use super::request::Exchange;
use crate::config::model::RouteAction;
use crate::http::Known;
use crate::runtime::clock;
use crate::telemetry::{AccessRecord, FaultRecord, WafRecord, WafVerdict};
use crate::waf::Summary;

impl Exchange {
    /// Ends the request's account.
    pub(super) fn record(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let total = clock::now().saturating_duration_since(self.started);
        let summary = self.inspection.is_some().then(|| self.finish_inspection(total));
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
            id: self.id.as_str(),
            started: self.started_unix,
            listener: self.snapshot.listener(self.client.listener).map_or("", |listener| &listener.name),
            site: self.site().map_or("", |site| &site.name),
            route: route.map_or("", |route| &route.name),
            pool: pool.unwrap_or_default(),
            policy: policy.map_or("", |policy| &policy.name),
            backend: outcome.lease.as_ref().map_or("", |lease| lease.backend_name()),
            client: Some(self.client.peer),
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
            waf: summary.as_ref().and_then(|summary| self.waf_record(summary)),
            fault: outcome.fault.as_ref().map(|fault| FaultRecord {
                kind: fault.kind.name(),
                side: fault.kind.side().name(),
                detail: &fault.detail,
            }),
            tls: self.client.tls_record(),
            retries: outcome.retries,
            is_connection_reused: self.earlier > 0,
        };
        let handles = self.snapshot.handles.request(self.client.listener, route.map(|route| route.id));
        self.worker.shared.recorder.record(&record, handles);
        self.outcome.lease = None;
        self.inspection = None;
        self.earlier += 1;
    }

    /// Phase 5. The engine is asked even if it failed before, but a second failure is only noted.
    fn finish_inspection(&mut self, total: std::time::Duration) -> Summary {
        self.engine(|transaction, program, scratch, _| transaction.finish(program, scratch, total))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    fn waf_record<'a>(&'a self, summary: &'a Summary) -> Option<WafRecord<'a>> {
        let inspection = self.inspection.as_ref()?;
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
            announced: inspection.announced,
            notices: &summary.notices,
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
