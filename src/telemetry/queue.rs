//! The bounded queue between the workers and the one thread that writes log files.
//!
//! A line is formatted by the worker into its own buffer and copied here under a lock held for that copy only. The
//! writer swaps full buffers for empty ones and writes without the lock. It sleeps while there is nothing, is woken by
//! the first line, and then waits for more, [`BATCH`] long or until there are [`BATCH_BYTES`], so that a gateway wakes
//! it fifty times a second and not once a request. A channel with one message per line was measured elsewhere at two
//! futex calls a request and left.
//!
//! In heavy traffic a file grows from border to border ([`super::sink`]), so it may end within a line until the rest
//! follows, as it may while any long write is under way.
//!
//! What must stay true: a worker never waits for a disk. When a buffer is full its next line is dropped and counted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::audit::{AuditFiles, Entry};
use super::sink::{Sink, open_all, reopen};
use super::{Counter, log};
use crate::config::model::{LogSink, Logs};
use crate::limits::LOG_QUEUE_BYTES;

/// How long the writer collects before it writes, unless a line is urgent.
const BATCH: Duration = Duration::from_millis(20);

/// With so much of one log it does not wait: what is written while it is still in the processor's cache costs less than
/// ever larger buffers, which push everything else out of it.
const BATCH_BYTES: usize = 256 * 1024;

/// The logs, in the order of everything indexed by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogKind {
    Access,
    Firewall,
    RuleMessages,
    /// Not a log of the configuration's: rule sets name its files.
    Audit,
}

impl LogKind {
    pub(super) const ALL: [Self; 4] = [Self::Access, Self::Firewall, Self::RuleMessages, Self::Audit];

    /// The label's value.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Firewall => "firewall",
            Self::RuleMessages => "rule_messages",
            Self::Audit => "audit",
        }
    }

    /// Rule messages are read by test runners right after the response; the others can wait for a batch.
    fn is_urgent(self) -> bool {
        self == Self::RuleMessages
    }
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: usize,
    /// So much of it is in the file.
    written: usize,
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        // One burst must not hold its memory for ever.
        self.bytes.shrink_to(LOG_QUEUE_BYTES / 16);
        (self.lines, self.written) = (0, 0);
    }
}

#[derive(Debug, Default)]
struct State {
    buffers: [Buffer; 3],
    audit: Vec<Entry>,
    audit_bytes: usize,
    /// All of it is to be written now.
    is_urgent: bool,
    /// There is enough of one log to write.
    is_large: bool,
    is_writer_idle: bool,
    should_reopen: bool,
    targets: Option<[LogSink; 3]>,
    is_closing: bool,
    /// Counts up with every flush asked for; the writer copies it to `flushed`.
    flush_wanted: u64,
    flushed: u64,
}

impl State {
    fn is_due(&self) -> bool {
        self.is_urgent || self.is_large
    }

    fn is_empty(&self) -> bool {
        self.audit.is_empty() && self.buffers.iter().all(|buffer| buffer.lines == 0)
    }
}

/// Shared by all workers and the writer.
#[derive(Debug)]
pub(super) struct LogQueue {
    state: Mutex<State>,
    wake: Condvar,
    written: Condvar,
    capacity: AtomicUsize,
    enabled: [AtomicBool; 3],
    dropped: [Counter; 4],
    lines: [Counter; 4],
}

