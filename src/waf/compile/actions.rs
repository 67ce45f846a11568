//! A rule's list of actions as one record: what it inherits from SecDefaultAction, what it says itself, in order.

use crate::diagnostics::Location;
use crate::seclang::ast::Action;
use crate::waf::number::atoi;
use crate::waf::program::AllowScope;
use crate::waf::transformation::Transformation;

/// The actions of a rule or a link, merged.
#[derive(Debug, Clone, Default)]
pub(super) struct ActionSet {
    pub(super) id: Option<u32>,
    pub(super) phase: Option<u8>,
    pub(super) message: Option<Vec<u8>>,
    pub(super) log_data: Option<Vec<u8>>,
    pub(super) severity: Option<u8>,
    pub(super) version: Option<Vec<u8>>,
    pub(super) revision: Option<Vec<u8>>,
    pub(super) maturity: Option<u8>,
    pub(super) accuracy: Option<u8>,
    pub(super) tags: Vec<Vec<u8>>,
    pub(super) disruption: Option<Disruptive>,
    /// What `block` means: the default's disruptive action.
    pub(super) blocking: Option<Disruptive>,
    pub(super) status: Option<u16>,
    pub(super) logs: Option<bool>,
    pub(super) audits: Option<bool>,
    pub(super) has_link: bool,
    pub(super) skip: Option<u32>,
    pub(super) skip_after: Option<Vec<u8>>,
    pub(super) captures: bool,
    pub(super) is_multi_match: bool,
    pub(super) transformations: Vec<Transformation>,
    pub(super) namespaces: Vec<(Vec<u8>, Vec<u8>)>,
    /// Those that run when a value matches, in order.
    pub(super) others: Vec<Action>,
}

/// A disruptive action before macros are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disruptive {
    Pass,
    Allow(AllowScope),
    Deny,
    Drop,
    Redirect(Vec<u8>),
}

impl ActionSet {
    /// ModSecurity's default before any SecDefaultAction: `phase:2,log,auditlog,pass`.
    pub(super) fn initial() -> Self {
        Self {
            phase: Some(2),
            logs: Some(true),
            audits: Some(true),
            disruption: Some(Disruptive::Pass),
            ..Self::default()
        }
    }

    /// The start of a rule that inherits from `self`.
    pub(super) fn heir(&self) -> Self {
        Self { blocking: self.disruption.clone(), has_link: false, ..self.clone() }
    }

    /// Takes one action. Gives what is wrong with it.
    pub(super) fn apply(&mut self, action: &Action) -> Result<(), (Location, String)> {
        let text = action.argument.as_deref().unwrap_or_default();
        let owned = || text.to_vec();
        let number = || u8::try_from(atoi(text).max(0)).unwrap_or(u8::MAX);
        match action.name {
            "id" => self.id = u32::try_from(atoi(text)).ok(),
            "phase" => self.phase = Some(number()),
            "msg" => self.message = Some(owned()),
            "logdata" => self.log_data = Some(owned()),
            "severity" => self.severity = Some(severity(text)),
            "ver" => self.version = Some(owned()),
            "rev" => self.revision = Some(owned()),
            "maturity" => self.maturity = Some(number()),
            "accuracy" => self.accuracy = Some(number()),
            "tag" => self.tags.push(owned()),
            "pass" => self.disruption = Some(Disruptive::Pass),
            "deny" => self.disruption = Some(Disruptive::Deny),
            "drop" => self.disruption = Some(Disruptive::Drop),
            "redirect" => self.disruption = Some(Disruptive::Redirect(owned())),
            // In a default itself it stands for nothing else.
            "block" if self.blocking.is_some() => self.disruption.clone_from(&self.blocking),
            "block" => {}
            "allow" => {
                let scope = match text.to_ascii_lowercase().as_slice() {
                    b"phase" => AllowScope::Phase,
                    b"request" => AllowScope::Request,
                    _ => AllowScope::Transaction,
                };
                self.disruption = Some(Disruptive::Allow(scope));
            }
            "status" => self.status = u16::try_from(atoi(text)).ok(),
            "log" => self.logs = Some(true),
            "nolog" => {
                self.logs = Some(false);
                self.audits = Some(false);
            }
            "auditlog" => self.audits = Some(true),
            "noauditlog" => self.audits = Some(false),
            "chain" => self.has_link = true,
            "skip" => self.skip = Some(u32::try_from(atoi(text).max(1)).unwrap_or(1)),
            "skipAfter" => self.skip_after = Some(owned()),
            "capture" => self.captures = true,
            "multiMatch" => self.is_multi_match = true,
            "t" => match Transformation::parse(text) {
                Some(Transformation::None) => self.transformations.clear(),
                Some(transformation) => self.transformations.push(transformation),
                None => return Err(self.unknown(action, "transformation")),
            },
            "xmlns" => {
                let at = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
                let prefix = text.get(..at).unwrap_or_default().to_vec();
                self.namespaces.push((prefix, text.get(at + 1..).unwrap_or_default().to_vec()));
            }
            // Said to be without effect by the tables of the language, with the reason.
            "append" | "prepend" | "pause" => {}
            "setvar"
            | "expirevar"
            | "deprecatevar"
            | "initcol"
            | "setsid"
            | "setuid"
            | "setrsc"
            | "setenv"
            | "ctl"
            | "sanitiseArg"
            | "sanitiseMatched"
            | "sanitiseMatchedBytes"
            | "sanitiseRequestHeader"
            | "sanitiseResponseHeader" => self.add_other(action),
            _ => return Err(self.unknown(action, "action")),
        }
        Ok(())
    }

    fn unknown(&self, action: &Action, what: &str) -> (Location, String) {
        let text = action.argument.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        (action.location.clone(), format!("the engine has no {what} {}:{text}", action.name))
    }

    /// Actions of which a rule has one replace the one before.
    fn add_other(&mut self, action: &Action) {
        let is_one = matches!(action.name, "setsid" | "setuid" | "setrsc");
        match self.others.iter_mut().find(|own| is_one && own.name == action.name) {
            Some(same) => *same = action.clone(),
            None => self.others.push(action.clone()),
        }
    }
}

/// By name or number.
fn severity(text: &[u8]) -> u8 {
    let names = crate::seclang::action::SEVERITIES;
    match names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(text)) {
        Some(index) => index as u8,
        None => atoi(text).clamp(0, 7) as u8,
    }
}
