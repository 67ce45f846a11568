//! ModSecurity 3, in a Python process of its own that runs when it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::authoring::bench::Decision;
use serde_json::json;

use crate::set::Request;
use crate::{Engine, Result};

pub(crate) struct ModSecurity {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    count: usize,
}

impl ModSecurity {
    pub(crate) fn new(python: &Path, rules: &Path, requests: &[Request], scratch: &Path) -> Result<Self> {
        let path = scratch.join("requests.jsonl");
        let mut lines = String::new();
        for request in requests {
            let text = request.text();
            let line = json!({
                "method": text.method, "target": text.target, "version": text.version, "headers": text.headers,
                "response_headers": text.response_headers, "body": STANDARD.encode(request.subject.body()),
            });
            lines.push_str(&ascii(&line.to_string()));
            lines.push('\n');
        }
        std::fs::write(&path, lines)?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/modsecurity.py");
        let mut process = Command::new(python)
            .args([Path::new(script), rules, &path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        let mut engine = Self { process, input, output: BufReader::new(output), count: requests.len() };
        println!("{}", engine.line()?.trim());
        Ok(engine)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("ModSecurity ended: {}", self.process.wait()?).into());
        }
        Ok(line)
    }
}

/// JSON escapes for what is not ASCII.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

impl Engine for ModSecurity {
    fn pass(&mut self) -> Result<Vec<(u64, Decision)>> {
        self.input.write_all(b"go\n")?;
        self.input.flush()?;
        let answers: Vec<(u64, bool)> = serde_json::from_str(&self.line()?)?;
        if answers.len() != self.count {
            return Err(format!("{} answers to {} requests", answers.len(), self.count).into());
        }
        let decision = |is_blocked| if is_blocked { Decision::Blocked } else { Decision::Passes };
        Ok(answers.into_iter().map(|(time, is_blocked)| (time, decision(is_blocked))).collect())
    }
}

impl Drop for ModSecurity {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for the case that it does not listen.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
