//! Targets: names to enums, selectors to what can be compared at run time.

use std::sync::Arc;

use super::Compiler;
use crate::seclang::ast;
use crate::waf::body::xml::XPath;
use crate::waf::collection::Variable;
use crate::waf::expand::Text;
use crate::waf::program::{Selector, Target, XPathId};
use crate::waf::scratch::RegexCaches;

/// Translates one target; `None` after a reported problem.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    rule: u32,
    target: &ast::Target,
    namespaces: &[(Vec<u8>, Vec<u8>)],
) -> Option<Target> {
    let Some(variable) = Variable::parse(target.name) else {
        compiler.error(&target.location, Some(rule), format!("the engine has no variable {}", target.name));
        return None;
    };
    let selector = match &target.selector {
        None => Selector::All,
        Some(ast::Selector::XPath(path)) => Selector::XPath(xpath(compiler, rule, target, path, namespaces)?),
        Some(ast::Selector::Regex(pattern)) => {
            let regex = compiler.pattern(&target.location, Some(rule), pattern, true)?;
            Selector::Regex(Arc::new(regex), Box::default())
        }
        Some(ast::Selector::Key(key)) => {
            let text = Text::parse(key, &mut compiler.tx_names);
            match (text.literal(), variable) {
                (Some(key), Variable::Tx) => Selector::Slot(compiler.tx_names.intern(key)),
                (Some(key), _) => Selector::Key(key.into()),
                (None, _) => Selector::Dynamic(text),
            }
        }
    };
    let label = label(target);
    Some(Target { variable, selector, is_exclusion: target.is_exclusion, is_count: target.is_count, label })
}

/// Rules that say the same path share it. Namespaces count only where the path has a prefix.
fn xpath(
    compiler: &mut Compiler<'_>,
    rule: u32,
    target: &ast::Target,
    path: &[u8],
    namespaces: &[(Vec<u8>, Vec<u8>)],
) -> Option<XPathId> {
    let names: Vec<(&[u8], &[u8])> = namespaces.iter().map(|(prefix, uri)| (&prefix[..], &uri[..])).collect();
    let xpath = match XPath::compile(path, &names) {
        Ok(xpath) => xpath,
        Err(problem) => {
            let shown = String::from_utf8_lossy(path).into_owned();
            compiler.error(&target.location, Some(rule), format!("the XPath {shown} cannot be used: {problem}"));
            return None;
        }
    };
    Some(compiler.tx_names.xpath(path, xpath))
}

/// `&REQUEST_HEADERS:Host`
fn label(target: &ast::Target) -> Box<[u8]> {
    let mut label = Vec::new();
    if target.is_count {
        label.push(b'&');
    }
    label.extend_from_slice(target.name.as_bytes());
    match &target.selector {
        None => {}
        Some(ast::Selector::Key(key) | ast::Selector::XPath(key)) => {
            label.push(b':');
            label.extend_from_slice(key);
        }
        Some(ast::Selector::Regex(pattern)) => {
            label.extend_from_slice(b":/");
            label.extend_from_slice(pattern);
            label.push(b'/');
        }
    }
    label.into_boxed_slice()
}

/// Finds the slots that the regex selectors of TX mean, once all names are known.
pub(super) fn resolve_slots(compiler: &Compiler<'_>, targets: &mut [Target]) {
    let mut caches = RegexCaches::default();
    for target in targets.iter_mut().filter(|target| target.variable == Variable::Tx) {
        if let Selector::Regex(regex, slots) = &mut target.selector {
            let names = compiler.tx_names.iter();
            *slots = names.filter(|(_, name)| caches.is_match(regex, name)).map(|(slot, _)| slot).collect();
        }
    }
}
