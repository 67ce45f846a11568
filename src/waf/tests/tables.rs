//! What the tables of the language (and with them `docs/seclang.md`) say is what the engine does: what they call
//! supported compiles without a word, what they call inert is warned of and does nothing, the rest is refused with the
//! reason that they give.

use super::*;
use crate::seclang::action::{ACTIONS, ActionArgument};
use crate::seclang::control::{CONTROLS, ControlValue};
use crate::seclang::table::Support;
use crate::seclang::transformation::TRANSFORMATIONS;
use crate::seclang::variable::{Selection, VARIABLES};

/// What loading says of rules: errors and warnings.
fn problems(rules: &str) -> Result<String, String> {
    let (ruleset, mut found) = parse(&Source::new(Path::new("test.conf"), rules), &MemoryLoader::new());
    if found.has_errors() {
        return Err(found.to_string());
    }
    match Program::compile(&ruleset, &MemoryLoader::new(), &EngineOptions::reference()) {
        Ok((_, warnings)) => {
            found.extend(warnings);
            Ok(found.to_string())
        }
        Err(errors) => Err(errors.to_string()),
    }
}

fn check(what: &str, support: Support, rules: &str) {
    match (support, problems(rules)) {
        (Support::Full, Ok(warnings)) => assert_eq!(warnings, "", "{what}"),
        (Support::Full, Err(errors)) => panic!("{what} is supported, the table says: {errors}"),
        (Support::Inert(reason), Ok(warnings)) => assert!(warnings.contains(reason), "{what}: {warnings}"),
        (Support::Inert(_), Err(errors)) => panic!("{what} is accepted, the table says: {errors}"),
        (Support::Refused(reason), Err(errors)) => assert!(errors.contains(reason), "{what}: {errors}"),
        (Support::Refused(_), Ok(_)) => panic!("{what} is refused, the table says"),
    }
}

#[test]
fn variables() {
    for row in VARIABLES {
        let selector = match row.selection {
            Selection::Required => ":key",
            Selection::None | Selection::Optional | Selection::XPath => "",
        };
        for name in std::iter::once(&row.name).chain(row.aliases) {
            let rule = format!("SecRule {name}{selector} \"@unconditionalMatch\" \"id:1,phase:5,pass\"");
            check(name, row.support, &rule);
        }
        if matches!(row.support, Support::Inert(reason) if reason.contains("never has a value")) {
            let form = Exchange::form("a=1").response(200, "text/html", "body");
            let rules = format!("SecRule {} \"@unconditionalMatch\" \"id:1,phase:5,pass\"", row.name);
            assert_eq!(form.run(&program(&rules)).ids(), [0; 0], "{}", row.name);
        }
    }
}

#[test]
fn transformations() {
    for row in TRANSFORMATIONS {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            check(name, Support::Full, &format!("SecRule ARGS \"@rx a\" \"id:1,phase:2,pass,t:{name}\""));
        }
    }
}

#[test]
fn actions() {
    for row in ACTIONS {
        let argument = match (row.name, row.argument) {
            ("skipAfter", _) => ":END",
            ("xmlns", _) => ":p=urn:x",
            ("redirect", _) => ":https://a.test/",
            (_, ActionArgument::None | ActionArgument::OptionalText | ActionArgument::Allow) => "",
            (_, ActionArgument::Text) => ":x",
            (_, ActionArgument::Id | ActionArgument::Number) => ":1",
            (_, ActionArgument::Phase) => ":2",
            (_, ActionArgument::Severity) => ":CRITICAL",
            (_, ActionArgument::Status) => ":404",
            (_, ActionArgument::Transformation) => ":none",
            (_, ActionArgument::Control) => ":ruleEngine=On",
            (_, ActionArgument::SetVariable) => ":tx.a=1",
            (_, ActionArgument::CollectionVariable) => ":ip.a=60",
            (_, ActionArgument::Collection) => ":ip=%{REMOTE_ADDR}",
            (_, ActionArgument::Pair) => ":a=1",
        };
        let link = if row.name == "chain" { "SecRule ARGS \"@rx b\"\n" } else { "" };
        for name in std::iter::once(&row.name).chain(row.aliases) {
            let id = if row.name == "id" { "" } else { "id:7," };
            let rules = format!(
                "SecRule ARGS \"@rx a\" \"{id}phase:2,{name}{argument}\"\n{link}SecMarker END\nSecAction \"id:9\""
            );
            check(name, row.support, &rules);
        }
    }
}

#[test]
fn options_of_ctl() {
    for row in CONTROLS {
        let values: &[&str] = match (row.name, row.value) {
            (_, ControlValue::OneOf(words)) => words,
            (_, ControlValue::Number) => &["1"],
            (_, ControlValue::Parts) => &["+E", "-E", "ABZ"],
            (_, ControlValue::Ids) => &["9", "8-9"],
            (_, ControlValue::Text) => &["nine"],
            (_, ControlValue::IdsAndTarget) => &["9;ARGS:a"],
            (_, ControlValue::TextAndTarget) => &["nine;ARGS:a"],
        };
        for value in values {
            let name = row.name;
            // To turn off what is never on is fine.
            if *value == "Off" && matches!(row.support, Support::Refused(_)) {
                continue;
            }
            let rules = format!(
                "SecAction \"id:1,phase:1,pass,ctl:{name}={value}\"\n\
                 SecRule ARGS \"@rx a\" \"id:9,phase:2,tag:'nine',msg:'nine'\""
            );
            check(&format!("{name}={value}"), row.support, &rules);
        }
    }
}
