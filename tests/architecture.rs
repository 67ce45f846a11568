//! Holds the tree to the layers of `src/lib.rs`: a room uses only rooms of lower layers, and its own.
//!
//! Reads the `crate::…` paths of every source file outside its tests. What fails here is a dependency that points
//! upward, or between rooms of one layer: pass a value or a function down instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layer of each room. A longer name wins over a shorter one: `config::model` lies below `config`.
const LAYERS: &[(&str, u8)] = &[
    ("diagnostics", 0),
    ("limits", 0),
    ("octets", 0),
    ("yaml", 0),
    // Depends on nothing, and is the only place that reads the clocks.
    ("runtime::clock", 0),
    ("seclang", 1),
    ("http", 1),
    ("waf", 2),
    ("route", 2),
    ("config::model", 2),
    ("identity", 2),
    ("upstream::balance", 2),
    ("upstream::health", 2),
    ("upstream::outlier", 2),
    ("upstream::retry", 2),
    ("authoring", 3),
    ("config", 3),
    ("certificate", 3),
    ("tls", 3),
    ("dns", 3),
    ("telemetry", 3),
    ("upstream", 4),
    ("gateway", 5),
    ("admin", 5),
    ("runtime", 6),
    ("cli", 7),
];

/// Uses within one layer that are meant, with the reason. Nothing may depend on the user in turn.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("yaml", "diagnostics", "what is wrong with a text has a place in it"),
    ("tls", "certificate", "a TLS configuration is made from certificates"),
    ("config::model", "waf", "a policy holds its compiled program"),
    ("route", "config::model", "the router is made from the model"),
    ("identity", "config::model", "what a listener asks of a client certificate is in the model"),
    ("upstream::balance", "config::model", "settings of a pool are in the model"),
    ("upstream::health", "config::model", "settings of a probe are in the model"),
    ("upstream::outlier", "config::model", "settings of ejection are in the model"),
    ("upstream::retry", "config::model", "settings of retries are in the model"),
];

/// Files above 800 lines, with the reason.
const LONG: &[(&str, &str)] = &[
    ("tables.rs", "tables of data are as long as they are"),
    ("waf/regex/parser.rs", "one grammar, read from top to bottom"),
];

fn layer(path: &str) -> Option<(&'static str, u8)> {
    let fits = LAYERS.iter().filter(|(room, _)| path == *room || path.starts_with(&format!("{room}::")));
    fits.max_by_key(|(room, _)| room.len()).copied()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `src/config/model.rs` is `config::model`; `src/config/mod.rs` is `config`.
fn module(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap().with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.iter().filter(|part| *part != "mod").cloned().collect::<Vec<_>>().join("::")
}

/// The code without comments and without the module of tests at its end.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path after `crate::`, as far as it is plain; of `crate::{a, b::c}` each.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        // `$crate::` in macros names the same rooms.
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let end = group.find(|c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            let mut depth = 0;
            let inside = &group[..end.unwrap_or(group.len())];
            for part in inside.split(|c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            }) {
                found.insert(plain(part.trim()));
            }
        } else {
            found.insert(plain(rest));
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

/// The module path at the beginning of a text: lower-case segments.
fn plain(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':'));
    text[..end.unwrap_or(text.len())].trim_end_matches(':').to_owned()
}

#[test]
fn rooms_use_only_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    all.sort();
    let mut upward = Vec::new();
    let mut seen = 0;
    for file in &all {
        let module = module(&root, file);
        // Tests reach across on purpose.
        let is_test = module.split("::").any(|part| part.starts_with("tests"));
        if is_test || matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some((room, own)) = layer(&module) else {
            upward.push(format!("{module}: not in the table of layers"));
            continue;
        };
        for path in uses(&code(&fs::read_to_string(file).unwrap())) {
            let Some((target, other)) = layer(&path) else { continue };
            seen += 1;
            // A room's own parts, wherever they lie.
            let is_own = target.split("::").next() == room.split("::").next();
            let is_meant = NEIGHBOURS.iter().any(|(from, to, _)| *from == room && *to == target);
            if !is_own && other >= own && !is_meant {
                upward.push(format!("{module} (layer {own}) uses crate::{path} (layer {other})"));
            }
        }
    }
    assert!(seen > 100, "only {seen} uses found: does this test still read the tree?");
    assert!(upward.is_empty(), "\n{}\n", upward.join("\n"));
}

#[test]
fn files_stay_readable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    let lines = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<_> = all
        .iter()
        .filter(|file| !LONG.iter().any(|(name, _)| file.ends_with(name)) && lines(file) > 800)
        .map(|file| format!("{}: {} lines", file.display(), lines(file)))
        .collect();
    assert!(long.is_empty(), "longer than 800 lines:\n{}", long.join("\n"));
}

#[test]
fn the_reader_of_this_test_finds_groups_and_nested_paths() {
    let code = "use crate::config::model::{Pool, Route};\nuse crate::{decode_struct, waf::{A, b}};\nlet x = crate::http::h1::parse();";
    let found: Vec<_> = uses(code).into_iter().collect();
    assert_eq!(found, ["config::model", "decode_struct", "http::h1::parse", "waf"]);
    assert_eq!(layer("config::model").unwrap().1, 2);
    assert_eq!(layer("config::build").unwrap().1, 3);
    assert_eq!(layer("runtime::clock").unwrap().1, 0);
}
