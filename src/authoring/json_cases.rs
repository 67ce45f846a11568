//! ModSecurity's JSON cases: one value put to one operator or transformation, and what must come out.
//!
//! The format is that of ModSecurity's `secrules-language-tests`: a list of objects with `type` (`op` or `tfn`), `name`,
//! `input`, and `param`, `ret`, `re_groups` for operators, `output` for transformations. Text is read as ModSecurity's
//! own runner reads it (see `unescape`). Called by the tests and by `rules test`.
//!
//! It must not be possible to pass vacuously. A field that is not known, a case without expectation, an empty file is an
//! error; an operator that does not compile fails its case unless the case expects no match *because* its argument is
//! bad. `ret` of a transformation is checked for form only, as in ModSecurity's runner: the two engines disagree on
//! what it means (the case files have 1 for some unchanged values).
//!
//! Oddities of the files themselves, which were converted from ModSecurity 2's tests in Perl:
//! - `\0` in the input of an operator is a `NUL` in the original; in that of a transformation it is an escape to decode.
//! - ModSecurity's runner ends texts at a `NUL` that JSON spells `\u0000`. A case that fails as written passes if it passes
//!   so cut, and is counted in [`CaseReport::cut_at_nul`].
//! - `re_groups` of `@rxGlobal` lists the groups of the first matches, not always of all.
//! - `cmdLine` is called `cmd_line`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::diagnostics::Source;
use crate::seclang::source::SourceLoader;
use crate::waf::operator::{CompileContext, Evidence, Operator, OperatorContext, OperatorError, Outcome};
use crate::waf::regex::RegexCache;
use crate::waf::transformation::{Transformation, TransformationContext};

/// What came of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseReport {
    /// Cases of operators that were run.
    pub operators: usize,
    /// Cases of transformations that were run.
    pub transformations: usize,
    /// Assertions that were checked.
    pub assertions: usize,
    /// Cases of transformations that pass only with texts cut at `NUL`, as ModSecurity's runner cuts them.
    pub cut_at_nul: usize,
    /// Assertions that failed.
    pub failures: Vec<CaseFailure>,
}

impl CaseReport {
    /// Adds the other's counts and failures.
    pub fn add(&mut self, other: Self) {
        self.operators += other.operators;
        self.transformations += other.transformations;
        self.assertions += other.assertions;
        self.cut_at_nul += other.cut_at_nul;
        self.failures.extend(other.failures);
    }
}

/// A case that did not come out as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: case {number} ({name}): {what}", file.display())]
pub struct CaseFailure {
    /// Its file.
    pub file: PathBuf,
    /// Its place in the file, from 1.
    pub number: usize,
    /// Operator or transformation.
    pub name: String,
    /// Expected and found.
    pub what: String,
}

