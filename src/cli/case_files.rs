//! Finds and reads the files that a command line names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostics::{Diagnostic, Diagnostics};

/// All files below the paths with one of the extensions, sorted; a file that is named itself is taken as it is.
pub(super) fn find(paths: &[PathBuf], extensions: &[&str]) -> Result<Vec<PathBuf>, Diagnostics> {
    let mut found = Vec::new();
    let mut problems = Diagnostics::new();
    for path in paths {
        if path.is_dir() {
            walk(path, extensions, &mut found, &mut problems, 0);
        } else {
            found.push(path.clone());
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(found) }
}

/// Directories nested deeper than this are links that go round.
const DEEPEST: usize = 64;

fn walk(directory: &Path, extensions: &[&str], found: &mut Vec<PathBuf>, problems: &mut Diagnostics, depth: usize) {
    let listed = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<_> = match listed {
        Ok(entries) if depth < DEEPEST => entries.into_iter().map(|entry| entry.path()).collect(),
        Ok(_) => {
            problems.push(Diagnostic::error(None, format!("{} is nested too deeply", directory.display())));
            return;
        }
        Err(error) => {
            problems.push(Diagnostic::error(None, format!("cannot read {}: {error}", directory.display())));
            return;
        }
    };
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, extensions, found, problems, depth + 1);
        } else if path.extension().is_some_and(|own| extensions.iter().any(|wanted| own == *wanted)) {
            found.push(path);
        }
    }
}
