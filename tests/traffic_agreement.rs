//! Real requests: which rules match, against what ModSecurity 2.9.7 with the same rules says of each.
//!
//! Slow without optimisation, so it runs on demand: `cargo test --profile quick --test traffic_agreement -- --ignored`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis::authoring::{Engine, exchange::Target};
use portcullis::diagnostics::Source;
use portcullis::seclang::{parse, source::FileLoader};
use portcullis::waf::{EngineOptions, Program};

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.join("traffic").is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} has no traffic; set PORTCULLIS_SHARED", root.display());
    None
}

fn gunzip(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut out).unwrap();
    out
}

/// Name and content of each file of a tar archive.
fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512).filter(|header| header[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            let bytes: Vec<u8> = header[range].iter().copied().take_while(|b| *b != 0).collect();
            String::from_utf8(bytes).unwrap()
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        if header[156] == b'0' || header[156] == 0 {
            out.push((text(0..100).trim_start_matches("./").to_owned(), archive[at + 512..at + 512 + size].to_vec()));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    out
}

fn program(shared: &Path, paranoia: u8) -> Program {
    let text = format!(
        "Include crs-setup.conf.example\nSecRuleEngine DetectionOnly\nSecRequestBodyAccess On\n\
         SecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 131072\n\
         SecRule REQUEST_HEADERS:Content-Type \"^(?:application(?:/soap\\+|/)|text/)xml\" \
         \"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"^application/json\" \
         \"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={paranoia}\"\n\
         Include rules/*.conf\n"
    );
    let (ruleset, problems) = parse(&Source::new(shared.join("crs/root.conf"), text), &FileLoader);
    assert!(!problems.has_errors(), "{problems}");
    Program::compile(&ruleset, &FileLoader, &EngineOptions::default()).unwrap_or_else(|p| panic!("{p}")).0
}

/// The request as the reference was sent it.
fn prepared(raw: &[u8], number: usize) -> Vec<u8> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").map_or(raw.len(), |at| at + 2);
    let body = raw.get(end + 2..).unwrap_or_default();
    let mut out = Vec::new();
    let dropped: [&[u8]; 5] = [b"connection", b"content-length", b"expect", b"upgrade", b"transfer-encoding"];
    let mut has_length = false;
    for (index, line) in raw[..end].split_inclusive(|b| *b == b'\n').enumerate() {
        let name = line.split(|b| *b == b':').next().unwrap_or_default().to_ascii_lowercase();
        has_length |= index > 0 && (name == b"content-length" || name == b"transfer-encoding");
        if index == 0 || !dropped.contains(&name.as_slice()) {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"Connection: close\r\n");
    if !body.is_empty() || has_length {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(format!("X-Seq: {number}\r\n\r\n").as_bytes());
    out.extend_from_slice(body);
    out
}

fn agreement(paranoia: u8) {
    let Some(shared) = shared() else { return };
    let traffic = shared.join("traffic");
    let requests: HashMap<_, _> = files(&gunzip(&traffic.join("requests.tar.gz"))).into_iter().collect();
    let answers = gunzip(&traffic.join(format!("modsecurity-2.9.7-crs-4.28.0-pl{paranoia}.jsonl.gz")));
    let program = program(&shared, paranoia);
    let mut engine = Engine::new(&program);
    let (mut same, mut all) = (0, 0);
    let mut more: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut less: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut elapsed = std::time::Duration::ZERO;
    for (number, line) in answers.split(|b| *b == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let answer: serde_json::Value = serde_json::from_slice(line).unwrap();
        let Some(rules) = answer["rules"].as_array() else { continue };
        let expected: BTreeSet<u32> = rules.iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let name = answer["request"].as_str().unwrap();
        let request = prepared(&requests[name], number);
        let before = std::time::SystemTime::now();
        let exchange = engine.send(&request);
        elapsed += before.elapsed().unwrap();
        let found: BTreeSet<u32> = match &exchange.summary {
            Some(summary) => summary.matches.iter().map(|found| found.rule_id.0).collect(),
            None => {
                less.entry(0).or_default().push(name.to_owned());
                BTreeSet::new()
            }
        };
        all += 1;
        if found == expected {
            same += 1;
        } else {
            let (more, less): (Vec<_>, Vec<_>) =
                (found.difference(&expected).collect(), expected.difference(&found).collect());
            eprintln!("DIFFERS {name}: only here {more:?}, only in the reference {less:?}");
        }
        for id in found.difference(&expected) {
            more.entry(*id).or_default().push(name.to_owned());
        }
        for id in expected.difference(&found) {
            less.entry(*id).or_default().push(name.to_owned());
        }
    }
    eprintln!("paranoia {paranoia}: {same} of {all} requests agree, {:?} a request", elapsed / all);
    for (what, list) in [("only here", &more), ("only in the reference", &less)] {
        for (id, names) in list {
            eprintln!("{what}: {id} in {} requests, for example {}", names.len(), names[0]);
        }
    }
    assert!(same * 1000 >= all * if paranoia == 1 { 998 } else { 995 }, "{same} of {all}");
}

#[test]
#[ignore = "slow without optimisation"]
fn paranoia_1() {
    agreement(1);
}

#[test]
#[ignore = "slow without optimisation"]
fn paranoia_4() {
    agreement(4);
}

#[test]
#[ignore = "by hand: NAME=benign/….http PARANOIA=4"]
fn show_one() {
    let Some(shared) = shared() else { return };
    let name = std::env::var("NAME").unwrap();
    let requests: HashMap<_, _> = files(&gunzip(&shared.join("traffic/requests.tar.gz"))).into_iter().collect();
    let program = program(&shared, std::env::var("PARANOIA").map_or(4, |level| level.parse().unwrap()));
    let exchange = Engine::new(&program).send(&prepared(&requests[&name], 1));
    for line in &exchange.log {
        println!("{}", String::from_utf8_lossy(line));
    }
}

/// Bytes of memory in use, where the system tells.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

#[test]
#[ignore = "a measurement"]
fn compiling() {
    let Some(shared) = shared() else { return };
    for _ in 0..4 {
        let (before, start) = (resident(), std::time::SystemTime::now());
        let program = program(&shared, 1);
        let (elapsed, memory) = (start.elapsed().unwrap(), resident().saturating_sub(before));
        eprintln!("{} rules in {elapsed:?}, {} kB more resident", program.rule_count(), memory / 1024);
    }
}
