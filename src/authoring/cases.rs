//! Case files: the YAML in which the Core Rule Set writes its regression tests.
//!
//! A file has tests, a test has stages, a stage has an input and what must come of it. A key that is not known here
//! is an error, and so is a stage that asserts nothing or a test that is switched off: what is not checked must not
//! count as passed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::template;
use crate::diagnostics::{Diagnostic, Diagnostics, Location, Source};
use crate::yaml::{Node, YamlLimits, parse_one};

/// One file.
#[derive(Debug)]
pub struct CaseFile {
    /// Its text.
    pub source: Source,
    /// In order; none for an empty file.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// `942100-3`.
    pub name: String,
    /// What the file says about it.
    pub description: String,
    /// Where it begins.
    pub location: Location,
    /// In order.
    pub stages: Vec<Stage>,
}

/// One request and what must come of it.
#[derive(Debug)]
pub struct Stage {
    /// Where it begins.
    pub location: Location,
    /// The request.
    pub input: Input,
    /// What must come of it.
    pub expected: Expected,
}

/// A request as a file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `GET` by default.
    pub method: String,
    /// `/` by default.
    pub uri: String,
    /// `HTTP/1.1` by default.
    pub version: String,
    /// Sorted by name, as the reference runner sends them; in the file's order if they were listed.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub data: Vec<u8>,
    /// The whole request, instead of everything above.
    pub raw: Option<Vec<u8>>,
    /// Adds Connection, Content-Length and Content-Type and encodes form bodies.
    pub autocompletes: bool,
}

/// What a stage asserts.
#[derive(Debug, Default)]
pub struct Expected {
    /// The response has one of these statuses.
    pub status: Vec<u16>,
    /// Each of these rules is logged.
    pub expect_ids: Vec<u32>,
    /// None of these rules is logged.
    pub no_expect_ids: Vec<u32>,
    /// Each pattern matches a log line.
    pub matches: Vec<Pattern>,
    /// No pattern matches any log line.
    pub no_matches: Vec<Pattern>,
    /// The pattern matches the response.
    pub response_contains: Option<Pattern>,
    /// The connection ends without an answer.
    pub is_error: bool,
    /// Exactly one rule is logged.
    pub is_isolated: bool,
    /// A failure is tried once more.
    pub retries_once: bool,
}

impl Expected {
    /// How many things are asserted.
    pub fn assertions(&self) -> usize {
        usize::from(!self.status.is_empty())
            + self.expect_ids.len()
            + self.no_expect_ids.len()
            + self.matches.len()
            + self.no_matches.len()
            + usize::from(self.response_contains.is_some())
            + usize::from(self.is_error)
            + usize::from(self.is_isolated)
    }
}

/// A pattern over bytes, with its text.
#[derive(Debug)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// Compiled.
    pub regex: regex_automata::meta::Regex,
}

impl Pattern {
    /// In the dialect of Go's `regexp`, which the files are written for.
    pub fn new(text: &str) -> Result<Self, Box<regex_automata::meta::BuildError>> {
        let syntax = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
        let regex = regex_automata::meta::Regex::builder()
            .configure(regex_automata::meta::Config::new().utf8_empty(false))
            .syntax(syntax)
            .build(text)
            .map_err(Box::new)?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

/// Reads a file; all problems at once.
pub fn load(source: &Source) -> Result<CaseFile, Diagnostics> {
    let root = parse_one(source, YamlLimits::DEFAULT)?;
    let mut reader = Reader { source, problems: Diagnostics::new(), rule_id: None };
    let tests = if root.is_null() { Vec::new() } else { reader.file(&root) };
    if reader.problems.has_errors() { Err(reader.problems) } else { Ok(CaseFile { source: source.clone(), tests }) }
}

struct Reader<'s> {
    source: &'s Source,
    problems: Diagnostics,
    rule_id: Option<String>,
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(node.error(self.source, message));
    }

