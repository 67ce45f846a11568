//! Pages that are made from the code are what the code says. `UPDATE_DOCS=1 cargo test --test documentation` writes them.

use std::path::Path;

use portcullis::config::{configuration_markdown, defaults, json_schema};

fn check(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/{name} is not what the code says: UPDATE_DOCS=1 cargo test --test documentation");
}

#[test]
fn defaults_are_documented() {
    check("defaults.md", &defaults::markdown());
}

#[test]
fn the_configuration_is_documented() {
    check("configuration.md", &configuration_markdown());
}

#[test]
fn the_schema_is_at_hand_for_editors() {
    check("configuration.schema.json", &json_schema());
}
