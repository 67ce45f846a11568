//! The table of sites by listener and host.

use std::collections::HashMap;

use super::host::Name;
use crate::config::model::{Configuration, PathMatch, Route, Site};

/// Finds the site of a host and the route of a path. Built once per snapshot.
#[derive(Debug)]
pub struct Router {
    sites: Vec<Site>,
    listeners: Vec<HostTable>,
}

/// Hosts of one listener; values are indices of sites.
#[derive(Debug, Default)]
struct HostTable {
    exact: HashMap<Box<[u8]>, usize>,
    /// By suffix with its dot: `.example.com`.
    wildcard: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

impl Router {
    /// The first site that names a host on a listener has it; `config` refuses a second one.
    pub fn new(configuration: &Configuration) -> Self {
        let mut listeners: Vec<HostTable> = configuration.listeners.iter().map(|_| HostTable::default()).collect();
        for (index, site) in configuration.sites.iter().enumerate() {
            for (listener, table) in listeners.iter_mut().enumerate() {
                if site.listeners.is_empty() || site.listeners.contains(&listener) {
                    for host in &site.hosts {
                        table.insert(host, index);
                    }
                }
            }
        }
        Self { sites: configuration.sites.clone(), listeners }
    }

    /// The site of a Host header on a listener: an exact name, else the longest wildcard, else `*`.
    pub fn find_site(&self, listener: usize, host: &[u8]) -> Option<&Site> {
        let index = self.listeners.get(listener)?.find(host)?;
        self.sites.get(index)
    }

    /// As [`Router::find_site`], as an index into the configuration's sites.
    pub fn find_site_index(&self, listener: usize, host: &[u8]) -> Option<usize> {
        self.listeners.get(listener)?.find(host)
    }

    /// As [`Router::find_route`], as an index into the site's routes.
    pub fn find_route_index(&self, site: &Site, path: &[u8]) -> Option<usize> {
        site.routes.iter().position(|route| is_match(&route.path, path))
    }

    /// The first route whose path matches. `path` is without query, as it will be forwarded.
    pub fn find_route<'s>(&self, site: &'s Site, path: &[u8]) -> Option<&'s Route> {
        site.routes.iter().find(|route| is_match(&route.path, path))
    }

    /// Both at once.
    pub fn find(&self, listener: usize, host: &[u8], path: &[u8]) -> Option<(&Site, &Route)> {
        let site = self.find_site(listener, host)?;
        Some((site, self.find_route(site, path)?))
    }
}

impl HostTable {
    fn insert(&mut self, host: &str, site: usize) {
        if host == "*" {
            self.any.get_or_insert(site);
        } else if let Some(suffix) = host.strip_prefix('*') {
            self.wildcard.entry(suffix.as_bytes().into()).or_insert(site);
        } else {
            self.exact.entry(host.as_bytes().into()).or_insert(site);
        }
    }

    fn find(&self, host: &[u8]) -> Option<usize> {
        // Most gateways have one site for everything: then no name needs to be looked at.
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return self.any;
        }
        let Some(name) = Name::new(host) else { return self.any };
        let name = name.as_bytes();
        if let Some(site) = self.exact.get(name) {
            return Some(*site);
        }
        if !self.wildcard.is_empty() {
            // `*.example.com` is any name below, at any depth; the leftmost dot gives the longest suffix.
            for (at, byte) in name.iter().enumerate().skip(1) {
                if *byte == b'.'
                    && let Some(site) = name.get(at..).and_then(|suffix| self.wildcard.get(suffix))
                {
                    return Some(*site);
                }
            }
        }
        self.any
    }
}

