//! Bodies made to cost much, each as a whole transaction with the Core Rule Set at paranoia 4: no panic, an end in good
//! time, and no memory beyond what the limits add up to. Limits of length are wide here, so that rules see everything.
//!
//! Slow without optimisation: `cargo test --profile quick --test hostile_bodies -- --ignored`.
#![expect(clippy::disallowed_methods, reason = "a test measures; only the gateway itself has one clock")]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use portcullis::authoring::{Answer, Engine, Target, rule_set};
use portcullis::diagnostics::Source;
use portcullis::seclang::source::FileLoader;
use portcullis::waf::Program;

/// What one of these requests may take on a busy machine; they take a small part of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What all of them together may add to the process: bodies of 2 MB, what is unfolded and decoded of them, caches.
const KILOBYTES: u64 = 160 * 1024;
const BYTES: usize = 2 << 20;

fn program() -> Option<Program> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    let directory = root.join("crs");
    if !directory.join("rules").is_dir() {
        eprintln!("SKIPPED: {} is absent; set PORTCULLIS_SHARED", directory.display());
        return None;
    }
    let text = "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 13107200\n\
                SecRequestBodyNoFilesLimit 13107200\nSecArgumentsLimit 20000\n\
                SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \
                \"id:1,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=XML\"\n\
                SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \
                \"id:2,phase:1,pass,nolog,t:lowercase,ctl:requestBodyProcessor=JSON\"\n\
                Include crs-setup.conf.example\n\
                SecAction \"id:3,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=4\"\n\
                Include rules/*.conf\n";
    let (program, _) = rule_set::compile(&Source::new(directory.join("hostile.conf"), text), &FileLoader).unwrap();
    Some(program)
}

fn resident_kilobytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn gzip(zeros: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![0; 1 << 20];
    (0..zeros >> 20).for_each(|_| encoder.write_all(&piece).unwrap());
    encoder.finish().unwrap()
}

/// Name, Content-Type and its like, body.
fn bodies() -> Vec<(String, &'static str, Vec<u8>)> {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    const TEXT: &str = "Content-Type: text/plain\r\n";
    const JSON: &str = "Content-Type: application/json\r\n";
    const XML: &str = "Content-Type: text/xml\r\n";
    const PARTS: &str = "Content-Type: multipart/form-data; boundary=b\r\n";
    const GZIP: &str = "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n";
    let long = |piece: &str| piece.repeat(BYTES / piece.len());
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let mut all = Vec::new();
    let mut add = |name: &str, kind, body: Vec<u8>| all.push((name.to_owned(), kind, body));
    for piece in ["a", "(", "%25", "<", "'", "/*", "\\", " ", "\u{e9}", "0x", "a=b&", "{\"a\":", "&#x"] {
        let text = long(piece);
        add(&format!("form of {piece:?}"), FORM, format!("x={text}").into_bytes());
        add(&format!("text of {piece:?}"), TEXT, text.clone().into_bytes());
        add(&format!("part of {piece:?}"), PARTS, format!("{}--b--\r\n", part("x", &text)).into_bytes());
        let quoted = serde_json::to_string(&[&text[..]]).unwrap();
        add(&format!("JSON of {piece:?}"), JSON, quoted.into_bytes());
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        add(&format!("XML of {piece:?}"), XML, format!("<r a='x'>{escaped}</r>").into_bytes());
    }
    add("nested arrays", JSON, long("[").into_bytes());
    add("nested objects", JSON, long("{\"a\":").into_bytes());
    add("nested elements", XML, long("<a>").into_bytes());
    add("elements", XML, format!("<r>{}</r>", long("<a b='c'/>")).into_bytes());
    let entities: String =
        (1..12).map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))).collect();
    add("entities", XML, format!("<!DOCTYPE r [<!ENTITY e0 \"lol\">{entities}]><r>&e11;</r>").into_bytes());
    let names = |count: usize| (0..count).map(|n| format!("a{n}=%27{n}&")).collect::<String>();
    add("10,000 arguments", FORM, names(10_000).into_bytes());
    add("100,000 arguments", FORM, names(100_000).into_bytes());
    let parts = |count: usize| (0..count).map(|n| part(&format!("p{n}"), "'")).collect::<String>() + "--b--\r\n";
    add("1,000 parts", PARTS, parts(1_000).into_bytes());
    add("20,000 parts", PARTS, parts(20_000).into_bytes());
    add("boundaries", PARTS, long("--b\r\n").into_bytes());
    add("gzip of 200 MB", GZIP, gzip(200 << 20));
    add("gzip that is none", GZIP, long("a").into_bytes());
    all
}

#[test]
#[ignore = "minutes without optimisation"]
fn no_body_costs_more_than_its_limits() {
    let Some(program) = program() else { return };
    let bodies = bodies();
    let mut engine = Engine::new(&program);
    let before = resident_kilobytes();
    let mut costs = Vec::new();
    for (name, kind, body) in &bodies {
        let head = format!(
            "POST /p HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test\r\nAccept: */*\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let start = Instant::now();
        let exchange = engine.send(&[head.as_bytes(), body].concat());
        let elapsed = start.elapsed();
        costs.push((elapsed, name));
        assert!(elapsed < PATIENCE, "{name} took {elapsed:?}");
        assert!(matches!(exchange.answer, Answer::Status(200 | 403 | 413)), "{name}: {:?}", exchange.answer);
        assert!(exchange.summary.is_some(), "{name} was not inspected");
    }
    costs.sort_by(|a, b| b.cmp(a));
    eprintln!("{} bodies; the dearest: {:?}", costs.len(), costs.get(..8).unwrap());
    let grown = resident_kilobytes() - before;
    eprintln!("{grown} kB more than before");
    assert!(grown < KILOBYTES, "{grown} kB more than before");
}
