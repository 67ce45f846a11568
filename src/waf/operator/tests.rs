use super::*;
use crate::seclang::source::MemoryLoader;

struct Bench {
    loader: MemoryLoader,
    regexes: RegexCache,
    evidence: Evidence,
}

impl Bench {
    fn new() -> Self {
        let loader = MemoryLoader::new()
            .with("rules/words.data", "# words\nDrop Table\n union\n")
            .with("rules/networks.data", "# ours\n10.0.0.0/8\n::1\n");
        Self { loader, regexes: RegexCache::new(), evidence: Evidence::new() }
    }

    fn compile(&self, name: &str, argument: &str) -> Result<Operator, OperatorError> {
        Operator::compile(name, argument.as_bytes(), &CompileContext::new(&self.loader, Path::new("rules/a.conf")))
    }

    /// Outcome, captures, message.
    fn ask(&mut self, name: &str, argument: &str, value: &[u8]) -> (Outcome, Vec<String>, String) {
        let operator = self.compile(name, argument).expect("compiles");
        self.ask_compiled(&operator, None, value)
    }

    fn ask_compiled(
        &mut self,
        operator: &Operator,
        argument: Option<&[u8]>,
        value: &[u8],
    ) -> (Outcome, Vec<String>, String) {
        let mut context = OperatorContext { regexes: &mut self.regexes, evidence: &mut self.evidence, captures: true };
        let outcome = operator.matches(argument, value, &mut context);
        let captures = (0..12).map_while(|index| self.evidence.capture(index, value));
        let captures = captures.map(|text| text.escape_ascii().to_string()).collect();
        let mut message = Vec::new();
        if outcome == Outcome::Match {
            operator.message(argument, value, &self.evidence, b"ARGS:q", &mut message);
        }
        (outcome, captures, String::from_utf8_lossy(&message).into_owned())
    }
}

#[test]
fn messages_are_modsecuritys() {
    let mut bench = Bench::new();
    for (name, argument, value, message) in [
        ("rx", "a(b)?c", &b"xacx"[..], "Pattern match \"a(b)?c\" at ARGS:q."),
        ("pm", "Alpha beta", b"-ALPHA-", "Matched phrase \"Alpha\" at ARGS:q."),
        ("pmf", "words.data", b"x drop table", "Matched phrase \"Drop Table\" at ARGS:q."),
        ("within", "GET POST", b"GET", "String match within \"GET POST\" at ARGS:q."),
        ("within", "GET POST", b"", "String match within \"\" at ARGS:q."),
        ("contains", "a\"b", b"xa\"b", "String match \"a\\\"b\" at ARGS:q."),
        ("strmatch", "|41|b", b"xAb", "Pattern match \"|41|b\" at ARGS:q."),
        ("ge", "5", b"5", "Operator GE matched 5 at ARGS:q."),
        ("ipMatch", "10.0.0.0/8", b"10.1.1.1", "IPmatch: \"10.1.1.1\" matched at ARGS:q."),
        ("ipMatchF", "networks.data", b"::1", "IPmatchFromFile: \"::1\" matched at ARGS:q."),
        ("validateByteRange", "32-126", b"\t\n", "Found 2 byte(s) in ARGS:q outside range: 32-126."),
        ("validateUrlEncoding", "", b"%g0", "Invalid URL Encoding: Non-hexadecimal digits used at ARGS:q."),
        (
            "validateUrlEncoding",
            "",
            b"%0",
            "Invalid URL Encoding: Not enough characters at the end of input at ARGS:q.",
        ),
        (
            "validateUtf8Encoding",
            "",
            b"a\xFF",
            "Invalid UTF-8 encoding: invalid byte value in character at ARGS:q. [offset \"1\"]",
        ),
        ("verifyCC", "\\d{13,16}", b"x5484605089158216", "CC# match \"\\\\d{13,16}\" at ARGS:q. [offset \"1\"]"),
        ("unconditionalMatch", "", b"", "Unconditional match in SecAction."),
        ("detectSQLi", "", b"1' or '1'='1", "detected SQLi using libinjection with fingerprint 's&sos'"),
        ("detectXSS", "", b"<script>", "detected XSS using libinjection."),
    ] {
        let (outcome, _, said) = bench.ask(name, argument, value);
        assert_eq!((outcome, said.as_str()), (Outcome::Match, message), "@{name} {argument}");
    }
}