/// A file that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CaseFileError {
    /// Not JSON of that form.
    #[error("{}: {source}", file.display())]
    Malformed {
        /// Its name.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A list without cases would pass without having tested anything.
    #[error("{}: no cases", file.display())]
    Empty {
        /// Its name.
        file: PathBuf,
    },
    /// A case that is neither, or that lacks what its type needs.
    #[error("{}: case {number}: {what}", file.display())]
    BadCase {
        /// Its name.
        file: PathBuf,
        /// From 1.
        number: usize,
        /// What is wrong.
        what: &'static str,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    r#type: Kind,
    name: String,
    input: String,
    ret: u8,
    param: Option<String>,
    output: Option<String>,
    re_groups: Option<Vec<String>>,
    /// What ModSecurity must have been built with; everything is built in here.
    #[serde(rename = "resource")]
    _resource: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    #[serde(rename = "op")]
    Operator,
    #[serde(rename = "tfn")]
    Transformation,
}

/// Runs every case of a file. Data files that cases name are read by `loader`.
pub fn run(source: &Source, loader: &dyn SourceLoader) -> Result<CaseReport, CaseFileError> {
    let file = source.path();
    let cases: Vec<Case> = serde_json::from_slice(source.text())
        .map_err(|error| CaseFileError::Malformed { file: file.to_owned(), source: error })?;
    if cases.is_empty() {
        return Err(CaseFileError::Empty { file: file.to_owned() });
    }
    let loader = Beside { loader, file };
    let mut regexes = RegexCache::new();
    let mut report = CaseReport::default();
    for (case, number) in cases.iter().zip(1..) {
        let bad = |what| CaseFileError::BadCase { file: file.to_owned(), number, what };
        if case.ret > 1 {
            return Err(bad("ret is neither 0 nor 1"));
        }
        let result = match (case.r#type, &case.output) {
            (Kind::Operator, Some(_)) => return Err(bad("an operator has no output")),
            (Kind::Transformation, None) => return Err(bad("a transformation needs an output")),
            (Kind::Transformation, Some(_)) if case.param.is_some() || case.re_groups.is_some() => {
                return Err(bad("a transformation has neither param nor re_groups"));
            }
            (Kind::Operator, None) => {
                report.operators += 1;
                report.assertions += 1 + usize::from(case.re_groups.is_some());
                run_operator(case, &loader, file, &mut regexes)
            }
            (Kind::Transformation, Some(output)) => {
                report.transformations += 1;
                report.assertions += 1;
                run_transformation(case, output).or_else(|what| {
                    let [input, output] = [&case.input, output].map(|text| text.split('\0').next().unwrap_or_default());
                    let is_cut = input.len() < case.input.len();
                    let cut = Case { input: input.to_owned(), ..case.clone() };
                    if is_cut && run_transformation(&cut, output).is_ok() {
                        report.cut_at_nul += 1;
                        return Ok(());
                    }
                    Err(what)
                })
            }
        };
        if let Err(what) = result {
            report.failures.push(CaseFailure { file: file.to_owned(), number, name: case.name.clone(), what });
        }
    }
    Ok(report)
}

fn run_transformation(case: &Case, output: &str) -> Result<(), String> {
    let function = Transformation::parse(case.name.replace('_', "").as_bytes());
    let function = function.ok_or_else(|| "no such transformation".to_owned())?;
    let (input, expected) = (unescape(&case.input), unescape(output));
    let mut out = Vec::new();
    // ModSecurity's runner loads no Unicode map.
    let is_changed = function.apply(&input, &mut out, &TransformationContext { unicode_map: None });
    let found = if is_changed { &out } else { &input };
    if *found != expected {
        return Err(format!("expected \"{}\", found \"{}\"", expected.escape_ascii(), found.escape_ascii()));
    }
    if is_changed && out == input {
        return Err("says that it changed the value, and did not".into());
    }
    Ok(())
}

fn run_operator(case: &Case, loader: &dyn SourceLoader, file: &Path, regexes: &mut RegexCache) -> Result<(), String> {
    let argument = case.param.as_deref().unwrap_or_default();
    let operator = match Operator::compile(&case.name, argument.as_bytes(), &CompileContext::new(loader, file)) {
        Ok(operator) => operator,
        // ModSecurity's runner goes on with an operator that was not initialised and matches nothing.
        Err(OperatorError::BadNetwork { .. } | OperatorError::BadByteRange { .. }) if case.ret == 0 => return Ok(()),
        Err(error) => return Err(format!("does not compile: {error}")),
    };
    let input = unescape(&case.input.replace("\\0", "\\x00"));
    let mut evidence = Evidence::new();
    let mut context = OperatorContext { regexes, evidence: &mut evidence, captures: case.re_groups.is_some() };
    let outcome = operator.matches(None, &input, &mut context);
    let is_match = match outcome {
        Outcome::Match => true,
        Outcome::NoMatch | Outcome::Undecided => false,
        Outcome::Exhausted => return Err("match limit exceeded".into()),
    };
    if is_match != (case.ret == 1) {
        return Err(format!("@{} \"{argument}\" on \"{}\": expected {}", case.name, input.escape_ascii(), case.ret));
    }
    let Some(expected) = &case.re_groups else { return Ok(()) };
    let count = evidence.captures.len();
    let found: Vec<_> = (0..count).map(|index| evidence.capture(index, &input).unwrap_or_default()).collect();
    let expected: Vec<_> = expected.iter().map(|text| unescape(text)).collect();
    let is_equal = if case.name.eq_ignore_ascii_case("rxGlobal") {
        !expected.is_empty() && found.get(..expected.len()).is_some_and(|found| found == expected)
    } else {
        found == expected
    };
    if !is_equal {
        let show = |text: &[u8]| text.escape_ascii().to_string();
        let expected: Vec<_> = expected.iter().map(|text| show(text)).collect();
        let found: Vec<_> = found.iter().map(|text| show(text)).collect();
        return Err(format!("captures: expected {expected:?}, found {found:?}"));
    }
    Ok(())
}

/// Finds data files where ModSecurity's source tree has them, and beside the case file.
struct Beside<'a> {
    loader: &'a dyn SourceLoader,
    file: &'a Path,
}

/// Cases name files from the top of ModSecurity's `test` directory.
const PREFIX: &str = "test-cases/secrules-language-tests/";

impl SourceLoader for Beside<'_> {
    fn include(&self, from: &Path, pattern: &str) -> io::Result<Vec<Source>> {
        self.loader.include(from, pattern)
    }

    fn read(&self, from: &Path, name: &str) -> io::Result<Vec<u8>> {
        match name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) {
            // `operators/op/words.dat` beside `operators/pmFromFile.json`.
            Some((_, rest)) => self.loader.read(self.file, rest),
            None => self.loader.read(from, name),
        }
    }
}

