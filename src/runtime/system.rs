//! What is asked of the operating system: limits and signals.

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

/// Raises the limit of open files to what the system allows this process, and returns it. Two descriptors are needed
/// for each request that is forwarded.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where it may not be raised, the old limit holds; the caller reports what it is.
        if setrlimit(Resource::Nofile, limit).is_err() {
            return getrlimit(Resource::Nofile).current;
        }
    }
    limit.current
}

/// Asks another process to read its configuration again.
pub fn send_hangup(process: i32) -> std::io::Result<()> {
    let process = Pid::from_raw(process).filter(|_| process > 1);
    let process = process.ok_or_else(|| std::io::Error::other("not the id of a process"))?;
    Ok(kill_process(process, Signal::HUP)?)
}
