//! The rules that requests run on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::authoring::rule_set;
use crate::diagnostics::{Diagnostics, Source};
use crate::seclang::SourceLoader;
use crate::seclang::source::{FileLoader, MemoryLoader};
use crate::waf::{EngineOptions, Program};

/// Names and texts of rule files in memory.
pub type Files = &'static [(&'static str, &'static [u8])];

/// A rule set, in prevention.
#[derive(Debug, Clone)]
pub enum Base {
    /// The Core Rule Set in this directory.
    Core(PathBuf),
    /// The built-in rules, as these files (`config::BUILTIN`).
    BuiltIn(Files),
    /// Somebody's own files, in order.
    Own(Vec<PathBuf>),
}

/// A rule set and how it is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which rules.
    pub base: Base,
    /// Paranoia level of the Core Rule Set; others have none.
    pub paranoia: u8,
    /// Are bodies of responses inspected? Own files say so themselves.
    pub inspects_responses: bool,
    /// Own files after the rule set.
    pub extra: Vec<PathBuf>,
}

impl Base {
    /// The Core Rule Set that the environment names (`PORTCULLIS_CRS`, `CRS`, `PORTCULLIS_SHARED`) or that lies in
    /// `../shared/crs`, else the built-in rules.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>, built_in: Files) -> Self {
        let named = ["PORTCULLIS_CRS", "CRS"].iter().find_map(|name| variable(name)).map(PathBuf::from);
        let shared = variable("PORTCULLIS_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
        let directory = named.unwrap_or_else(|| shared.join("crs"));
        if directory.join("rules").is_dir() { Self::Core(directory) } else { Self::BuiltIn(built_in) }
    }
}

impl Setup {
    /// A rule set at a paranoia level, for requests alone.
    pub const fn new(base: Base, paranoia: u8) -> Self {
        Self { base, paranoia, inspects_responses: false, extra: Vec::new() }
    }

    /// Which rules these are, for the head of every table.
    pub fn describe(&self) -> String {
        let responses = if self.inspects_responses { ", with bodies of responses" } else { "" };
        match &self.base {
            Base::Core(directory) => {
                let (directory, level) = (directory.display(), self.paranoia);
                format!("Core Rule Set in {directory}, paranoia level {level}, blocking{responses}")
            }
            Base::BuiltIn(_) => format!("built-in rules, blocking{responses}"),
            Base::Own(files) => format!("rules of {} file(s)", files.len() + self.extra.len()),
        }
    }

    /// The name that stored figures go by: `crs-pl1`.
    pub fn short_name(&self) -> String {
        match &self.base {
            Base::Core(_) => format!("crs-pl{}", self.paranoia),
            Base::BuiltIn(_) => "built-in".into(),
            Base::Own(_) => "own".into(),
        }
    }

    /// The text that includes everything else.
    pub fn root(&self) -> Source {
        match &self.base {
            Base::Core(directory) => {
                let text = self.core_text(Path::new("rules/*.conf"));
                Source::new(directory.join("portcullis-bench.conf"), text)
            }
            Base::BuiltIn(files) => {
                let names = files.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".conf"));
                let includes: String = names.map(|name| format!("Include {name}\n")).collect();
                let text = format!("{}{includes}{}{}", self.body_settings(), IN_PREVENTION, self.includes());
                Source::new("portcullis-bench.conf", text)
            }
            Base::Own(files) => rule_set::files(&files.iter().chain(&self.extra).collect::<Vec<_>>()),
        }
    }

    /// Parses and compiles; with the program come the warnings.
    pub fn compile(&self, options: &EngineOptions) -> Result<(Program, Diagnostics), Diagnostics> {
        rule_set::compile_with(&self.root(), &*self.loader(), options)
    }

    /// Finds the files of the rule set.
    pub fn loader(&self) -> Box<dyn SourceLoader> {
        match &self.base {
            Base::BuiltIn(files) if self.extra.is_empty() => {
                Box::new(files.iter().fold(MemoryLoader::new(), |loader, (name, text)| loader.with(*name, *text)))
            }
            Base::BuiltIn(files) => Box::new(Layered(
                files.iter().fold(MemoryLoader::new(), |loader, (name, text)| loader.with(*name, *text)),
            )),
            _ => Box::new(FileLoader),
        }
    }

    /// The setup of the Core Rule Set that is measured. It is written in what every engine understands, so that peers
    /// load the same text.
    pub fn core_text(&self, rules: &Path) -> String {
        let (level, settings, extra) = (self.paranoia, self.body_settings(), self.includes());
        let rules = rules.display();
        format!(
            r#"SecRuleEngine On
{settings}SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecDefaultAction "phase:1,log,noauditlog,pass"
SecDefaultAction "phase:2,log,noauditlog,pass"
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level={level},setvar:tx.detection_paranoia_level={level},setvar:tx.crs_setup_version=4280"
SecAction "id:900220,phase:1,pass,t:none,nolog,setvar:'tx.allowed_request_content_type=|application/x-www-form-urlencoded| |multipart/form-data| |text/xml| |application/xml| |application/soap+xml| |application/json| |text/plain|'"
Include {rules}
{extra}"#
        )
    }

    fn body_settings(&self) -> String {
        // 2 MB are inspected whole, with all their arguments: otherwise a large body would look cheap.
        let mut text = String::from(
            "SecRequestBodyAccess On\nSecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 4194304\n\
             SecRequestBodyLimitAction Reject\nSecArgumentsLimit 200000\n",
        );
        text.push_str(if self.inspects_responses {
            "SecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html text/xml application/json\n\
             SecResponseBodyLimit 1048576\nSecResponseBodyLimitAction ProcessPartial\n"
        } else {
            "SecResponseBodyAccess Off\n"
        });
        text
    }

    fn includes(&self) -> String {
        let line = |file: &PathBuf| {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            format!("Include \"{}\"\n", file.display())
        };
        self.extra.iter().map(line).collect()
    }
}

/// The built-in rules leave it to the policy.
const IN_PREVENTION: &str = "SecRuleEngine On\n";

/// Built-in files first, then those on disk.
#[derive(Debug)]
struct Layered(MemoryLoader);

impl SourceLoader for Layered {
    fn include(&self, from: &Path, pattern: &str) -> std::io::Result<Vec<Source>> {
        match self.0.include(from, pattern) {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => FileLoader.include(from, pattern),
        }
    }

    fn read(&self, from: &Path, name: &str) -> std::io::Result<Vec<u8>> {
        self.0.read(from, name).or_else(|_| FileLoader.read(from, name))
    }
}
