//! The JSON Schema of the file, for editors, and the reference page made from it.

use serde_json::{Map, Value};

use super::raw::RawConfiguration;

/// The schema, pretty-printed.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RawConfiguration);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// The page `docs/configuration.md`.
pub fn markdown() -> String {
    let schema = schemars::schema_for!(RawConfiguration).to_value();
    let mut out = String::from(
        "# Configuration\n\nOne YAML file, with fragments if wanted. Every key is checked; an unknown one is refused. \
         `portcullis check` reports all problems at once with line and column; `portcullis config schema` prints the \
         JSON Schema for editors. Made from `src/config/raw.rs`; `UPDATE_DOCS=1 cargo test --test documentation` \
         writes it anew. What holds where nothing is said: [defaults](defaults.md).\n\n\
         Any value may come from the environment: `${NAME}`, or `${NAME:-default}`; `$$` is a dollar. Durations are \
         written `30s`, `500ms` or `1m30s`; sizes `128KiB`, `10MB` or a number of bytes. Paths are relative to the \
         file that they stand in. Secrets are only ever named by file.\n",
    );
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut waiting = vec![(String::new(), schema.clone())];
    while let Some((path, schema)) = waiting.pop() {
        let title = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
        out.push_str(&format!("\n## {title}\n\n"));
        if let Some(text) = description(&schema) {
            out.push_str(&format!("{text}\n\n"));
        }
        out.push_str("| key | type | |\n|---|---|---|\n");
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut below = Vec::new();
        for (key, property) in schema.get("properties").and_then(Value::as_object).unwrap_or(&empty) {
            let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let kind = kind(property, &place, definitions, &mut below);
            let mark = if required.contains(&key.as_str()) { "**required** " } else { "" };
            let text = description(property).unwrap_or_default();
            out.push_str(&format!("| `{key}` | {kind} | {mark}{text} |\n"));
        }
        below.reverse();
        waiting.extend(below);
    }
    out
}

fn description(schema: &Value) -> Option<String> {
    Some(schema.get("description")?.as_str()?.replace('\n', " "))
}

/// The type in words; mappings met on the way are noted in `below`, with the path at which they stand.
fn kind(schema: &Value, place: &str, definitions: &Map<String, Value>, below: &mut Vec<(String, Value)>) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()) {
        return definitions.get(name).map_or_else(String::new, |target| kind(target, place, definitions, below));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            let kinds: Vec<String> = choices
                .iter()
                .filter(|choice| choice.get("type").and_then(Value::as_str) != Some("null"))
                .map(|choice| kind(choice, place, definitions, below))
                .collect();
            return kinds.join(" or ");
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if schema.get("properties").is_some() {
        below.push((place.to_owned(), schema.clone()));
        return "mapping".into();
    }
    if let Some(title) = schema.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match names.iter().find(|name| **name != "null") {
        Some(&"array") => {
            let items = schema.get("items").cloned().unwrap_or_default();
            format!("list of {}", kind(&items, &format!("{place}[]"), definitions, below))
        }
        Some(&"string") => "text".into(),
        Some(&"integer") => "number".into(),
        Some(other) => (*other).to_owned(),
        None => String::new(),
    }
}
