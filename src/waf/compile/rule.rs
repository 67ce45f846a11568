//! Chains to rules: operators compiled, pipelines shared, metadata split from what runs.

use std::path::Path;

use super::actions::{ActionSet, Disruptive};
use super::layout::{Layout, Placed};
use super::link::{Chain, Condition, Item, Link};
use super::{Compiler, action, target};
use crate::diagnostics::Diagnostic;
use crate::waf::RuleId;
use crate::waf::action::Action;
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::line::{self, Written};
use crate::waf::operate::CompiledOperator;
use crate::waf::operator::{CompileContext, Operator};
use crate::waf::program::{Disposition, Head, OperatorId, Rule, Selector, Target};
use crate::waf::regex::RegexOptions;

/// The tables that rules refer to.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    pub(super) rules: Vec<Rule>,
    pub(super) heads: Vec<Head>,
    pub(super) targets: Vec<Target>,
    pub(super) actions: Vec<Action>,
    /// `ctl` actions whose rules are to be found once all rules are known: index into `actions`.
    pub(super) controls: Vec<(usize, action::PendingControl)>,
}

/// Translates all chains in the order of the layout.
pub(super) fn emit(compiler: &mut Compiler<'_>, items: &[Item], layout: &Layout) -> Emitted {
    let mut emitted = Emitted::default();
    for placed in &layout.chains {
        if let Some(Item::Chain(chain)) = items.get(placed.item) {
            emit_chain(compiler, &mut emitted, chain, *placed);
        }
    }
    emitted
}

fn emit_chain(compiler: &mut Compiler<'_>, emitted: &mut Emitted, chain: &Chain, placed: Placed) {
    let Some(starter) = chain.starter() else { return };
    let head = emitted.heads.len() as u32;
    let compiled = compile_head(compiler, chain, starter);
    emitted.heads.push(compiled);
    let chain_end = placed.rule + chain.links.len() as u32;
    for (offset, link) in chain.links.iter().enumerate() {
        let is_last = offset + 1 == chain.links.len();
        if offset > 0 {
            check_link(compiler, chain.id, link, starter);
        }
        let operator = compile_operator(compiler, chain.id, link);
        let pipeline = compiler.pipeline(&link.actions.transformations);
        let targets = emitted.targets.len() as u32;
        compile_targets(compiler, chain.id, link, &mut emitted.targets);
        let actions = emitted.actions.len() as u32;
        for other in &link.actions.others {
            if let Some((compiled, pending)) = action::compile(compiler, chain.id, other) {
                if let Some(pending) = pending {
                    emitted.controls.push((emitted.actions.len(), pending));
                }
                emitted.actions.push(compiled);
            }
        }
        emitted.rules.push(Rule {
            head,
            operator,
            pipeline,
            targets: targets..emitted.targets.len() as u32,
            actions: actions..emitted.actions.len() as u32,
            chain_end,
            skip_after: placed.jump.filter(|_| is_last),
            line: link.location.position.line,
            is_starter: offset == 0,
            has_link: !is_last,
            is_negated: link.condition.as_ref().is_some_and(|condition| condition.operator.is_negated),
            captures: link.actions.captures,
            is_multi_match: link.actions.is_multi_match,
        });
    }
}

/// Metadata in a link is read by libmodsecurity 3 only, and says nothing about the chain.
fn check_link(compiler: &mut Compiler<'_>, id: u32, link: &Link, starter: &Link) {
    let own = [
        ("msg", link.actions.message.is_some() && link.actions.message != starter.actions.message),
        ("logdata", link.actions.log_data.is_some() && link.actions.log_data != starter.actions.log_data),
        ("status", link.actions.status.is_some() && link.actions.status != starter.actions.status),
    ];
    for (name, is_there) in own {
        if is_there {
            let message = format!("{name} of a chain is that of its first rule; here it has no effect");
            compiler.warn(&link.location, Some(id), message);
        }
    }
}

