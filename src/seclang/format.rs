//! The tree back to text.
//!
//! [`print()`] gives a rule set without its includes as one text that parses to the same tree. [`file()`] rewrites one
//! file in a uniform layout and keeps its comments and blank lines. Every rule is written as the Core Rule Set does:
//! targets and operator on the first line, then one action a line, each line but the last continued.

use super::ast::{Action, Directive, DirectiveKind, IdRange, OperatorCall, Ruleset, Selector, Target, TargetUpdate};
use super::lexer::{Lines, is_space};
use super::parser::parse_alone;
use crate::diagnostics::{Diagnostics, Source};

/// The whole rule set as one text.
pub fn print(ruleset: &Ruleset) -> Vec<u8> {
    let mut out = Vec::new();
    for directive in &ruleset.directives {
        directive_text(directive, &mut out);
    }
    out
}

/// One file in uniform layout, comments and blank lines kept (runs of blank lines become one). A file with errors
/// is not rewritten.
pub fn file(source: &Source) -> Result<Vec<u8>, Diagnostics> {
    let (ruleset, diagnostics) = parse_alone(source);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let mut out = Vec::new();
    let physical: Vec<_> = source.text().split(|b| *b == b'\n').collect();
    let mut directives = ruleset.directives.iter().peekable();
    let mut is_blank_due = false;
    for line in Lines::new(source.text()) {
        if line.is_blank() {
            is_blank_due = !out.is_empty();
            continue;
        }
        if std::mem::take(&mut is_blank_due) {
            out.push(b'\n');
        }
        let (first, last) = line.numbers();
        if line.is_comment() {
            for comment in physical.get(first as usize - 1..last as usize).unwrap_or_default() {
                out.extend_from_slice(trim_end(comment));
                out.push(b'\n');
            }
            continue;
        }
        while let Some(directive) = directives.next_if(|d| d.location.position.line <= last) {
            directive_text(directive, &mut out);
        }
    }
    Ok(out)
}

fn trim_end(line: &[u8]) -> &[u8] {
    let kept = line.iter().rposition(|b| !is_space(*b)).map_or(0, |at| at + 1);
    line.get(..kept).unwrap_or_default()
}

fn directive_text(directive: &Directive, out: &mut Vec<u8>) {
    match &directive.kind {
        DirectiveKind::Rule(rule) => {
            out.extend_from_slice(b"SecRule ");
            word(&targets_text(&rule.targets), out);
            out.push(b' ');
            quoted(&operator_text(&rule.operator), out);
            actions_text(&rule.actions, out);
        }
        DirectiveKind::Action(actions) => {
            out.extend_from_slice(b"SecAction");
            actions_text(actions, out);
        }
        DirectiveKind::DefaultAction(actions) => {
            out.extend_from_slice(b"SecDefaultAction ");
            quoted(&joined_actions(actions), out);
        }
        DirectiveKind::Marker(name) => {
            out.extend_from_slice(b"SecMarker ");
            quoted(name, out);
        }
        DirectiveKind::RemoveById(ranges) => {
            out.extend_from_slice(b"SecRuleRemoveById");
            for range in ranges {
                out.push(b' ');
                out.extend_from_slice(range_text(*range).as_bytes());
            }
        }
        DirectiveKind::RemoveByTag(pattern) => subject(b"SecRuleRemoveByTag ", pattern, out),
        DirectiveKind::RemoveByMsg(pattern) => subject(b"SecRuleRemoveByMsg ", pattern, out),
        DirectiveKind::UpdateTargetById(ranges, update) => {
            let ranges: Vec<_> = ranges.iter().map(|range| range_text(*range)).collect();
            out.extend_from_slice(b"SecRuleUpdateTargetById ");
            word(ranges.join(",").as_bytes(), out);
            update_text(update, out);
        }
        DirectiveKind::UpdateTargetByTag(pattern, update) => {
            subject(b"SecRuleUpdateTargetByTag ", pattern, out);
            update_text(update, out);
        }
        DirectiveKind::UpdateTargetByMsg(pattern, update) => {
            subject(b"SecRuleUpdateTargetByMsg ", pattern, out);
            update_text(update, out);
        }
        DirectiveKind::UpdateActionById { id, offset, actions } => {
            let offset = if *offset == 0 { String::new() } else { format!(":{offset}") };
            out.extend_from_slice(format!("SecRuleUpdateActionById {id}{offset} ").as_bytes());
            quoted(&joined_actions(actions), out);
        }
        DirectiveKind::Setting(setting) => {
            out.extend_from_slice(setting.name.as_bytes());
            for argument in &setting.arguments {
                out.push(b' ');
                word(argument, out);
            }
        }
    }
    out.push(b'\n');
}

fn subject(name: &[u8], pattern: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    quoted(pattern, out);
}

fn update_text(update: &TargetUpdate, out: &mut Vec<u8>) {
    out.push(b' ');
    quoted(&targets_text(&update.targets), out);
    if let Some(replaced) = &update.replaces {
        out.push(b' ');
        quoted(&targets_text(replaced), out);
    }
}

fn range_text(range: IdRange) -> String {
    if range.first == range.last { range.first.to_string() } else { format!("{}-{}", range.first, range.last) }
}

/// In double quotes; quotes and backslashes that would be read as something else are hidden by a backslash.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        // A lone backslash stands for itself, unless it meets the closing quote.
        let next = bytes.peek();
        if *byte == b'"' || (*byte == b'\\' && next.is_none_or(|next| matches!(**next, b'"' | b'\\'))) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// Bare when that is read back as it is, else in double quotes.
