//! The reference page of the language, from the tables that the parser uses.
//!
//! The prose is in `reference.md` beside this file; each `{{table}}` in it is filled here. `docs/seclang.md` is the
//! result, and a test keeps it fresh.

use std::fmt::Write;

use super::action::ACTIONS;
use super::control::CONTROLS;
use super::directive::DIRECTIVES;
use super::operator::{OPERATORS, OperatorArgument};
use super::table::{Origin, Support};
use super::transformation::TRANSFORMATIONS;
use super::variable::{Selection, VARIABLES};

/// The whole page `docs/seclang.md`.
pub fn reference_markdown() -> String {
    include_str!("reference.md")
        .replace("{{directives}}", &directives())
        .replace("{{variables}}", &variables())
        .replace("{{operators}}", &operators())
        .replace("{{transformations}}", &transformations())
        .replace("{{actions}}", &actions())
        .replace("{{controls}}", &controls())
}

fn directives() -> String {
    let rows = DIRECTIVES.iter().map(|row| {
        let quiet = match row.harmless {
            [] => String::new(),
            words => format!(" (`{}` is accepted silently)", words.join("`, `")),
        };
        [
            code(row.name, &[]),
            escape(&row.arguments.describe()),
            engines(row.origin),
            text(row.doc, row.support) + &quiet,
        ]
    });
    table(["Directive", "Takes", "ModSecurity", "Meaning"], rows)
}

fn variables() -> String {
    let rows = VARIABLES.iter().map(|row| {
        let selection = match row.selection {
            Selection::None => "",
            Selection::Optional => "key or regex",
            Selection::Required => "key, required",
            Selection::XPath => "XPath",
        };
        [code(row.name, row.aliases), selection.into(), engines(row.origin), text(row.doc, row.support)]
    });
    table(["Variable", "Selector", "ModSecurity", "Meaning"], rows)
}

fn operators() -> String {
    let rows = OPERATORS.iter().map(|row| {
        let argument = match row.argument {
            OperatorArgument::None => "",
            OperatorArgument::Text => "text",
            OperatorArgument::Regex => "pattern",
            OperatorArgument::Number => "number",
            OperatorArgument::Words => "words",
            OperatorArgument::File => "file",
            OperatorArgument::Required => "required",
        };
        [code(row.name, row.aliases), argument.into(), engines(row.origin), text(row.doc, row.support)]
    });
    table(["Operator", "Argument", "ModSecurity", "Meaning"], rows)
}

fn transformations() -> String {
    let rows = TRANSFORMATIONS
        .iter()
        .map(|row| [code(row.name, row.aliases), engines(row.origin), text(row.doc, Support::Full)]);
    table(["Transformation", "ModSecurity", "Meaning"], rows)
}

fn actions() -> String {
    let rows = ACTIONS.iter().map(|row| {
        let takes = escape(row.argument.describe());
        let repeats = if row.repeats { " May stand several times." } else { "" };
        let meaning = text(row.doc, row.support) + repeats;
        [code(row.name, row.aliases), row.group.label().into(), takes, engines(row.origin), meaning]
    });
    table(["Action", "Group", "Takes", "ModSecurity", "Meaning"], rows)
}

fn controls() -> String {
    let rows = CONTROLS.iter().map(|row| {
        [code(row.name, &[]), escape(&row.value.describe()), engines(row.origin), text(row.doc, row.support)]
    });
    table(["Option", "Value", "ModSecurity", "Meaning"], rows)
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let written = writeln!(out, "| {} |", row.join(" | "));
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    out.truncate(out.trim_end().len());
    out
}

fn code(name: &str, aliases: &[&str]) -> String {
    std::iter::once(&name).chain(aliases).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn engines(origin: Origin) -> String {
    origin.label().into()
}

fn text(doc: &str, support: Support) -> String {
    let doc = escape(doc);
    match support {
        Support::Full => doc,
        Support::Inert(reason) => format!("{doc} *Accepted with a warning, does nothing: {}.*", escape(reason)),
        Support::Refused(reason) => format!("{doc} *Refused: {}.*", escape(reason)),
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*").replace('<', "\\<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/seclang.md");
        let page = reference_markdown();
        if std::env::var_os("PORTCULLIS_WRITE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == page, "docs/seclang.md is stale: run the tests with PORTCULLIS_WRITE_DOCS=1");
    }

    #[test]
    fn tables_are_sorted_and_hold_no_name_twice() {
        fn check<R: super::super::table::Named>(rows: &'static [R]) {
            let names: Vec<_> = rows.iter().map(|row| row.name().to_ascii_uppercase()).collect();
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(names, sorted);
            let mut all: Vec<_> = rows
                .iter()
                .flat_map(|row| std::iter::once(&row.name()).chain(row.aliases()).copied().collect::<Vec<_>>())
                .map(str::to_ascii_lowercase)
                .collect();
            let count = all.len();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count);
        }
        check(DIRECTIVES);
        check(VARIABLES);
        check(OPERATORS);
        check(TRANSFORMATIONS);
        check(ACTIONS);
        check(CONTROLS);
    }
}
