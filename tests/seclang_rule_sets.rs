//! Real rule sets read whole: not one problem, and quickly.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::diagnostics::Source;
use portcullis::seclang::ast::{DirectiveKind, Ruleset};
use portcullis::seclang::source::FileLoader;

/// The folder with reference data that is not part of the project; tests say loudly when it is absent.
fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")));
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is absent; set PORTCULLIS_SHARED", root.display());
    None
}

fn load(text: &str) -> Ruleset {
    let (ruleset, diagnostics) = portcullis::seclang::parse(&Source::new("root.conf", text), &FileLoader);
    assert!(diagnostics.is_empty(), "{diagnostics}");
    ruleset
}

fn crs(shared: &std::path::Path) -> Ruleset {
    let crs = shared.join("crs");
    let crs = crs.display();
    load(&format!("Include {crs}/crs-setup.conf.example\nInclude {crs}/test-setup.conf\nInclude {crs}/rules/*.conf\n"))
}

#[test]
fn core_rule_set_4() {
    let Some(shared) = shared() else { return };
    let ruleset = crs(&shared);
    let count = |wanted: fn(&DirectiveKind) -> bool| ruleset.directives.iter().filter(|d| wanted(&d.kind)).count();
    // 695 of the rules and 3 of the setup; 7, 1 and 1.
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Rule(_))), 698);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Action(_))), 9);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::Marker(_))), 30);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::UpdateTargetById(..))), 55);
    assert_eq!(count(|kind| matches!(kind, DirectiveKind::DefaultAction(_))), 5);
}

#[test]
fn core_rule_set_3_of_debian() {
    let root = "/usr/share/modsecurity-crs/owasp-crs.load";
    if !std::path::Path::new(root).exists() {
        eprintln!("SKIPPED: {root} is absent; install modsecurity-crs");
        return;
    }
    let ruleset = load(&format!("Include {root}\n"));
    assert!(ruleset.directives.len() > 500);
}

#[test]
fn reading_is_fast() {
    let Some(shared) = shared() else { return };
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    let best = (0..5)
        .map(|_| {
            let start = std::time::Instant::now();
            crs(&shared);
            start.elapsed()
        })
        .min()
        .unwrap();
    // Unoptimised; the release build needs a tenth.
    assert!(best < Duration::from_millis(500), "{best:?}");
    eprintln!("core rule set read in {best:?}");
}