fn word(text: &[u8], out: &mut Vec<u8>) {
    let needs_quotes = text.is_empty()
        || text.iter().any(|b| is_space(*b) || matches!(b, b'\\' | b'"'))
        || matches!(text.first(), Some(b'\'' | b'#'));
    if needs_quotes { quoted(text, out) } else { out.extend_from_slice(text) }
}

/// `|`-separated.
pub fn targets_text(targets: &[Target]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        if index > 0 {
            out.push(b'|');
        }
        if target.is_exclusion {
            out.push(b'!');
        }
        if target.is_count {
            out.push(b'&');
        }
        out.extend_from_slice(target.name.as_bytes());
        let selector = match &target.selector {
            None => continue,
            Some(Selector::Key(key) | Selector::XPath(key)) => key.clone(),
            Some(Selector::Regex(pattern)) => [b"/", &pattern[..], b"/"].concat(),
        };
        out.push(b':');
        let is_plain = !selector.is_empty()
            && selector.first() != Some(&b'\'')
            && !selector.iter().any(|b| is_space(*b) || matches!(b, b'|' | b','))
            // An open slash would look for its end in what follows.
            && (selector.first() != Some(&b'/') || (selector.len() > 2 && selector.last() == Some(&b'/')));
        if is_plain { out.extend_from_slice(&selector) } else { single_quoted(&selector, &mut out) }
    }
    out
}

/// In single quotes, as targets and actions take them.
fn single_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek();
        if *byte == b'\'' || (*byte == b'\\' && next.is_none_or(|next| matches!(**next, b'\'' | b'\\'))) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'\'');
}

/// `!@rx pattern`.
pub fn operator_text(operator: &OperatorCall) -> Vec<u8> {
    let sign: &[u8] = if operator.is_negated { b"!@" } else { b"@" };
    let space: &[u8] = if operator.argument.is_empty() { b"" } else { b" " };
    [sign, operator.name.as_bytes(), space, &operator.argument].concat()
}

/// `setvar:'tx.a=+1'`.
pub fn action_text(action: &Action) -> Vec<u8> {
    let mut out = action.name.as_bytes().to_vec();
    if let Some(argument) = &action.argument {
        out.push(b':');
        // Words of the language are written bare, text in quotes.
        let is_bare = !argument.is_empty()
            && argument.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'.' | b'+'))
            && !matches!(action.name, "msg" | "logdata" | "tag" | "ver" | "rev" | "severity" | "setvar");
        if is_bare { out.extend_from_slice(argument) } else { single_quoted(argument, &mut out) }
    }
    out
}

fn joined_actions(actions: &[Action]) -> Vec<u8> {
    actions.iter().map(action_text).collect::<Vec<_>>().join(&b","[..])
}

/// One action a line, in double quotes; nothing for an empty list.
fn actions_text(actions: &[Action], out: &mut Vec<u8>) {
    if actions.is_empty() {
        return;
    }
    let mut text = Vec::new();
    quoted(&actions.iter().map(action_text).collect::<Vec<_>>().join(&b",\\\n    "[..]), &mut text);
    out.extend_from_slice(b" \\\n    ");
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seclang::parse;
    use crate::seclang::source::MemoryLoader;

    fn printed(text: &[u8]) -> String {
        let (ruleset, diagnostics) = parse(&Source::new("a.conf", text), &MemoryLoader::new());
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        String::from_utf8_lossy(&print(&ruleset)).into_owned()
    }

    #[test]
    fn print_is_stable_and_loses_nothing() {
        for text in [
            r#"SecRule ARGS|!ARGS:/a\/b/|&TX:'x|y'|XML:/* "!@rx a\"b\\ \d" "id:1,phase:request,t:LowerCase,msg:'it\'s, \\ \n',deny""#,
            r#"SecRule "REQUEST_HEADERS:'a b'" @detectSQLi id:1"#,
            r#"SecRule ARGS "" "id:1,msg:''""#,
            r#"SecAction "id:1,nolog,pass,setvar:tx.a=+1,setvar:'!tx.b',ctl:ruleremovetargetbyid=5;ARGS:x""#,
            r#"SecRuleRemoveById 1 "3-5,7" 9"#,
            r#"SecRuleRemoveByTag a "b \" c""#,
            r#"SecRuleUpdateTargetById 1-3 "!ARGS:x" ARGS"#,
            r#"SecRuleUpdateActionById 12:2 "pass,msg:'a'""#,
            r#"SecMarker END"#,
            r#"SecComponentSignature "a b""#,
            r#"SecResponseBodyMimeType text/plain text/html"#,
            r#"SecArgumentSeparator "\\""#,
            r#"SecDefaultAction "phase:1,log,pass""#,
        ] {
            let once = printed(text.as_bytes());
            assert_eq!(printed(once.as_bytes()), once, "{text}");
        }
        assert_eq!(
            printed(br#"secrule args "a" "id:1,T:NONE,msg:'x'""#),
            "SecRule ARGS \"@rx a\" \\\n    \"id:1,\\\n    t:none,\\\n    msg:'x'\"\n"
        );
    }

    #[test]
    fn a_file_keeps_comments_and_blank_lines() {
        let text = "# one\n\n\n  # two \\\nstill two\nSecMarker   'x'\nInclude *.conf\n\nSecAction id:1,pass\n";
        let laid_out = file(&Source::new("a.conf", text)).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&laid_out),
            "# one\n\n  # two \\\nstill two\nSecMarker \"x\"\nInclude *.conf\n\nSecAction \\\n    \"id:1,\\\n    pass\"\n"
        );
    }
}
