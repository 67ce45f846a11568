//! Fast paths change no outcome: recorded traffic and the Core Rule Set's own payloads with every switch of
//! `EngineOptions` on and off, compared to the last byte of the log lines.
//!
//! Slow without optimisation, so most runs on demand:
//! `cargo test --no-default-features --profile quick --test fast_paths -- --ignored --nocapture`. With `COST=1` the
//! time per request is printed instead (processor time of the thread, so that a busy machine matters less).

use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis::authoring::{Engine, cases, exchange::Target, rule_set, wire};
use portcullis::seclang::source::FileLoader;
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

/// Content of each file of the recorded traffic.
fn traffic(shared: &Path) -> Vec<Vec<u8>> {
    let mut archive = Vec::new();
    let file = std::fs::File::open(shared.join("traffic/requests.tar.gz")).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut archive).unwrap();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512).filter(|header| header[0] != 0) {
        let size: String = header[124..136].iter().copied().take_while(|byte| *byte != 0).map(char::from).collect();
        let size = usize::from_str_radix(size.trim(), 8).unwrap();
        if header[156] == b'0' || header[156] == 0 {
            out.push(wire::alone(&archive[at + 512..at + 512 + size]));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    out
}

/// The requests of the rule set's regression files.
fn payloads(directory: &Path, out: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            payloads(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let file = cases::load(&FileLoader::open(&path).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
            out.extend(file.tests.iter().flat_map(|test| &test.stages).map(|stage| wire::request(&stage.input)));
        }
    }
}

fn program(shared: &Path, paranoia: u8, options: &EngineOptions) -> Program {
    let root = rule_set::core_rule_set_at(&shared.join("crs"), paranoia, false);
    rule_set::compile_with(&root, &FileLoader, options).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// Reference first.
fn combinations() -> Vec<(&'static str, EngineOptions)> {
    let reference = EngineOptions::reference();
    vec![
        ("reference", reference.clone()),
        ("default", EngineOptions::default()),
        ("prefilter", EngineOptions { prefilter: true, ..reference.clone() }),
        ("transformation cache", EngineOptions { transformation_cache: true, ..reference.clone() }),
        ("shared operators", EngineOptions { share_operators: true, ..reference }),
    ]
}

/// Runs the requests with every combination; every `step`th of them with those other than the default.
fn compare(shared: &Path, paranoia: u8, requests: &[Vec<u8>], step: usize) {
    let combinations = combinations();
    let programs: Vec<Program> = combinations.iter().map(|(_, options)| program(shared, paranoia, options)).collect();
    let mut engines: Vec<Engine<'_>> = programs.iter().map(Engine::new).collect();
    let mut different = 0;
    let mut matches = 0;
    for (number, request) in requests.iter().enumerate() {
        let mut expected = String::new();
        for (index, (engine, (name, _))) in engines.iter_mut().zip(&combinations).enumerate() {
            // Each engine counts requests, and rules see a clock that follows the count.
            if index > 1 && number % step != 0 {
                engine.skip();
                continue;
            }
            let exchange = engine.send(request);
            let found = format!("{:?} {:?}", exchange.answer, exchange.summary);
            if index == 0 {
                matches += exchange.summary.as_ref().map_or(0, |summary| summary.matches.len());
                expected = found;
            } else if found != expected {
                different += 1;
                let shown = String::from_utf8_lossy(request.get(..300).unwrap_or(request));
                eprintln!("DIFFERS with {name}: request {number}\n{shown}\n  {expected}\n  {found}");
                assert!(different < 5, "too many differences");
            }
        }
    }
    eprintln!("paranoia {paranoia}: {} requests, {matches} matches, {different} differ", requests.len());
    assert_eq!(different, 0);
    assert!(matches > 0);
}

#[test]
#[ignore = "slow without optimisation"]
fn payloads_of_the_core_rule_set() {
    let Some(shared) = shared() else { return };
    let mut requests = Vec::new();
    payloads(&shared.join("crs/tests"), &mut requests);
    assert!(requests.len() > 1000);
    compare(&shared, 4, &requests, 1);
}

#[test]
#[ignore = "slow without optimisation"]
fn traffic_at_paranoia_1() {
    let Some(shared) = shared() else { return };
    compare(&shared, 1, &traffic(&shared), 7);
}

#[test]
#[ignore = "slow without optimisation"]
fn traffic_at_paranoia_4() {
    let Some(shared) = shared() else { return };
    compare(&shared, 4, &traffic(&shared), 7);
}

/// Nanoseconds that this thread was on a processor.
fn busy() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// As a shop's page asks for its orders.
fn ordinary_get() -> Vec<u8> {
    b"GET /api/v1/orders/7?page=0&sort=created_at&filter=status%3Aopen&q=winter+jacket+size+7 HTTP/1.1\r\n\
      Host: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
      Chrome/126.0 Safari/537.36\r\nAccept: application/json, text/plain, */*\r\nAccept-Language: en-US,en;q=0.9\r\n\
      Accept-Encoding: gzip, deflate, br\r\nReferer: https://shop.example.com/catalog?page=2\r\n\
      Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1718000000\r\n\
      Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkphbmUifQ.\
      c2lnbmF0dXJlLXBsYWNlaG9sZGVy\r\n\r\n"
        .to_vec()
}

fn ordinary_post() -> Vec<u8> {
    let item = |number: u32| {
        let price = f64::from(number) * 3.5;
        let sku = 1000 + number;
        format!(r#"{{"sku":"SKU-{sku}","qty":{number},"price":{price},"note":"gift wrap please, deliver after 5pm"}}"#)
    };
    let items: Vec<String> = (1..=12).map(item).collect();
    let body = format!(
        r#"{{"customer":{{"name":"Jane Doe","email":"jane@example.com","address":{{"street":"12 Main St","city":"Springfield","zip":"12345"}}}},"items":[{}],"comment":"Thanks for the quick delivery last time!"}}"#,
        items.join(",")
    );
    format!(
        "POST /post?src=web HTTP/1.1\r\nHost: www.example.com\r\nContent-Type: application/json\r\nUser-Agent: \
         Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: application/json\r\nCookie: \
         session=8f14e45fceea167a5a36dedd4bea2543\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
#[ignore = "a measurement: COST=1, or COST=reference"]
fn cost() {
    let (Some(shared), Ok(which)) = (shared(), std::env::var("COST")) else { return };
    let options = if which == "reference" { EngineOptions::reference() } else { EngineOptions::default() };
    let traffic = traffic(&shared);
    let only = std::env::var("ONLY").unwrap_or_default();
    let levels = std::env::var("PARANOIA").map_or_else(|_| vec![1, 4], |level| vec![level.parse().unwrap()]);
    for paranoia in levels {
        let before = busy();
        let program = program(&shared, paranoia, &options);
        eprintln!("paranoia {paranoia}: compiled in {} ms", (busy() - before) / 1_000_000);
        let scenarios: [(&str, Vec<Vec<u8>>, usize); 3] = [
            ("traffic", traffic.clone(), 2),
            ("get", vec![ordinary_get()], std::env::var("ROUNDS").map_or(5000, |r| r.parse().unwrap())),
            ("json", vec![ordinary_post()], std::env::var("ROUNDS").map_or(2000, |r| r.parse().unwrap())),
        ];
        for (name, requests, rounds) in scenarios {
            if !only.is_empty() && only != name {
                continue;
            }
            let mut engine = Engine::new(&program);
            let mut best = u64::MAX;
            for _ in 0..2 {
                let before = busy();
                for _ in 0..rounds {
                    requests.iter().for_each(|request| drop(engine.send(request)));
                }
                best = best.min((busy() - before) / (rounds * requests.len()) as u64);
            }
            eprintln!("paranoia {paranoia} {name}: {}.{} us a request", best / 1000, best / 100 % 10);
        }
    }
}