fn compile_head(compiler: &mut Compiler<'_>, chain: &Chain, starter: &Link) -> Head {
    let set = &starter.actions;
    let file = compiler.file(starter.location.source.path());
    let names = &mut compiler.tx_names;
    let mut text = |text: &[u8]| Text::parse(text, names);
    let mut head = Head {
        id: RuleId(chain.id),
        skip: set.skip.unwrap_or(0),
        disposition: disposition(set, &mut text),
        status: set.status.unwrap_or(DEFAULT_STATUS),
        logs: set.logs.unwrap_or(true),
        audits: set.audits.unwrap_or(true),
        message: set.message.as_deref().map(&mut text),
        log_data: set.log_data.as_deref().map(&mut text),
        severity: set.severity,
        tags: set.tags.iter().map(|tag| text(tag)).collect(),
        plain_tags: None,
        version: set.version.as_deref().map(Into::into),
        revision: set.revision.as_deref().map(Into::into),
        maturity: set.maturity,
        accuracy: set.accuracy,
        file,
        line: starter.location.position.line,
        written: Written::default(),
    };
    head.plain_tags = head.tags.iter().map(|tag| tag.literal().map(line::bounded)).collect();
    head.written = Written::new(&head);
    head
}

/// What `deny` answers without `status`.
const DEFAULT_STATUS: u16 = 403;

fn disposition(set: &ActionSet, text: &mut impl FnMut(&[u8]) -> Text) -> Disposition {
    match &set.disruption {
        None | Some(Disruptive::Pass) => Disposition::Pass,
        Some(Disruptive::Allow(scope)) => Disposition::Allow(*scope),
        Some(Disruptive::Deny) => Disposition::Deny,
        Some(Disruptive::Drop) => Disposition::Drop,
        Some(Disruptive::Redirect(url)) => Disposition::Redirect(text(url)),
    }
}

fn compile_targets(compiler: &mut Compiler<'_>, id: u32, link: &Link, targets: &mut Vec<Target>) {
    match &link.condition {
        Some(condition) => {
            let namespaces = &link.actions.namespaces;
            let compiled = condition.targets.iter().filter_map(|one| target::compile(compiler, id, one, namespaces));
            targets.extend(compiled);
        }
        // ModSecurity 2 writes SecAction as a rule that always matches the client's address.
        None => targets.push(Target {
            variable: Variable::RemoteAddr,
            selector: Selector::All,
            is_exclusion: false,
            is_count: false,
            label: b"REMOTE_ADDR".as_slice().into(),
        }),
    }
}

fn compile_operator(compiler: &mut Compiler<'_>, id: u32, link: &Link) -> OperatorId {
    let (name, argument): (&'static str, &[u8]) = match &link.condition {
        Some(Condition { operator, .. }) => (operator.name, &operator.argument),
        None => ("unconditionalMatch", b""),
    };
    let path = link.location.source.path();
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let key = (name, argument.into(), directory.into());
    if let Some(shared) = compiler.operator_ids.get(&key).filter(|_| compiler.options.share_operators) {
        return *shared;
    }
    let regex = RegexOptions { match_limit: compiler.options.match_limit, ..RegexOptions::default() };
    let context = CompileContext {
        regex,
        complete_phrases: compiler.options.complete_phrases,
        any_event: compiler.options.any_event,
        geo: compiler.options.geo.clone(),
        block_list: compiler.options.block_list.clone(),
        http_bl_key: compiler.http_bl_key.clone(),
        ..CompileContext::new(compiler.loader, path)
    };
    let operator_id = OperatorId(compiler.operators.len() as u32);
    let operator = match CompiledOperator::compile(name, argument, &context, &mut compiler.tx_names) {
        Ok(operator) => {
            compiler.operator_ids.insert(key, operator_id);
            operator
        }
        // Reported wherever it stands.
        Err(problem) => {
            let location = link.condition.as_ref().map_or(&link.location, |condition| &condition.operator.location);
            let problem = Diagnostic::error(location.clone(), format!("@{name}: {problem}")).rule(id);
            compiler.diagnostics.push(problem);
            CompiledOperator::nothing()
        }
    };
    if let Some(lacks) = lacks(&operator) {
        compiler.warn(&link.location, Some(id), lacks);
    }
    compiler.operators.push(operator);
    operator_id
}

/// What an operator needs and was not given, so that it never matches.
fn lacks(operator: &CompiledOperator) -> Option<&'static str> {
    match &operator.operator {
        Operator::GeoLookup(None) => Some("@geoLookup never matches: no database is loaded"),
        Operator::Rbl(_, None, _) => Some("@rbl never matches here: no name servers are asked outside of the gateway"),
        _ => None,
    }
}