#[test]
fn captures() {
    let mut bench = Bench::new();
    for (name, argument, value, captures) in [
        ("rx", "(a)(b)?(c)(d)?", &b"xac"[..], &["ac", "a", "", "c"][..]),
        ("rx", "(a)(b)?", b"xa", &["a", "a"]),
        (
            "rx",
            "(1)(2)(3)(4)(5)(6)(7)(8)(9)(0)(a)",
            b"1234567890a",
            &["1234567890a", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        ),
        ("pm", "Abc", b"xABC", &["Abc"]),
        ("verifySSN", "(\\d{3})-(\\d{2})-(\\d{4})", b"574-57-8065", &["574-57-8065"; 4]),
        ("rxGlobal", "([ab])", b"a-b", &["a", "a", "b", "b"]),
        ("detectXSS", "", b"<script>\0x", &["<script>"]),
        ("contains", "a", b"a", &[]),
    ] {
        assert_eq!(bench.ask(name, argument, value).1, captures, "@{name} {argument}");
    }
}

#[test]
fn captures_cost_nothing_when_not_wanted() {
    let mut bench = Bench::new();
    for (name, argument) in [("rx", "(a)"), ("pm", "a"), ("rxGlobal", "a")] {
        let operator = bench.compile(name, argument).expect("compiles");
        let mut context =
            OperatorContext { regexes: &mut bench.regexes, evidence: &mut bench.evidence, captures: false };
        assert_eq!(operator.matches(None, b"xa", &mut context), Outcome::Match);
        assert_eq!(bench.evidence.capture(0, b"xa"), None);
    }
}

#[test]
fn expanded_arguments_are_used() {
    let mut bench = Bench::new();
    for (name, argument, expanded, value, outcome) in [
        ("ge", "%{tx.limit}", &b"7"[..], &b"7"[..], Outcome::Match),
        ("streq", "%{tx.a}", b"x", b"x", Outcome::Match),
        ("within", "%{tx.a}", b"GET POST", b"PUT", Outcome::NoMatch),
        ("rx", "^%{tx.a}$", b"^b+$", b"bb", Outcome::Match),
        // Expansion can spoil a pattern.
        ("rx", "%{tx.a}", b"(", b"(", Outcome::NoMatch),
    ] {
        let operator = bench.compile(name, argument).expect("compiles");
        assert!(operator.expands_macros() && has_macro(argument.as_bytes()));
        assert_eq!(bench.ask_compiled(&operator, Some(expanded), value).0, outcome, "@{name} {argument}");
    }
    let (_, _, message) = {
        let operator = bench.compile("rx", "^%{tx.a}$").expect("compiles");
        bench.ask_compiled(&operator, Some(b"^b+$"), b"bb")
    };
    assert_eq!(message, "Pattern match \"^b+$\" at ARGS:q.");
}

#[test]
fn what_cannot_be_applied_is_neither_match_nor_none() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("ipMatch", "10.0.0.0/8", b"nobody").0, Outcome::Undecided);
    let value = vec![b'1'; 3 << 20];
    assert_eq!(bench.ask("verifySSN", "\\d+", &value).0, Outcome::Exhausted);
}

#[test]
fn errors_say_what_is_wrong() {
    let bench = Bench::new();
    for (name, argument, message) in [
        ("nosuch", "", "there is no operator @nosuch"),
        ("fuzzyhash", "a 90", "@fuzzyHash is not supported: fuzzy hashing (ssdeep) is not built in"),
        ("pm", " ", "@pm needs an argument"),
        ("pmFromFile", "missing.data", "cannot read the file \"missing.data\": entity not found"),
        ("pmFromFile", "https://example.org/x", "\"https://example.org/x\" is not a file that rules can read"),
        ("ipMatch", "10.0.0.0/99", "\"10.0.0.0/99\" is neither an address nor a network"),
        ("validateByteRange", "1-999", "\"1-999\" is not a byte or a range of bytes (0 to 255)"),
        ("strmatch", "a\\n", "unknown escape sequence \\n"),
        ("rx", "a(", "missing closing parenthesis (at byte 1 of the pattern)"),
    ] {
        match bench.compile(name, argument) {
            Ok(operator) => panic!("@{name} {argument} compiled to {operator:?}"),
            Err(error) => assert_eq!(error.to_string(), message, "@{name} {argument}"),
        }
    }
}

#[test]
fn every_operator_of_the_language_compiles_or_is_refused() {
    let bench = Bench::new();
    for row in crate::seclang::operator::OPERATORS {
        let argument = match row.name {
            "pmFromFile" => "words.data",
            "ipMatchFromFile" => "networks.data",
            "ipMatch" => "::1",
            _ => "1",
        };
        match bench.compile(row.name, argument) {
            Ok(_) | Err(OperatorError::Refused { .. }) => {}
            Err(error) => panic!("@{}: {error}", row.name),
        }
    }
}

#[derive(Debug)]
struct Fixed;

impl GeoDatabase for Fixed {
    fn lookup(&self, address: std::net::IpAddr) -> Option<GeoRecord> {
        address.is_ipv4().then(|| GeoRecord { country_code: "DE".into(), latitude: 52.5, ..GeoRecord::default() })
    }
}

impl BlockList for Fixed {
    fn listed(&self, name: &str) -> Option<std::net::Ipv4Addr> {
        name.starts_with("4.3.2.1.").then_some(std::net::Ipv4Addr::new(127, 0, 0, 2))
    }
}

#[test]
fn look_ups() {
    let mut bench = Bench::new();
    let loader = MemoryLoader::new();
    let mut context = CompileContext::new(&loader, Path::new("a.conf"));
    context.geo = Some(Arc::new(Fixed));
    context.block_list = Some(Arc::new(Fixed));
    let geo = Operator::compile("geoLookup", b"", &context).expect("compiles");
    let (outcome, _, message) = bench.ask_compiled(&geo, None, b"1.2.3.4");
    assert_eq!((outcome, message.as_str()), (Outcome::Match, "Geo lookup for \"1.2.3.4\" succeeded at ARGS:q."));
    let variables = bench.evidence.geo.as_ref().expect("found").variables();
    assert!(
        variables.contains(&("COUNTRY_CODE", "DE".into())) && variables.contains(&("LATITUDE", "52.500000".into()))
    );
    assert_eq!(bench.ask_compiled(&geo, None, b"::1").0, Outcome::NoMatch);
    let rbl = Operator::compile("rbl", b"multi.uribl.com", &context).expect("compiles");
    let (outcome, _, message) = bench.ask_compiled(&rbl, None, b"1.2.3.4");
    let expected = "RBL lookup of 4.3.2.1.multi.uribl.com succeeded at ARGS:q (BLACK).";
    assert_eq!((outcome, message.as_str()), (Outcome::Match, expected));
    assert_eq!(bench.ask_compiled(&rbl, None, b"1.2.3.5").0, Outcome::NoMatch);
}
