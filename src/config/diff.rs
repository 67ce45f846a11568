//! What a reload changes, in words for the log.

use super::model::{Configuration, PathMatch, Policy, PolicyId, PoolId, RouteAction, Site};

/// One line for each thing that is added, removed or changed.
pub fn diff(old: &Configuration, new: &Configuration) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&mut lines, "listener", &old.listeners, &new.listeners, |listener| &listener.name, |a, b| a == b);
    let old_sites: Vec<NamedSite<'_>> = old.sites.iter().map(|site| NamedSite::new(old, site)).collect();
    let new_sites: Vec<NamedSite<'_>> = new.sites.iter().map(|site| NamedSite::new(new, site)).collect();
    compare(&mut lines, "site", &old_sites, &new_sites, |site| site.name, |a, b| a == b);
    compare(&mut lines, "pool", &old.pools, &new.pools, |pool| &pool.name, |a, b| a == b);
    compare(&mut lines, "policy", &old.policies, &new.policies, |policy| &policy.name, is_same_policy);
    for (name, is_same) in
        [("admin", old.admin == new.admin), ("logs", old.logs == new.logs), ("runtime", old.runtime == new.runtime)]
    {
        if !is_same {
            lines.push(format!("{name} changed"));
        }
    }
    lines
}

/// Settings that only a restart changes.
pub fn needs_restart(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if old.runtime.workers != new.runtime.workers {
        keys.push("runtime.workers");
    }
    if old.runtime.flavour != new.runtime.flavour {
        keys.push("runtime.flavour");
    }
    if old.admin != new.admin {
        keys.push("admin.address");
    }
    keys
}

/// A site with names in place of indices, which move when something is added before them.
#[derive(PartialEq)]
struct NamedSite<'c> {
    name: &'c str,
    listeners: Vec<&'c str>,
    hosts: &'c [String],
    policy: &'c str,
    routes: Vec<(&'c str, &'c PathMatch, &'c str, &'c str, RouteAction)>,
}

impl<'c> NamedSite<'c> {
    fn new(configuration: &'c Configuration, site: &'c Site) -> Self {
        let listener = |index: &usize| configuration.listeners.get(*index).map(|listener| listener.name.as_str());
        let policy = |id: PolicyId| {
            configuration.policies.get(usize::from(id.0)).map(|policy| policy.name.as_str()).unwrap_or_default()
        };
        let routes = site.routes.iter().map(|route| {
            let mut action = route.action.clone();
            let mut pool_name = "";
            if let RouteAction::Forward { pool, .. } = &mut action {
                pool_name = configuration.pools.get(usize::from(pool.0)).map(|p| p.name.as_str()).unwrap_or_default();
                *pool = PoolId(0);
            }
            (route.name.as_str(), &route.path, policy(route.policy), pool_name, action)
        });
        Self {
            name: &site.name,
            listeners: site.listeners.iter().filter_map(listener).collect(),
            hosts: &site.hosts,
            policy: policy(site.policy),
            routes: routes.collect(),
        }
    }
}

fn is_same_policy(a: &Policy, b: &Policy) -> bool {
    let same_rules = match (&a.program, &b.program) {
        (None, None) => true,
        (Some(a), Some(b)) => std::sync::Arc::ptr_eq(a, b),
        _ => false,
    };
    same_rules
        && a.mode == b.mode
        && a.request_body == b.request_body
        && a.response_body == b.response_body
        && a.on_fault == b.on_fault
}

fn compare<T>(
    lines: &mut Vec<String>,
    what: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &str,
    is_same: impl Fn(&T, &T) -> bool,
) {
    for thing in new {
        match old.iter().find(|candidate| name(candidate) == name(thing)) {
            None => lines.push(format!("{what} `{}` added", name(thing))),
            Some(before) if !is_same(before, thing) => lines.push(format!("{what} `{}` changed", name(thing))),
            Some(_) => {}
        }
    }
    for thing in old {
        if !new.iter().any(|candidate| name(candidate) == name(thing)) {
            lines.push(format!("{what} `{}` removed", name(thing)));
        }
    }
}
