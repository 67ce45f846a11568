//! The one place that a finished request is handed to: metrics, access log, firewall log, rule messages.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::audit::Entry;
use super::queue::{LogKind, LogQueue};
use super::rule_messages::About;
use super::{AccessRecord, Metrics, RequestMetrics, access_log, firewall_log, rule_messages};
use crate::config::model::Logs;
use crate::waf::RuleMatch;

/// The logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// A log file cannot be opened, or the writer thread cannot be started.
    #[error("{0}")]
    Log(#[from] std::io::Error),
}

/// Takes the record of every request. Cheap to clone; shared by all workers.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: Arc<LogQueue>,
    metrics: Arc<Metrics>,
}

thread_local! {
    /// One line is built here, so that the queue's lock is held for a copy only.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A line buffer that grew beyond this is given back.
const LINE_KEPT_BYTES: usize = 64 * 1024;

impl Recorder {
    /// Opens the log files and starts the writer thread.
    pub fn start(logs: &Logs, metrics: Arc<Metrics>) -> Result<Self, RecorderError> {
        Ok(Self { queue: LogQueue::start(logs)?, metrics })
    }

    /// The metrics that records go to.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Once per request, when it is over. `handles` are those of its listener and route.
    pub fn record(&self, record: &AccessRecord<'_>, handles: &RequestMetrics) {
        self.metrics.count(record, handles);
        LINE.with_borrow_mut(|line| {
            line.clear();
            let told = self.queue.is_enabled(LogKind::Access).then(|| access_log::write(line, record));
            let end = line.len();
            let matches = record.waf.as_ref().map(|waf| waf.matches).unwrap_or_default();
            if !matches.is_empty() && self.queue.is_enabled(LogKind::Firewall) {
                // Behind the access log's line, from which it takes what both say.
                firewall_log::write(line, record, told);
            }
            let (access, firewall) = line.split_at(end);
            match (access, firewall) {
                ([], []) => {}
                (access, []) => self.queue.push(LogKind::Access, access, 1),
                ([], firewall) => self.queue.push(LogKind::Firewall, firewall, 1),
                // The queue is locked once for both.
                _ => self.queue.push_all(&[(LogKind::Access, access, 1), (LogKind::Firewall, firewall, 1)]),
            }
            line.shrink_to(LINE_KEPT_BYTES);
        });
        if let Some((log, entry)) = record.waf.as_ref().and_then(|waf| waf.audit) {
            let mut bytes = entry.to_vec();
            if bytes.last() != Some(&b'\n') {
                bytes.push(b'\n');
            }
            self.queue.push_audit(Entry { log: Arc::clone(log), bytes });
        }
    }

    /// Are rule messages written at all?
    pub fn wants_rule_messages(&self) -> bool {
        self.queue.is_enabled(LogKind::RuleMessages)
    }

    /// Messages of a request that is still running: whoever has its response finds them in the log. What is queued
    /// here before another call begins, on whatever thread, is written before what that call queues.
    pub fn rule_messages(&self, about: About<'_>, matches: &[RuleMatch], notices: &[Vec<u8>]) {
        if (matches.is_empty() && notices.is_empty()) || !self.wants_rule_messages() {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            let lines = rule_messages::write(line, about, matches, notices);
            self.queue.push(LogKind::RuleMessages, line, lines);
            line.shrink_to(LINE_KEPT_BYTES);
        });
    }

    /// Opens the log files again under their names (SIGUSR1, SIGHUP).
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Other files or another queue length from now on; on failure nothing changes.
    pub fn reconfigure(&self, logs: &Logs) -> Result<(), RecorderError> {
        Ok(self.queue.retarget(logs)?)
    }

    /// Waits until everything recorded before the call is written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        self.queue.flush(patience);
    }

    /// Lines written and dropped so far, by log.
    pub(super) fn log_lines(&self) -> [(&'static str, u64, u64); 4] {
        LogKind::ALL.map(|kind| (kind.name(), self.queue.written(kind), self.queue.dropped(kind)))
    }

    /// Appends all metrics in Prometheus' text format.
    pub fn render_metrics(&self, out: &mut String) {
        self.metrics.render(out, &self.log_lines());
    }

    /// Ends the writer thread after what is queued.
    pub fn close(&self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{LogSink, Mode};
    use crate::telemetry::{WafRecord, WafVerdict};
    use crate::waf::{RuleFacts, RuleId};

    fn rule_match(id: u32) -> RuleMatch {
        let rule = RuleFacts {
            message: b"SQL".to_vec(),
            severity: Some(2),
            tags: vec![b"attack-sqli".to_vec()],
            file: "rules.conf".into(),
            line: 7,
            ..RuleFacts::default()
        };
        RuleMatch {
            rule_id: RuleId(id),
            phase: 2,
            own_message: None,
            data: b"1' or \"1".to_vec(),
            variable: b"ARGS:q".to_vec(),
            is_disruptive: id == 2,
            rule: Arc::new(rule),
            line_text: format!("ModSecurity: Warning. [id \"{id}\"]").into_bytes(),
        }
    }

    #[test]
    fn one_access_line_one_firewall_line_and_each_rule_message() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let logs = Logs {
            access: LogSink::File(path("access")),
            firewall: LogSink::File(path("firewall")),
            rule_messages: LogSink::File(path("rules")),
            queue: 100,
        };
        let metrics = Arc::new(Metrics::new());
        let recorder = Recorder::start(&logs, Arc::clone(&metrics)).unwrap();
        let handles = RequestMetrics::default();
        recorder.record(&AccessRecord { id: b"a", status: 200, ..AccessRecord::default() }, &handles);
        let matches = [rule_match(1), rule_match(2)];
        let log = Arc::new(crate::waf::AuditLog { path: path("audit"), mode: 0o600 });
        let waf = WafRecord {
            mode: Mode::Prevention,
            verdict: WafVerdict::Blocked,
            request_duration: Duration::from_micros(9),
            response_duration: None,
            rule: Some((2, 2)),
            inbound_score: Some(10),
            outbound_score: None,
            matches: &matches,
            audit: Some((&log, b"--x-A--")),
        };
        recorder.record(&AccessRecord { id: b"b", status: 403, waf: Some(waf), ..AccessRecord::default() }, &handles);
        recorder.flush(Duration::from_secs(10));
        let lines = |name: &str| -> Vec<String> {
            std::fs::read_to_string(path(name)).unwrap().lines().map(str::to_owned).collect()
        };
        let access = lines("access");
        assert_eq!(access.len(), 2);
        let second: serde_json::Value = serde_json::from_str(&access[1]).unwrap();
        assert_eq!(second["waf"]["verdict"], "blocked");
        assert_eq!(second["waf"]["inbound_score"], 10);
        let firewall = lines("firewall");
        assert_eq!(firewall.len(), 1);
        let entry: serde_json::Value = serde_json::from_str(&firewall[0]).unwrap();
        assert_eq!(entry["matches"].as_array().unwrap().len(), 2);
        assert_eq!(entry["matches"][1]["data"], "1' or \"1");
        // Messages go out while the request runs, and are not told again at its end.
        assert_eq!(lines("rules").len(), 0);
        let about = About { id: "b", started: Duration::ZERO, client: None };
        recorder.rule_messages(about, &matches, &[b"ModSecurity: a notice".to_vec()]);
        recorder.flush(Duration::from_secs(10));
        let messages = lines("rules");
        assert_eq!(messages.len(), 3);
        assert!(messages[0].contains("ModSecurity: a notice"), "{messages:?}");
        assert!(messages[1].contains("[id \"1\"]") && messages[2].contains("[id \"2\"]"));
        assert!(messages[2].contains("[unique_id \"b\"]"), "{messages:?}");
        assert!(lines("audit").iter().all(|entry| entry == "--x-A--"));
        let mut text = String::new();
        recorder.render_metrics(&mut text);
        assert!(text.contains("portcullis_waf_rule_matches_total{rule_id=\"2\",action=\"block\"} 1"), "{text}");
        recorder.close();
    }
}