    /// The pairs of a mapping whose keys are all known.
    fn mapping<'n>(&mut self, node: &'n Node, what: &str, keys: &[&str]) -> &'n [(Node, Node)] {
        let Some(entries) = node.entries() else {
            self.error(node, format!("{what} is {} and must be a mapping", node.kind()));
            return &[];
        };
        for (key, _) in entries {
            if !key.as_str().is_some_and(|key| keys.contains(&key)) {
                let name = key.as_str().unwrap_or_default();
                let problem = key.error(self.source, format!("unknown key {name} in {what}"));
                self.problems.push(problem.advise(format!("known are {}", keys.join(", "))));
            }
        }
        entries
    }

    fn file(&mut self, root: &Node) -> Vec<Test> {
        // Some files carry a stray author beside meta.
        let entries = self.mapping(root, "the file", &["meta", "rule_id", "tests", "author"]);
        let mut tests = Vec::new();
        self.rule_id = root.get("rule_id").and_then(Node::as_str).map(str::to_owned);
        for (key, value) in entries {
            match key.as_str() {
                Some("meta") => self.meta(value),
                Some("tests") => {
                    let Some(items) = value.items() else {
                        self.error(value, "tests must be a list");
                        continue;
                    };
                    tests = items.iter().filter_map(|item| self.test(item)).collect();
                }
                _ => {}
            }
        }
        if root.get("tests").is_none() {
            self.error(root, "the file has no tests");
        }
        tests
    }

    fn meta(&mut self, node: &Node) {
        const KEYS: &[&str] = &["author", "description", "enabled", "name", "version", "tags", "rule_id"];
        if node.is_null() {
            return;
        }
        self.mapping(node, "meta", KEYS);
        if let Some(enabled) = node.get("enabled").filter(|enabled| enabled.as_bool() != Some(true)) {
            self.error(enabled, "the file is switched off; a test that does not run cannot pass");
        }
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        const KEYS: &[&str] = &["test_id", "test_title", "id", "desc", "description", "stages", "enabled"];
        self.mapping(node, "a test", KEYS);
        if let Some(enabled) = node.get("enabled").filter(|enabled| enabled.as_bool() != Some(true)) {
            self.error(enabled, "the test is switched off; a test that does not run cannot pass");
        }
        let id = ["test_id", "id", "test_title"].iter().find_map(|key| node.get(key)).and_then(Node::as_str);
        let Some(id) = id else {
            self.error(node, "the test has no test_id");
            return None;
        };
        let name = match &self.rule_id {
            Some(rule_id) if node.get("test_title").is_none() => format!("{rule_id}-{id}"),
            _ => id.to_owned(),
        };
        let description = ["desc", "description"].iter().find_map(|key| node.get(key)).and_then(Node::as_str);
        let stages = node.get("stages").and_then(Node::items).unwrap_or_default();
        if stages.is_empty() {
            self.error(node, format!("the test {name} has no stages"));
            return None;
        }
        let stages = stages.iter().filter_map(|stage| self.stage(stage)).collect();
        let description = description.unwrap_or_default().to_owned();
        Some(Test { name, description, location: node.location(self.source), stages })
    }

    fn stage(&mut self, node: &Node) -> Option<Stage> {
        // The first version of the format wrapped each stage once more.
        if let Some(inner) = node.get("stage") {
            self.mapping(node, "a stage", &["stage"]);
            return self.stage(inner);
        }
        self.mapping(node, "a stage", &["input", "output", "description"]);
        let (Some(input), Some(output)) = (node.get("input"), node.get("output")) else {
            self.error(node, "a stage needs input and output");
            return None;
        };
        let input = self.input(input)?;
        let expected = self.expected(output);
        if expected.assertions() == 0 {
            self.error(output, "the stage asserts nothing, so it could only pass");
        }
        Some(Stage { location: node.location(self.source), input, expected })
    }

    fn text(&mut self, node: &Node) -> String {
        if node.items().is_some() || node.entries().is_some() {
            self.error(node, format!("here is {}, where text must be", node.kind()));
        }
        node.as_str().unwrap_or_default().to_owned()
    }

    fn flag(&mut self, node: &Node) -> bool {
        node.as_bool().unwrap_or_else(|| {
            self.error(node, "this must be true or false");
            false
        })
    }

    fn input(&mut self, node: &Node) -> Option<Input> {
        const KEYS: &[&str] = &[
            "dest_addr",
            "port",
            "protocol",
            "method",
            "uri",
            "version",
            "headers",
            "ordered_headers",
            "data",
            "encoded_data",
            "encoded_request",
            "raw_request",
            "autocomplete_headers",
            "stop_magic",
            "virtual_host_mode",
            "description",
        ];
        let mut input = Input {
            method: "GET".into(),
            uri: "/".into(),
            version: "HTTP/1.1".into(),
            headers: Vec::new(),
            data: Vec::new(),
            raw: None,
            autocompletes: true,
        };
        let mut bodies = 0;
        let mut ordered = Vec::new();
        for (key, value) in self.mapping(node, "input", KEYS) {
            match key.as_str().unwrap_or_default() {
                "method" => input.method = self.text(value),
                "uri" => input.uri = self.text(value),
                "version" => input.version = self.text(value),
                "headers" => input.headers = self.headers(value),
                "ordered_headers" => ordered = self.ordered_headers(value),
                "data" => {
                    bodies += 1;
                    input.data = self.data(value);
                }
                "encoded_data" => {
                    bodies += 1;
                    input.data = self.base64(value);
                }
                "encoded_request" => {
                    bodies += 1;
                    input.raw = Some(self.base64(value));
                }
                "raw_request" => {
                    bodies += 1;
                    input.raw = Some(self.text(value).into_bytes());
                }
                "autocomplete_headers" => input.autocompletes = self.flag(value),
                "stop_magic" => input.autocompletes = !self.flag(value),
                // Where to connect is the runner's business.
                _ => {}
            }
        }
        if bodies > 1 {
            self.error(node, "use only one of data, encoded_data, encoded_request and raw_request");
            return None;
        }
        if !ordered.is_empty() {
            input.headers = ordered;
        }
        Some(input)
    }

    fn headers(&mut self, node: &Node) -> Vec<(String, String)> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(entries) = node.entries() else {
            self.error(node, "headers must be a mapping");
            return Vec::new();
        };
        let mut headers: Vec<_> = entries.iter().map(|(name, value)| (self.text(name), self.text(value))).collect();
        headers.sort();
        headers
    }

    fn ordered_headers(&mut self, node: &Node) -> Vec<(String, String)> {
        let Some(items) = node.items() else {
            self.error(node, "ordered_headers must be a list");
            return Vec::new();
        };
        let mut headers = Vec::with_capacity(items.len());
        for item in items {
            self.mapping(item, "a header", &["name", "value"]);
            let name = item.get("name").map(|name| self.text(name)).unwrap_or_default();
            let value = item.get("value").map(|value| self.text(value)).unwrap_or_default();
            headers.push((name, value));
        }
        headers
    }

    fn data(&mut self, node: &Node) -> Vec<u8> {
        if node.tag.as_deref() == Some("tag:yaml.org,2002:binary") {
            return self.base64(node);
        }
        let text = self.text(node);
        template::expand(&text).map(String::into_bytes).unwrap_or_else(|error| {
            self.error(node, error.to_string());
            Vec::new()
        })
    }

    fn base64(&mut self, node: &Node) -> Vec<u8> {
        let text: String = self.text(node).chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(text).unwrap_or_else(|error| {
            self.error(node, format!("this is not Base64: {error}"));
            Vec::new()
        })
    }

    fn expected(&mut self, node: &Node) -> Expected {
        const KEYS: &[&str] = &[
            "status",
            "log",
            "response_contains",
            "log_contains",
            "no_log_contains",
            "expect_error",
            "retry_once",
            "isolated",
        ];
        let mut expected = Expected::default();
        for (key, value) in self.mapping(node, "output", KEYS) {
            match key.as_str().unwrap_or_default() {
                "status" => expected.status = self.numbers(value),
                "log" => self.log(value, &mut expected),
                "response_contains" => expected.response_contains = self.pattern(value),
                "log_contains" => expected.matches.extend(self.pattern(value)),
                "no_log_contains" => expected.no_matches.extend(self.pattern(value)),
                "expect_error" => expected.is_error = self.flag(value),
                "retry_once" => expected.retries_once = self.flag(value),
                "isolated" => expected.is_isolated = self.flag(value),
                _ => {}
            }
        }
        expected
    }

    fn log(&mut self, node: &Node, expected: &mut Expected) {
        const KEYS: &[&str] = &["expect_ids", "no_expect_ids", "match_regex", "no_match_regex"];
        for (key, value) in self.mapping(node, "log", KEYS) {
            match key.as_str().unwrap_or_default() {
                "expect_ids" => expected.expect_ids = self.numbers(value),
                "no_expect_ids" => expected.no_expect_ids = self.numbers(value),
                "match_regex" => expected.matches.extend(self.pattern(value)),
                "no_match_regex" => expected.no_matches.extend(self.pattern(value)),
                _ => {}
            }
        }
    }

    /// A number or a list of numbers.
    fn numbers<N: TryFrom<i64>>(&mut self, node: &Node) -> Vec<N> {
        let one = [node.clone()];
        let mut numbers = Vec::new();
        for item in node.items().unwrap_or(&one) {
            match item.as_i64().and_then(|number| N::try_from(number).ok()) {
                Some(number) => numbers.push(number),
                None => self.error(item, "this must be a number"),
            }
        }
        numbers
    }

    fn pattern(&mut self, node: &Node) -> Option<Pattern> {
        let text = self.text(node);
        if text.is_empty() {
            self.error(node, "an empty pattern matches everything");
            return None;
        }
        match Pattern::new(&text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let problem: Diagnostic = node.error(self.source, format!("the pattern is malformed: {error}"));
                self.problems.push(problem);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        load(&Source::new("case.yaml", text)).err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    const HEAD: &str = "rule_id: 7\ntests:\n  - test_id: 1\n    stages:\n      - input:\n          uri: /x\n";

    #[test]
    fn a_file() {
        let text = format!(
            "{HEAD}          headers:\n            b: 1\n            A: x\n        output:\n          log:\n            expect_ids: [7, 8]\n"
        );
        let file = load(&Source::new("case.yaml", text)).unwrap();
        assert_eq!(file.tests[0].name, "7-1");
        let stage = &file.tests[0].stages[0];
        assert_eq!(stage.input.headers, [("A".into(), "x".into()), ("b".into(), "1".into())]);
        assert_eq!(stage.expected.expect_ids, [7, 8]);
        assert_eq!(stage.expected.assertions(), 2);
        assert!(load(&Source::new("empty.yaml", "---\n")).unwrap().tests.is_empty());
    }

    #[test]
    fn nothing_can_pass_without_being_checked() {
        assert!(problems(&format!("{HEAD}        output: {{}}\n")).contains("asserts nothing"));
        assert!(problems(&format!("{HEAD}        output:\n          log: {{}}\n")).contains("asserts nothing"));
        assert!(problems(&format!("{HEAD}        output:\n          retry_once: true\n")).contains("asserts nothing"));
        assert!(problems(&format!("{HEAD}        output:\n          statuss: 200\n")).contains("unknown key statuss"));
        assert!(
            problems(&format!("{HEAD}        output:\n          log:\n            expect_ids: []\n"))
                .contains("asserts nothing")
        );
        let off = format!("meta:\n  enabled: false\n{HEAD}        output:\n          status: 200\n");
        assert!(problems(&off).contains("switched off"));
        assert!(problems("rule_id: 7\ntests:\n  - test_id: 1\n    stages: []\n").contains("no stages"));
        assert!(problems("rule_id: 7\n").contains("no tests"));
    }
}