/// Bytes of a case's text, as ModSecurity's runner makes them: `\xHH` first, then `\uHHHH` of which the low byte is taken;
/// each distinct escape is replaced everywhere before the next is looked for, so a replacement can complete another
/// escape. Digits are read as far as there are any; without any the number before is taken once more.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    replace_all(&mut bytes, b"\\x", 2);
    replace_all(&mut bytes, b"\\u", 4);
    bytes
}

fn replace_all(bytes: &mut Vec<u8>, mark: &[u8; 2], digits: usize) {
    let mut last = 0_u32;
    while let Some(escape) = find_escape(bytes, mark, digits) {
        let number = escape.get(mark.len()..).unwrap_or_default();
        let value = number.iter().map_while(|byte| char::from(*byte).to_digit(16));
        last = value.reduce(|value, digit| value * 16 + digit).unwrap_or(last);
        let mut from = 0;
        while let Some(found) = bytes.get(from..).and_then(|rest| memchr::memmem::find(rest, &escape)) {
            from += found;
            bytes.splice(from..from + escape.len(), [(last & 0xFF) as u8]);
        }
    }
}

/// The first `mark` with that many letters or digits behind it.
fn find_escape(bytes: &[u8], mark: &[u8; 2], digits: usize) -> Option<Vec<u8>> {
    let length = mark.len() + digits;
    let is_escape =
        |window: &&[u8]| window.starts_with(mark) && window.iter().skip(mark.len()).all(u8::is_ascii_alphanumeric);
    bytes.windows(length).find(is_escape).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seclang::source::MemoryLoader;

    fn run_text(text: &str) -> Result<CaseReport, CaseFileError> {
        let loader = MemoryLoader::new().with("cases/op/words.dat", "alpha\n");
        run(&Source::new("cases/a.json", text), &loader)
    }

    #[test]
    fn escapes_are_read_as_modsecurity_reads_them() {
        assert_eq!(unescape(r"a\x41\u0042\u1143"), b"aABC");
        assert_eq!(unescape(r"\xag\xga\x4"), b"\n\n\\x4");
        assert_eq!(unescape(r"\x5cx41"), b"A");
        assert_eq!(unescape("é\\"), "é\\".as_bytes());
    }

    #[test]
    fn cases_pass_and_fail() {
        let report = run_text(
            r#"[
                {"type": "op", "name": "rx", "param": "(b)c", "input": "abc", "ret": 1, "re_groups": ["bc", "b"]},
                {"type": "op", "name": "rx", "param": "b", "input": "abc", "ret": 1, "re_groups": ["c"]},
                {"type": "op", "name": "pmFromFile", "param": "test-cases/secrules-language-tests/x/op/words.dat",
                 "input": "ALPHA", "ret": 1},
                {"type": "op", "name": "ipMatch", "param": "10.0.0.0/99", "input": "10.0.0.1", "ret": 0},
                {"type": "tfn", "name": "lowercase", "input": "\\x41", "output": "a", "ret": 1},
                {"type": "tfn", "name": "lowercase", "input": "A", "output": "A", "ret": 0}
            ]"#,
        )
        .expect("well formed");
        assert_eq!((report.operators, report.transformations, report.assertions), (4, 2, 8));
        let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            failures,
            [
                r#"cases/a.json: case 2 (rx): captures: expected ["c"], found ["b"]"#,
                r#"cases/a.json: case 6 (lowercase): expected "A", found "a""#,
            ]
        );
    }

    #[test]
    fn nothing_passes_without_having_been_tested() {
        for (text, message) in [
            ("[]", "no cases"),
            ("{}", "invalid type"),
            (r#"[{"type": "op", "name": "rx", "input": "", "ret": 1, "ignore": true}]"#, "unknown field `ignore`"),
            (r#"[{"type": "op", "name": "rx", "input": ""}]"#, "missing field `ret`"),
            (r#"[{"type": "tfn", "name": "trim", "input": "", "ret": 0}]"#, "needs an output"),
            (r#"[{"type": "op", "name": "rx", "input": "", "ret": 2}]"#, "neither 0 nor 1"),
            (r#"[{"type": "x", "name": "rx", "input": "", "ret": 1}]"#, "unknown variant"),
        ] {
            let error = run_text(text).expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        for (text, message) in [
            (r#"[{"type": "op", "name": "nosuch", "input": "", "ret": 0}]"#, "there is no operator"),
            (r#"[{"type": "op", "name": "rx", "param": "(", "input": "", "ret": 0}]"#, "does not compile"),
            (r#"[{"type": "op", "name": "fuzzyHash", "param": "x", "input": "", "ret": 0}]"#, "does not compile"),
            (r#"[{"type": "tfn", "name": "nosuch", "input": "", "output": "", "ret": 0}]"#, "no such transformation"),
        ] {
            let report = run_text(text).expect("well formed");
            assert!(report.failures.iter().any(|failure| failure.what.contains(message)), "{text}");
        }
    }
}