/// A prefix ends at a segment border: `/api` matches `/api` and `/api/x`, not `/apis`.
fn is_match(pattern: &PathMatch, path: &[u8]) -> bool {
    match pattern {
        PathMatch::Exact(exact) => path == exact.as_bytes(),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.as_bytes();
            // `OPTIONS *` has no path; the route for everything takes it.
            if prefix == b"/" {
                return true;
            }
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || prefix.ends_with(b"/") || rest.first() == Some(&b'/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{
        ClientLimits, ClientTimeouts, Flavour, Listener, LogSink, Logs, PolicyId, RouteAction, RouteId, Runtime,
    };
    use std::time::Duration;

    fn listener(name: &str) -> Listener {
        let second = Duration::from_secs(1);
        Listener {
            name: name.into(),
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            http2: true,
            trust_request_id: false,
            timeouts: ClientTimeouts { handshake: second, head: second, body: second, write: second, idle: second },
            limits: ClientLimits { head_bytes: 1, headers: 1, body_bytes: 1, connections: 1, h2_streams: 1 },
        }
    }

    fn site(name: &str, listeners: &[usize], hosts: &[&str], paths: &[PathMatch]) -> Site {
        Site {
            name: name.into(),
            listeners: listeners.to_vec(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            policy: PolicyId(0),
            routes: paths
                .iter()
                .enumerate()
                .map(|(index, path)| Route {
                    id: RouteId(index as u16),
                    name: format!("{path:?}"),
                    path: path.clone(),
                    policy: PolicyId(0),
                    action: RouteAction::Respond { status: 200, body: String::new() },
                })
                .collect(),
        }
    }

    fn router(sites: Vec<Site>) -> Router {
        Router::new(&Configuration {
            listeners: vec![listener("a"), listener("b")],
            sites,
            pools: Vec::new(),
            policies: Vec::new(),
            admin: None,
            logs: Logs { access: LogSink::Off, firewall: LogSink::Off, rule_messages: LogSink::Off, queue: 1 },
            runtime: Runtime { workers: 1, flavour: Flavour::PerCore, drain: Duration::ZERO },
        })
    }

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.into())
    }

    #[test]
    fn exact_before_longest_wildcard_before_any() {
        let all = [prefix("/")];
        let router = router(vec![
            site("any", &[], &["*"], &all),
            site("wide", &[], &["*.example.com"], &all),
            site("deep", &[], &["*.api.example.com"], &all),
            site("exact", &[], &["www.example.com", "[2001:db8::1]"], &all),
            site("second", &[1], &["only-b.test"], &all),
        ]);
        let found = |listener, host: &str| router.find_site(listener, host.as_bytes()).map(|site| site.name.as_str());
        for (host, name) in [
            ("www.example.com", "exact"),
            ("WWW.Example.com:8443", "exact"),
            ("www.example.com.", "exact"),
            ("[2001:DB8::1]:443", "exact"),
            ("a.example.com", "wide"),
            ("a.b.example.com", "wide"),
            ("x.api.example.com", "deep"),
            ("api.example.com", "wide"),
            ("example.com", "any"),
            (".example.com", "any"),
            ("", "any"),
            ("only-b.test", "any"),
        ] {
            assert_eq!(found(0, host), Some(name), "{host}");
        }
        assert_eq!(found(1, "only-b.test"), Some("second"));
        assert_eq!(found(2, "www.example.com"), None);
        assert_eq!(found(0, &"a".repeat(300)), Some("any"));
    }

    #[test]
    fn routes_in_order_and_prefixes_at_segment_borders() {
        let paths = [PathMatch::Exact("/api/exact".into()), prefix("/api"), prefix("/files/"), prefix("/")];
        let router = router(vec![site("s", &[], &["*"], &paths)]);
        let index = |path: &str| router.find(0, b"x", path.as_bytes()).unwrap().1.id.0;
        for (path, expected) in [
            ("/api/exact", 0),
            ("/api/exact/", 1),
            ("/api", 1),
            ("/api/", 1),
            ("/apis", 3),
            ("/files", 3),
            ("/files/", 2),
            ("/files/x", 2),
            ("/", 3),
            ("*", 3),
        ] {
            assert_eq!(index(path), expected, "{path}");
        }
    }

    #[test]
    fn no_site_or_no_route_is_none() {
        let router = router(vec![site("s", &[], &["a.test"], &[prefix("/api")])]);
        assert!(router.find(0, b"b.test", b"/api").is_none());
        assert!(router.find(0, b"a.test", b"/other").is_none());
    }
}
