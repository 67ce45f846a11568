//! Rule texts with random damage: the parser never panics, always ends, and what it accepts survives printing.
//!
//! Seeded, so a failure repeats; `fuzz/fuzz_targets/seclang_parser.rs` searches further with coverage.

use portcullis::diagnostics::Source;
use portcullis::seclang::{format, parse, source::MemoryLoader};

/// A text with most shapes of the language.
const SEED: &[u8] = br#"# comment \
   continued
SecRuleEngine DetectionOnly
SecDefaultAction "phase:1,log,auditlog,pass"
SecRule ARGS|!ARGS:/^x\/|y/|&REQUEST_HEADERS:Host,XML:/* "@rx (?i)\"a\\b|c" \
    "id:1,\
    phase:request,t:none,t:urlDecodeUni,\
    msg:'it\'s %{tx.a}, \\ here',logdata:%{MATCHED_VAR},tag:'a/b',severity:CRITICAL,\
    setvar:'tx.a=+%{tx.b}',ctl:ruleRemoveTargetById=2-9;ARGS:'a|b',chain"
SecRule "TX:'q r'|TX.z" "!@within %{tx.allowed}" "capture,multiMatch"
SecRule REMOTE_ADDR @geoLookup id:3,nolog
SecAction "id:4,nolog,pass,setvar:!tx.x,expirevar:ip.y=60,initcol:ip=%{REMOTE_ADDR}"
SecMarker 'END'
SecRuleRemoveById 5 "6-8,9" 10
SecRuleRemoveByTag "a b" c
SecRuleUpdateTargetById 1 "!REQUEST_COOKIES:/^_ga(?:_\w+)?$/" ARGS
SecRuleUpdateActionById 1:1 "pass,status:404"
SecResponseBodyMimeType text/plain text/html
SecUnicodeMapFile unicode.mapping 20127
Include other.conf
IncludeOptional none/*.conf
SecComponentSignature "OWASP_CRS/4.0"
"#;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

fn damage(text: &mut Vec<u8>, random: &mut Random) {
    const PIECES: &[&[u8]] = &[
        b"\\",
        b"\"",
        b"'",
        b"\n",
        b"\\\n",
        b"|",
        b",",
        b":",
        b"!",
        b"&",
        b"@",
        b"/",
        b"#",
        b" ",
        b"\0",
        b"\xff",
        b"=",
        b";",
        b"-",
        b".",
        b"%{",
        b"}",
        b"SecRule ",
        b"chain",
        b"t:",
        b"id:",
        b"ctl:",
        b"ARGS:",
        b"99999999999",
    ];
    let at = random.below(text.len() + 1);
    match random.below(5) {
        0 => {
            let piece = PIECES[random.below(PIECES.len())];
            text.splice(at..at, piece.iter().copied());
        }
        1 => {
            let end = (at + random.below(8)).min(text.len());
            text.drain(at..end);
        }
        2 => {
            if let Some(byte) = text.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        3 => text.truncate(at),
        _ => {
            let end = (at + random.below(60)).min(text.len());
            let copy = text[at..end].to_vec();
            let to = random.below(text.len() + 1);
            text.splice(to..to, copy);
        }
    }
}

fn check(text: &[u8]) -> bool {
    let loader = MemoryLoader::new().with("other.conf", "SecMarker other\nInclude other.conf\n");
    let source = Source::new("root.conf", text);
    let (ruleset, diagnostics) = parse(&source, &loader);
    assert!(diagnostics.is_empty() || !diagnostics.to_string().is_empty());
    // The other file includes itself, which is always reported.
    let loader = MemoryLoader::new().with("other.conf", "SecMarker other\n");
    let (ruleset, diagnostics) =
        if ruleset.directives.is_empty() { (ruleset, diagnostics) } else { parse(&source, &loader) };
    if diagnostics.has_errors() {
        if text == SEED {
            panic!("{diagnostics}");
        }
        return false;
    }
    let printed = format::print(&ruleset);
    let (again, diagnostics) = parse(&Source::new("printed.conf", printed.clone()), &loader);
    assert!(!diagnostics.has_errors(), "{diagnostics}\n{}\n{}", text.escape_ascii(), printed.escape_ascii());
    assert!(again == ruleset, "{}\n{}", text.escape_ascii(), printed.escape_ascii());
    let laid_out = format::file(&source).unwrap();
    let twice = format::file(&Source::new("root.conf", laid_out.clone())).unwrap();
    assert!(twice == laid_out, "{}\n{}", text.escape_ascii(), laid_out.escape_ascii());
    true
}

#[test]
fn damaged_texts() {
    assert!(check(SEED), "the seed itself is right");
    let mut random = Random(0x5ec1_a4c5);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut text = SEED.to_vec();
        for _ in 0..=random.below(3) {
            damage(&mut text, &mut random);
        }
        if check(&text) { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn single_lines() {
    let lines: Vec<_> = SEED.split(|b| *b == b'\n').collect();
    let mut random = Random(7);
    for round in 0..8_000 {
        let mut text = lines[round % lines.len()].to_vec();
        for _ in 0..=random.below(4) {
            damage(&mut text, &mut random);
        }
        check(&text);
    }
}

#[test]
fn huge_and_degenerate_texts_end_soon() {
    for text in [
        vec![b'a'; 2_000_000],
        b"\\\n".repeat(500_000),
        b"SecRule ".repeat(200_000),
        [b"SecRule ".to_vec(), b"ARGS|".repeat(200_000), b" x".to_vec()].concat(),
        [b"SecRule ".to_vec(), b"ARGS:/a|".repeat(20_000), b" x".to_vec()].concat(),
        [b"SecAction \"id:1,".to_vec(), b"t:none,".repeat(200_000), b"\"".to_vec()].concat(),
        [b"SecAction \"id:1,msg:".to_vec(), b"a|".repeat(200_000), b"\"".to_vec()].concat(),
        [b"SecAction \"".to_vec(), b"\\\"".repeat(500_000), b"\"".to_vec()].concat(),
        b"Sec\n".repeat(300_000),
        b"SecMarker \"\n".repeat(100_000),
        b"SecAction id:1,pass\n".repeat(50_000),
    ] {
        #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
        let start = std::time::Instant::now();
        let (_, diagnostics) = parse(&Source::new("big.conf", text.clone()), &MemoryLoader::new());
        assert!(diagnostics.len() <= portcullis::limits::RULE_DIAGNOSTICS + 1);
        let elapsed = start.elapsed();
        assert!(elapsed.as_secs() < 5, "{elapsed:?} for {}…", text[..20].escape_ascii());
    }
}
