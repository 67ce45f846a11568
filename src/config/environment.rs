//! Values from the environment: `${NAME}` and `${NAME:-default}` in any scalar, replaced before it is typed.
//!
//! Names are upper case, so that the placeholders of redirects (`${host}`) are told from them. `$$` is one dollar.

use crate::diagnostics::{Diagnostics, Source};
use crate::yaml::{Node, Value};

/// Looks up a variable.
pub type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// Placeholders that a redirect replaces itself.
const OF_REDIRECTS: [&str; 4] = ["scheme", "host", "path", "query"];

/// Replaces in all values of a document. A variable that is not set and has no default is a problem.
pub(super) fn substitute(node: &mut Node, source: &Source, environment: &Environment<'_>, problems: &mut Diagnostics) {
    match &mut node.value {
        Value::Sequence(items) => {
            items.iter_mut().for_each(|item| substitute(item, source, environment, problems));
        }
        Value::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, value)| substitute(value, source, environment, problems));
        }
        Value::Scalar(scalar) if scalar.text.contains('$') => match expand(&scalar.text, environment) {
            // In `{a: '${X}'}` the quotes are for YAML's sake: what comes in may be a number or a boolean all the same.
            Ok(text) => {
                let is_something = !matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
                scalar.is_plain |= is_something && text != scalar.text;
                scalar.text = text;
            }
            Err(problem) => {
                let (message, advice) = problem.describe();
                problems.push(node.error(source, message).advise(advice));
            }
        },
        Value::Scalar(_) => {}
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Unset(String),
    NotAName(String),
    Open,
}

impl Problem {
    fn describe(&self) -> (String, String) {
        match self {
            Self::Unset(name) => (
                format!("the environment variable `{name}` is not set"),
                format!("set it, or give a default: `${{{name}:-value}}`"),
            ),
            Self::NotAName(name) => (
                format!("`${{{name}}}` is not the name of an environment variable"),
                "names are upper-case letters, digits and underscores; write `$$` for a dollar".into(),
            ),
            Self::Open => ("`${` without its `}`".into(), "write `$$` for a dollar".into()),
        }
    }
}

fn expand(text: &str, environment: &Environment<'_>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(tail) = from.strip_prefix("$$") {
            out.push('$');
            rest = tail;
        } else if let Some(tail) = from.strip_prefix("${") {
            let (inside, after) = tail.split_once('}').ok_or(Problem::Open)?;
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            if OF_REDIRECTS.contains(&inside) {
                out.push_str(&format!("${{{inside}}}"));
            } else if !is_name(name) {
                return Err(Problem::NotAName(inside.to_owned()));
            } else {
                // As in a shell, an empty variable counts as unset when there is a default.
                let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
                match value.as_deref().or(default) {
                    Some(value) => out.push_str(value),
                    None => return Err(Problem::Unset(name.to_owned())),
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "LAB" => Some("/lab".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_dollars() {
        for (text, expected) in [
            ("${LAB}/ca.pem", "/lab/ca.pem"),
            ("${NONE:-a}${LAB:-b}", "a/lab"),
            ("${EMPTY:-x}|${EMPTY}|${NONE:-}", "x||"),
            ("$${LAB} costs $5", "${LAB} costs $5"),
            ("https://${host}${path}", "https://${host}${path}"),
        ] {
            assert_eq!(expand(text, &environment).unwrap(), expected, "{text}");
        }
        assert_eq!(expand("${NONE}", &environment), Err(Problem::Unset("NONE".into())));
        assert_eq!(expand("${lab}", &environment), Err(Problem::NotAName("lab".into())));
        assert_eq!(expand("${9}", &environment), Err(Problem::NotAName("9".into())));
        assert_eq!(expand("${LAB", &environment), Err(Problem::Open));
    }
}
