//! Puts the built-in rules (`rules/*.conf` and the data files beside them) into the binary.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=rules");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let mut files = Vec::new();
    if let Ok(entries) = fs::read_dir(Path::new(&root).join("rules")) {
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "conf" || extension == "data") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut text = String::from("&[\n");
    for path in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        text.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", path.display().to_string()));
    }
    text.push_str("]\n");
    fs::write(Path::new(&out).join("builtin_rules.rs"), text).expect("the build directory can be written");
}
