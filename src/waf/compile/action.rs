//! Non-disruptive actions.

use std::sync::Arc;

use super::Compiler;
use crate::diagnostics::Location;
use crate::seclang::ast;
use crate::waf::action::collection::{Open, Timed};
use crate::waf::action::ctl::{Ctl, ExcludedMember, ExcludedTarget, PartsChange};
use crate::waf::action::setvar::{Change, Name, SetVariable};
use crate::waf::action::{Action, Sanitise};
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::number::atoi;
use crate::waf::program::{RuleSetId, TargetListId};
use crate::waf::settings::{AuditEngine, EngineMode, XmlArguments};

/// Which rules a `ctl` means, to be found later.
#[derive(Debug)]
pub(super) struct PendingControl {
    pub(super) location: Location,
    pub(super) rule: u32,
    pub(super) subject: Subject,
    /// Only the first rule of each chain (targets) or links as well (whole rules)?
    pub(super) is_of_targets: bool,
}

/// How it names them.
#[derive(Debug)]
pub(super) enum Subject {
    Ids(Vec<(u32, u32)>),
    Tag(Vec<u8>),
    Message(Vec<u8>),
}

/// Translates an action; `None` after a reported problem.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    rule: u32,
    action: &ast::Action,
) -> Option<(Action, Option<PendingControl>)> {
    let argument = action.argument.as_deref().unwrap_or_default();
    let open = |collection, is_per_application, key: &[u8], compiler: &mut Compiler<'_>| {
        let key = Text::parse(key, &mut compiler.tx_names);
        Action::Open(Open { collection, is_per_application, key })
    };
    let compiled = match action.name {
        "setvar" => Action::SetVariable(set_variable(compiler, rule, action, argument)?),
        "expirevar" => Action::Expire(timed(compiler, rule, action, argument)?),
        "deprecatevar" => Action::Deprecate(timed(compiler, rule, action, argument)?),
        "initcol" => {
            let (name, key) = split(argument, b'=')?;
            let collection = collection(compiler, rule, action, name)?;
            open(collection, false, key, compiler)
        }
        "setsid" => open(Variable::Session, true, argument, compiler),
        "setuid" => open(Variable::User, true, argument, compiler),
        "setrsc" => open(Variable::Resource, true, argument, compiler),
        "setenv" => {
            let (name, value) = split(argument, b'=').unwrap_or((argument, b"1"));
            let names = &mut compiler.tx_names;
            Action::SetEnvironment(Text::parse(name, names), Text::parse(value, names))
        }
        "ctl" => {
            let (control, pending) = control(compiler, rule, action, argument)?;
            return Some((Action::Control(control), pending));
        }
        "sanitiseArg" => Action::Sanitise(Sanitise::Argument(argument.into())),
        "sanitiseRequestHeader" => Action::Sanitise(Sanitise::RequestHeader(argument.into())),
        "sanitiseResponseHeader" => Action::Sanitise(Sanitise::ResponseHeader(argument.into())),
        "sanitiseMatched" => Action::Sanitise(Sanitise::Matched),
        "sanitiseMatchedBytes" => Action::Sanitise(Sanitise::MatchedBytes),
        other => {
            compiler.error(&action.location, Some(rule), format!("the engine has no action {other}"));
            return None;
        }
    };
    Some((compiled, None))
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(at, text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn collection(compiler: &mut Compiler<'_>, rule: u32, action: &ast::Action, name: &[u8]) -> Option<Variable> {
    let variable = Variable::parse_ignoring_case(name).filter(|variable| {
        use Variable::{Global, Ip, Resource, Session, Tx, User};
        matches!(variable, Tx | Ip | Global | Resource | Session | User)
    });
    if variable.is_none() {
        let message = format!("{} is not a collection that rules can change", String::from_utf8_lossy(name));
        compiler.error(&action.location, Some(rule), message);
    }
    variable
}

fn set_variable(compiler: &mut Compiler<'_>, rule: u32, action: &ast::Action, argument: &[u8]) -> Option<SetVariable> {
    let (name, value) = match split(argument, b'=') {
        Some((name, value)) => (name, Some(value)),
        None => (argument, None),
    };
    let (name, is_removal) = match name.strip_prefix(b"!") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let Some((collection_name, name)) = split(name, b'.') else {
        compiler.error(&action.location, Some(rule), "setvar does not say which collection the variable is in");
        return None;
    };
    let collection = collection(compiler, rule, action, collection_name)?;
    let names = &mut compiler.tx_names;
    let text = Text::parse(name, names);
    let name = match (text.literal(), collection) {
        (Some(literal), Variable::Tx) => Name::Slot(names.intern_spelled(literal)),
        _ => Name::Text(text),
    };
    let change = if is_removal {
        Change::Remove
    } else {
        let value = value.unwrap_or(b"1").trim_ascii_start();
        let text = Text::parse(value, names);
        match text.first_byte() {
            Some(b'+' | b'-') => Change::Add(text),
            _ => Change::Set(text),
        }
    };
    Some(SetVariable { collection, name, change })
}

fn timed(compiler: &mut Compiler<'_>, rule: u32, action: &ast::Action, argument: &[u8]) -> Option<Timed> {
    let (name, value) = split(argument, b'=').unwrap_or((argument, b"1"));
    let Some((collection_name, name)) = split(name, b'.') else {
        let message = format!("{} does not say which collection the variable is in", action.name);
        compiler.error(&action.location, Some(rule), message);
        return None;
    };
    let collection = collection(compiler, rule, action, collection_name)?;
    let names = &mut compiler.tx_names;
    Some(Timed { collection, name: Text::parse(name, names), value: Text::parse(value, names) })
}

fn control(
    compiler: &mut Compiler<'_>,
    rule: u32,
    action: &ast::Action,
    argument: &[u8],
) -> Option<(Ctl, Option<PendingControl>)> {
    let (name, value) = split(argument, b'=').unwrap_or((argument, b""));
    let lower = value.to_ascii_lowercase();
    let is_on = lower == b"on";
    let number = || atoi(value).max(0) as u64;
    let pending = |subject, is_of_targets| {
        Some(PendingControl { location: action.location.clone(), rule, subject, is_of_targets })
    };
    let control = match name {
        b"ruleEngine" => Ctl::RuleEngine(engine_mode(&lower)),
        b"requestBodyAccess" => Ctl::RequestBodyAccess(is_on),
        b"forceRequestBodyVariable" => Ctl::ForceRequestBodyVariable(is_on),
        b"requestBodyProcessor" => Ctl::RequestBodyProcessor(value.to_ascii_uppercase().into_boxed_slice()),
        b"requestBodyLimit" => Ctl::RequestBodyLimit(number()),
        b"responseBodyAccess" => Ctl::ResponseBodyAccess(is_on),
        b"responseBodyLimit" => Ctl::ResponseBodyLimit(number()),
        b"auditEngine" => Ctl::AuditEngine(audit_engine(&lower)),
        b"auditLogParts" => Ctl::AuditLogParts(match value {
            [b'+', parts @ ..] => PartsChange::Add(parts.to_ascii_uppercase()),
            [b'-', parts @ ..] => PartsChange::Remove(parts.to_ascii_uppercase()),
            parts => PartsChange::Set(parts.to_ascii_uppercase()),
        }),
        b"parseXmlIntoArgs" => Ctl::ParseXmlIntoArgs(xml_arguments(&lower)),
        b"debugLogLevel" | b"HashEngine" | b"HashEnforcement" => Ctl::Nothing,
        b"ruleRemoveById" => return Some((Ctl::RemoveRules(UNRESOLVED), pending(Subject::Ids(ids(value)), false))),
        b"ruleRemoveByTag" => {
            return Some((Ctl::RemoveRules(UNRESOLVED), pending(Subject::Tag(value.to_vec()), false)));
        }
        b"ruleRemoveByMsg" => {
            return Some((Ctl::RemoveRules(UNRESOLVED), pending(Subject::Message(value.to_vec()), false)));
        }
        b"ruleRemoveTargetById" | b"ruleRemoveTargetByTag" | b"ruleRemoveTargetByMsg" => {
            let (subject, targets) = split(value, b';')?;
            let targets = excluded_targets(compiler, rule, action, targets);
            let subject = match name {
                b"ruleRemoveTargetById" => Subject::Ids(ids(subject)),
                b"ruleRemoveTargetByTag" => Subject::Tag(subject.to_vec()),
                _ => Subject::Message(subject.to_vec()),
            };
            return Some((Ctl::RemoveTargets(UNRESOLVED, targets), pending(subject, true)));
        }
        other => {
            let message = format!("the engine has no ctl option {}", String::from_utf8_lossy(other));
            compiler.error(&action.location, Some(rule), message);
            return None;
        }
    };
    Some((control, None))
}

/// Until [`super::removal`] knows the set.
const UNRESOLVED: RuleSetId = RuleSetId(u32::MAX);

/// `942100`, `942000-942999`, several separated by commas or blanks.
fn ids(text: &[u8]) -> Vec<(u32, u32)> {
    let number = |text: &[u8]| u32::try_from(atoi(text).max(0)).unwrap_or(u32::MAX);
    let parts = text.split(|byte| matches!(byte, b',' | b' ' | b'"' | b'\''));
    parts
        .filter(|part| !part.is_empty())
        .map(|part| match split(part, b'-') {
            Some((first, last)) => (number(first), number(last)),
            None => (number(part), number(part)),
        })
        .collect()
}

fn excluded_targets(compiler: &mut Compiler<'_>, rule: u32, action: &ast::Action, text: &[u8]) -> TargetListId {
    let targets = crate::seclang::parse_targets(text, &action.location);
    let mut excluded = Vec::new();
    for target in targets {
        let Some(variable) = Variable::parse(target.name) else {
            compiler.error(&action.location, Some(rule), format!("the engine has no variable {}", target.name));
            continue;
        };
        let member = match &target.selector {
            None => ExcludedMember::All,
            Some(ast::Selector::Key(key) | ast::Selector::XPath(key)) => ExcludedMember::Key(key.as_slice().into()),
            Some(ast::Selector::Regex(pattern)) => {
                let Some(regex) = compiler.pattern(&action.location, Some(rule), pattern, true) else { continue };
                ExcludedMember::Regex(Arc::new(regex))
            }
        };
        excluded.push(ExcludedTarget { variable, member });
    }
    let id = TargetListId(compiler.target_lists.len() as u32);
    compiler.target_lists.push(excluded.into());
    id
}

/// `on`, `off`, `detectiononly`
pub(super) fn engine_mode(lower: &[u8]) -> EngineMode {
    match lower {
        b"on" => EngineMode::On,
        b"detectiononly" => EngineMode::DetectionOnly,
        _ => EngineMode::Off,
    }
}

/// `on`, `off`, `relevantonly`
pub(super) fn audit_engine(lower: &[u8]) -> AuditEngine {
    match lower {
        b"on" => AuditEngine::On,
        b"relevantonly" => AuditEngine::RelevantOnly,
        _ => AuditEngine::Off,
    }
}

/// `on`, `off`, `onlyargs`
pub(super) fn xml_arguments(lower: &[u8]) -> XmlArguments {
    match lower {
        b"on" => XmlArguments::On,
        b"onlyargs" => XmlArguments::OnlyArguments,
        _ => XmlArguments::Off,
    }
}
