//! The audit logs of rule sets, as the writer thread has them open: one file for each name that a `SecAuditLog` gave.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log;
use crate::waf::AuditLog;

/// An entry on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) log: Arc<AuditLog>,
    pub(super) bytes: Vec<u8>,
}

/// Those that are open. A file is opened when its first entry comes, and again after [`AuditFiles::reopen`].
#[derive(Debug, Default)]
pub(super) struct AuditFiles {
    open: HashMap<PathBuf, File>,
    /// Those whose last entry could not be written: one message per streak.
    failing: HashSet<PathBuf>,
}

impl AuditFiles {
    /// Writes one entry, whole.
    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let path = &entry.log.path;
        let result = self.try_write(entry);
        match &result {
            Ok(()) => {
                if !self.failing.is_empty() {
                    self.failing.remove(path);
                }
            }
            Err(error) => {
                self.open.remove(path);
                if self.failing.insert(path.clone()) {
                    let path = path.display();
                    log::error(
                        "log",
                        format_args!("cannot write to the audit log {path}: {error}; entries are dropped"),
                    );
                }
            }
        }
        result
    }

    fn try_write(&mut self, entry: &Entry) -> io::Result<()> {
        let path = &entry.log.path;
        // The system's names for our own streams cannot be opened when those are sockets, as under systemd.
        if path == Path::new("/dev/stdout") {
            return io::stdout().lock().write_all(&entry.bytes);
        }
        if path == Path::new("/dev/stderr") {
            return io::stderr().lock().write_all(&entry.bytes);
        }
        if !self.open.contains_key(path) {
            self.open.insert(path.clone(), create(&entry.log)?);
        }
        self.open.get_mut(path).map_or(Ok(()), |file| file.write_all(&entry.bytes))
    }

    /// Files may have been moved away: the next entry opens them anew.
    pub(super) fn reopen(&mut self) {
        self.open.clear();
    }
}

fn create(log: &AuditLog) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, log.mode);
    options.open(&log.path)
}

/// Can it be written to? Asked when rules are loaded; makes no file, for the check may run as another user.
pub(crate) fn try_audit_log(log: &AuditLog) -> io::Result<()> {
    match OpenOptions::new().append(true).open(&log.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = log.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::read_dir(directory.unwrap_or_else(|| Path::new("."))).map(drop)
        }
        _ if log.path.starts_with("/dev") => Ok(()),
        opened => opened.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_makes_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let log = |name: &str| AuditLog { path: directory.path().join(name), mode: 0o600 };
        assert!(try_audit_log(&log("audit.log")).is_ok() && !directory.path().join("audit.log").exists());
        assert!(try_audit_log(&log("missing/audit.log")).is_err());
        assert!(try_audit_log(&log("")).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_opened_fails_each_entry_and_works_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later/audit.log");
        let entry = Entry { log: Arc::new(AuditLog { path: path.clone(), mode: 0o600 }), bytes: b"entry\n".to_vec() };
        let mut files = AuditFiles::default();
        assert!(files.write(&entry).is_err() && files.write(&entry).is_err());
        std::fs::create_dir(directory.path().join("later")).unwrap();
        assert!(files.write(&entry).is_ok());
        std::fs::rename(&path, directory.path().join("old")).unwrap();
        files.reopen();
        assert!(files.write(&entry).is_ok() && files.write(&entry).is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"entry\nentry\n");
        assert_eq!(std::fs::read(directory.path().join("old")).unwrap(), b"entry\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
