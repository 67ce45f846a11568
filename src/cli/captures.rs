//! Reads the recorded requests that a command line names.

use std::path::PathBuf;

use super::case_files;
use super::rules::problem;
use crate::authoring::capture::{self, Capture};
use crate::diagnostics::Diagnostics;

/// Names and bytes of all requests, in the order given: files with one raw request each, directories of them, tar
/// archives.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Capture>, Diagnostics> {
    let mut requests = Vec::new();
    for path in paths {
        let name = path.to_string_lossy();
        let fail = |error: std::io::Error| problem(format!("cannot read {name}: {error}"));
        if [".tar.gz", ".tgz", ".tar"].iter().any(|end| name.ends_with(end)) {
            requests.extend(capture::archive(&std::fs::read(path).map_err(fail)?).map_err(fail)?);
            continue;
        }
        for file in case_files::find(std::slice::from_ref(path), &["http", "req", "txt", "raw"])? {
            let bytes =
                std::fs::read(&file).map_err(|error| problem(format!("cannot read {}: {error}", file.display())))?;
            let name = file.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&file);
            requests.push((name.display().to_string(), bytes));
        }
    }
    Ok(requests)
}