impl LogQueue {
    /// Opens the files and starts the writer thread.
    pub(super) fn start(logs: &Logs) -> io::Result<Arc<Self>> {
        let targets = targets_of(logs);
        let sinks = open_all(&targets)?;
        let queue = Arc::new(Self {
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            written: Condvar::new(),
            capacity: AtomicUsize::new(logs.queue),
            enabled: targets.each_ref().map(|target| AtomicBool::new(*target != LogSink::Off)),
            dropped: Default::default(),
            lines: Default::default(),
        });
        let writer = Arc::clone(&queue);
        std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run(targets, sinks))?;
        Ok(queue)
    }

    /// Is this log written at all? Asked before a line is formatted.
    pub(super) fn is_enabled(&self, kind: LogKind) -> bool {
        self.enabled[kind as usize].load(Ordering::Relaxed)
    }

    /// Queues whole lines, or drops them.
    pub(super) fn push(&self, kind: LogKind, text: &[u8], lines: usize) {
        self.push_all(&[(kind, text, lines)]);
    }

    /// Queues whole lines of several logs, or drops those of the ones that are full.
    pub(super) fn push_all(&self, parts: &[(LogKind, &[u8], usize)]) {
        let mut state = self.lock();
        let mut should_wake = false;
        for (kind, text, lines) in parts {
            let buffer = &mut state.buffers[*kind as usize];
            let is_full = buffer.lines.saturating_add(*lines) > self.capacity.load(Ordering::Relaxed)
                || buffer.bytes.len().saturating_add(text.len()) > LOG_QUEUE_BYTES;
            if is_full {
                self.dropped[*kind as usize].add(*lines as u64);
                continue;
            }
            buffer.bytes.extend_from_slice(text);
            buffer.lines += lines;
            let is_large = buffer.bytes.len() >= BATCH_BYTES;
            let turns_due = (kind.is_urgent() && !state.is_urgent) || (is_large && !state.is_due());
            state.is_urgent |= kind.is_urgent();
            state.is_large |= is_large;
            should_wake |= state.is_writer_idle || turns_due;
            state.is_writer_idle = false;
        }
        drop(state);
        if should_wake {
            self.wake.notify_one();
        }
    }

    /// Queues one audit entry, or drops it.
    pub(super) fn push_audit(&self, entry: Entry) {
        let mut state = self.lock();
        let is_full = state.audit.len() >= self.capacity.load(Ordering::Relaxed)
            || state.audit_bytes.saturating_add(entry.bytes.len()) > LOG_QUEUE_BYTES;
        if is_full {
            drop(state);
            self.dropped[LogKind::Audit as usize].increment();
            return;
        }
        state.audit_bytes += entry.bytes.len();
        state.audit.push(entry);
        let should_wake = std::mem::take(&mut state.is_writer_idle);
        drop(state);
        if should_wake {
            self.wake.notify_one();
        }
    }

    /// Lines dropped so far.
    pub(super) fn dropped(&self, kind: LogKind) -> u64 {
        self.dropped[kind as usize].value()
    }

    /// Lines written so far.
    pub(super) fn written(&self, kind: LogKind) -> u64 {
        self.lines[kind as usize].value()
    }

    /// Closes the files and opens them again under the same names (log rotation).
    pub(super) fn reopen(&self) {
        self.signal(|state| state.should_reopen = true);
    }

    /// Other files from now on. They are opened here, so that a failure changes nothing.
    pub(super) fn retarget(&self, logs: &Logs) -> io::Result<()> {
        let targets = targets_of(logs);
        drop(open_all(&targets)?);
        self.capacity.store(logs.queue, Ordering::Relaxed);
        for (enabled, target) in self.enabled.iter().zip(&targets) {
            enabled.store(*target != LogSink::Off, Ordering::Relaxed);
        }
        self.signal(|state| state.targets = Some(targets));
        Ok(())
    }

    /// Returns when everything queued before the call is written, or after `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.lock();
        state.flush_wanted += 1;
        let wanted = state.flush_wanted;
        state.is_urgent = true;
        self.wake.notify_one();
        let waited = self.written.wait_timeout_while(state, patience, |state| state.flushed < wanted);
        drop(waited);
    }

    /// Ends the writer after what is queued.
    pub(super) fn close(&self) {
        self.signal(|state| state.is_closing = true);
    }

    fn signal(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.is_urgent = true;
        drop(state);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave it half changed, so a poisoned one is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut targets: [LogSink; 3], mut sinks: [Sink; 3]) {
        let mut spare: [Buffer; 3] = Default::default();
        // What was left of each.
        let mut rests: [Buffer; 3] = Default::default();
        let mut audit_files = AuditFiles::default();
        loop {
            let mut state = self.lock();
            while !state.is_due() && state.is_empty() && rests.iter().all(|buffer| buffer.rest().is_empty()) {
                state.is_writer_idle = true;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.is_due() {
                state.is_writer_idle = false;
                let waited = self.wake.wait_timeout_while(state, BATCH, |state| !state.is_due());
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            let may_leave_rest = !std::mem::take(&mut state.is_urgent) && state.is_large;
            state.is_large = false;
            std::mem::swap(&mut state.buffers, &mut spare);
            let audit = std::mem::take(&mut state.audit);
            state.audit_bytes = 0;
            let should_reopen = std::mem::take(&mut state.should_reopen);
            let new_targets = state.targets.take();
            let is_closing = state.is_closing;
            let flush = state.flush_wanted;
            drop(state);

            for (index, ((buffer, rest), sink)) in spare.iter_mut().zip(&mut rests).zip(&mut sinks).enumerate() {
                let result = sink.write(rest.rest(), &buffer.bytes, may_leave_rest);
                buffer.written = *result.as_ref().unwrap_or(&buffer.bytes.len());
                // Lines of which something is left count when that is written, or is not.
                let counter = if result.is_ok() { &self.lines } else { &self.dropped };
                counter[index].add(rest.lines as u64);
                rest.clear();
                if buffer.rest().is_empty() {
                    counter[index].add(buffer.lines as u64);
                    buffer.clear();
                } else {
                    std::mem::swap(buffer, rest);
                }
            }
            for entry in audit {
                let counters = if audit_files.write(&entry).is_ok() { &self.lines } else { &self.dropped };
                counters[LogKind::Audit as usize].increment();
            }
            if new_targets.is_some() || should_reopen {
                audit_files.reopen();
                targets = new_targets.unwrap_or(targets);
                let are_all_open = reopen(&targets, &mut sinks);
                if should_reopen && are_all_open {
                    // Said here, and not by whoever asked for it: from now on lines go to the new files.
                    log::info("log", format_args!("log files opened again"));
                }
            }
            let mut state = self.lock();
            state.flushed = state.flushed.max(flush);
            drop(state);
            self.written.notify_all();
            if is_closing {
                return;
            }
        }
    }
}

fn targets_of(logs: &Logs) -> [LogSink; 3] {
    [logs.access.clone(), logs.firewall.clone(), logs.rule_messages.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(directory: &std::path::Path, queue: usize) -> Logs {
        Logs {
            access: LogSink::File(directory.join("access.log")),
            firewall: LogSink::Off,
            rule_messages: LogSink::File(directory.join("rules.log")),
            queue,
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn lines_arrive_in_order_and_survive_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 1000)).unwrap();
        assert!(queue.is_enabled(LogKind::Access) && !queue.is_enabled(LogKind::Firewall));
        for number in 0..100 {
            queue.push(LogKind::Access, format!("{number}\n").as_bytes(), 1);
        }
        queue.flush(PATIENCE);
        let old = directory.path().join("access.log.1");
        std::fs::rename(directory.path().join("access.log"), &old).unwrap();
        queue.reopen();
        queue.flush(PATIENCE);
        queue.push(LogKind::Access, b"after\n", 1);
        queue.flush(PATIENCE);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(std::fs::read_to_string(old).unwrap(), expected);
        assert_eq!(std::fs::read_to_string(directory.path().join("access.log")).unwrap(), "after\n");
        assert_eq!(queue.written(LogKind::Access), 101);
        queue.close();
    }

    #[test]
    fn much_is_written_up_to_borders_and_nothing_is_lost_or_cut_in_two_by_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let queue = LogQueue::start(&logs(directory.path(), 1_000_000)).unwrap();
        let mut expected = Vec::new();
        for round in 0..4 {
            for number in 0..3000 {
                let line = format!("{round} {number} {}\n", "x".repeat(number % 700));
                queue.push(LogKind::Access, line.as_bytes(), 1);
                expected.extend_from_slice(line.as_bytes());
            }
            std::fs::rename(&path, directory.path().join(format!("access.log.{round}"))).unwrap();
            queue.reopen();
            queue.flush(PATIENCE);
            let old = std::fs::read(directory.path().join(format!("access.log.{round}"))).unwrap();
            assert_eq!(old.last(), Some(&b'\n'));
            assert!(expected.starts_with(&old));
            expected.drain(..old.len());
        }
        queue.flush(PATIENCE);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(queue.written(LogKind::Access), 12_000);
        queue.close();
    }

    #[test]
    fn what_was_left_is_written_when_nothing_follows() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 10)).unwrap();
        let text = vec![b'x'; BATCH_BYTES + 1];
        queue.push(LogKind::Access, &text, 1);
        for _ in 0..1000 {
            if std::fs::metadata(directory.path().join("access.log")).unwrap().len() == text.len() as u64 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the rest was not written");
    }

    #[test]
    fn a_line_counts_as_written_when_all_of_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 1_000_000)).unwrap();
        let text = vec![b'x'; BATCH_BYTES + 1];
        for _ in 0..20 {
            queue.push(LogKind::Access, &text, 1);
            let written = queue.written(LogKind::Access);
            let length = std::fs::metadata(directory.path().join("access.log")).unwrap().len();
            assert!(written <= length / text.len() as u64, "{written} lines in {length} bytes");
        }
        queue.flush(PATIENCE);
        assert_eq!((queue.written(LogKind::Access), queue.dropped(LogKind::Access)), (20, 0));
        queue.close();
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 10)).unwrap();
        queue.push(LogKind::Access, b"too many\n", 11);
        assert_eq!(queue.dropped(LogKind::Access), 11);
        queue.push(LogKind::Access, &vec![b'x'; LOG_QUEUE_BYTES + 1], 1);
        assert_eq!(queue.dropped(LogKind::Access), 12);
        queue.close();
    }

    #[test]
    fn urgent_lines_are_written_without_a_flush() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 10)).unwrap();
        queue.push(LogKind::RuleMessages, b"one\n", 1);
        for _ in 0..1000 {
            if queue.written(LogKind::RuleMessages) == 1 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the line was not written");
    }

    #[test]
    fn a_bad_target_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let queue = LogQueue::start(&logs(directory.path(), 10)).unwrap();
        let mut other = logs(directory.path(), 10);
        other.access = LogSink::File(directory.path().join("missing/access.log"));
        assert!(queue.retarget(&other).unwrap_err().to_string().contains("missing/access.log"));
        assert!(LogQueue::start(&other).is_err());
        queue.push(LogKind::Access, b"still\n", 1);
        queue.flush(PATIENCE);
        assert_eq!(std::fs::read_to_string(directory.path().join("access.log")).unwrap(), "still\n");
    }
}
