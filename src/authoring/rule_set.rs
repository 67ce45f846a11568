//! From rule files to a program, with all problems of both steps.

use std::path::Path;

use crate::diagnostics::{Diagnostics, Source};
use crate::seclang::{SourceLoader, parse};
use crate::waf::{EngineOptions, Program};

/// Parses and compiles; with the program come the warnings.
pub fn compile(root: &Source, loader: &dyn SourceLoader) -> Result<(Program, Diagnostics), Diagnostics> {
    compile_with(root, loader, &EngineOptions::default())
}

/// [`compile`] with engine options.
pub fn compile_with(
    root: &Source,
    loader: &dyn SourceLoader,
    options: &EngineOptions,
) -> Result<(Program, Diagnostics), Diagnostics> {
    let (ruleset, mut diagnostics) = parse(root, loader);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    match Program::compile(&ruleset, loader, options) {
        Ok((program, warnings)) => {
            diagnostics.extend(warnings);
            Ok((program, diagnostics))
        }
        Err(problems) => {
            diagnostics.extend(problems);
            Err(diagnostics)
        }
    }
}

/// The Core Rule Set in a directory, set up for its regression suite: `crs-setup.conf.example`, `test-setup.conf`,
/// `rules/*.conf`.
pub fn core_rule_set(directory: &Path) -> Source {
    let text = "Include crs-setup.conf.example\nInclude test-setup.conf\nInclude rules/*.conf\n";
    Source::new(directory.join("portcullis-suite.conf"), text)
}

/// The Core Rule Set as released, at a paranoia level; request bodies are read, JSON and XML by their type, and
/// responses are not inspected. `blocks`: in prevention, not in detection.
pub fn core_rule_set_at(directory: &Path, paranoia: u8, blocks: bool) -> Source {
    let engine = if blocks { "On" } else { "DetectionOnly" };
    let text = format!(
        r#"SecRuleEngine {engine}
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyLimitAction ProcessPartial
SecResponseBodyAccess Off
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
Include crs-setup.conf.example
SecAction "id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={paranoia},setvar:tx.detection_paranoia_level={paranoia}"
Include rules/*.conf
"#
    );
    Source::new(directory.join("portcullis-replay.conf"), text)
}

/// Rule files one after the other, as one rule set.
pub fn files(paths: &[impl AsRef<Path>]) -> Source {
    let mut text = Vec::new();
    for path in paths {
        text.extend_from_slice(b"Include \"");
        // Backslashes and quotes are read as in any rule file.
        for byte in path.as_ref().as_os_str().as_encoded_bytes() {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.extend_from_slice(b"\"\n");
    }
    Source::new("command-line", text)
}
