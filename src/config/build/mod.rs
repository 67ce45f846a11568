//! The only bridge from the file to the model: defaults applied, references resolved, ranges checked.
//!
//! Goes on after a problem, so that all of them are reported at once; what cannot be built is left out, and the result
//! is used only when nothing was wrong.

mod pool;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{RawBytes, RawDuration, Required, Spanned, nearest};
use super::defaults;
use super::model::{
    Beyond, BodyWindow, ClientCertificatePolicy, ClientLimits, ClientTimeouts, Configuration, Flavour, HostHeader,
    KeyPair, Listener, ListenerTls, LogSink, Logs, Mode, OnFault, PathMatch, Policy, PolicyId, Pool, PoolId, Route,
    RouteAction, RouteId, Runtime, Site,
};
use super::raw::{
    RawAdmin, RawBodyWindow, RawClientCertificateMode, RawClientLimits, RawClientTimeouts, RawConfiguration,
    RawKeyPair, RawListener, RawListenerTls, RawLogs, RawPolicy, RawRedirect, RawRoute, RawRuntime, RawSite,
    RawTlsVersion, RawWorkers,
};
use super::rules::RuleCompiler;
use crate::diagnostics::{Diagnostic, Diagnostics, Location};

/// Where things stand in the file, for problems that later steps find (certificates, names of backends). Keys are what
/// those steps call a thing: ``pool `api`: tls``.
#[derive(Debug, Clone, Default)]
pub struct Places {
    known: Vec<(String, Location)>,
}

impl Places {
    fn add(&mut self, place: String, location: &Location) {
        self.known.push((place, location.clone()));
    }

    /// Gives a problem without a location the place that its message begins with.
    pub fn locate(&self, problems: Diagnostics) -> Diagnostics {
        let mut located = Diagnostics::new();
        for problem in problems.iter() {
            let mut problem = problem.clone();
            if problem.location.is_none() {
                let fits = self.known.iter().filter(|(place, _)| problem.message.starts_with(place.as_str()));
                problem.location = fits.max_by_key(|(place, _)| place.len()).map(|(_, location)| location.clone());
            }
            located.push(problem);
        }
        located
    }
}

/// Builds the model. What is wrong goes to `problems`; the result is good only when there are no errors in it.
pub(super) fn build(
    raw: RawConfiguration,
    rules: &mut RuleCompiler<'_>,
    problems: &mut Diagnostics,
) -> (Configuration, Places) {
    let mut builder = Builder { problems, places: Places::default() };
    let listeners = builder.listeners(raw.listeners.unwrap_or_default());
    let pools = builder.pools(raw.pools.unwrap_or_default());
    let mut policies = builder.policies(raw.policies.unwrap_or_default(), rules);
    let sites = builder.sites(raw.sites.unwrap_or_default(), &listeners, &pools, &mut policies, rules);
    let admin = builder.admin(raw.admin);
    let logs = builder.logs(raw.logs.unwrap_or_default());
    let runtime = builder.runtime(raw.runtime.unwrap_or_default());
    let places = builder.places;
    (Configuration { listeners, sites, pools, policies, admin, logs, runtime }, places)
}

struct Builder<'p> {
    problems: &'p mut Diagnostics,
    places: Places,
}

impl Builder<'_> {
    fn error(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// A name: not empty, fit for logs and metrics, used once.
    fn name(&mut self, name: Required<Spanned<String>>, seen: &mut HashMap<String, u32>, what: &str) -> Option<String> {
        let name = name.0?;
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_word) {
            let advice = format!("use letters, digits, `-`, `_`, `.` and `/`, at most {NAME_BYTES} bytes");
            self.error(name.error(format!("`{}` is no name for a {what}", name.value)).advise(advice));
        }
        if let Some(line) = seen.insert(name.value.clone(), name.location.position.line) {
            let advice = format!("the other one is on line {line}");
            self.error(name.error(format!("a second {what} named `{}`", name.value)).advise(advice));
        }
        Some(name.value)
    }

    /// The index of a name.
    fn reference(&mut self, wanted: &Spanned<String>, known: &[String], what: &str) -> Option<usize> {
        let found = known.iter().position(|name| *name == wanted.value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let problem = wanted.error(format!("there is no {what} named `{}`", wanted.value));
            let advice = match nearest(wanted, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => format!("no {what} is defined"),
                None => format!("known: {}", names.join(", ")),
            };
            self.error(problem.advise(advice));
        }
        found
    }

    fn duration(&mut self, value: Option<Spanned<RawDuration>>, default: Duration) -> Duration {
        let Some(value) = value else { return default };
        if value.0.is_zero() {
            let problem = value.error("this must be longer than nothing");
            self.error(problem.advise("there is no `off` here: take a long one"));
        }
        value.value.0
    }

    fn bytes(&mut self, value: Option<Spanned<RawBytes>>, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(value) = value else { return default };
        if !range.contains(&value.0) {
            let (from, to) = (super::decode::format_bytes(*range.start()), super::decode::format_bytes(*range.end()));
            self.error(value.error(format!("this must be from {from} to {to}")));
        }
        value.value.0
    }

    fn number<T: PartialOrd + Copy + std::fmt::Display>(
        &mut self,
        value: Option<Spanned<T>>,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T {
        let Some(value) = value else { return default };
        if !range.contains(&value.value) {
            self.error(value.error(format!("this must be from {} to {}", range.start(), range.end())));
        }
        value.value
    }

    /// A path relative to the file it stands in.
    fn path(value: &Spanned<String>) -> PathBuf {
        beside(&value.location, &value.value)
    }

    /// A file that must be readable.
    fn file(&mut self, value: &Spanned<String>) -> PathBuf {
        let path = Self::path(value);
        match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.error(value.error(format!("{} is not a file", path.display()))),
            Err(error) => self.error(value.error(format!("cannot read {}: {error}", path.display()))),
        }
        path
    }

    fn key_pair(&mut self, raw: RawKeyPair) -> Option<KeyPair> {
        let certificate = raw.certificate.0.map(|path| self.file(&path));
        let key = raw.key.0.map(|value| {
            let path = self.file(&value);
            self.check_secret(&value, &path);
            path
        });
        Some(KeyPair { certificate: certificate?, key: key? })
    }

    /// A key that everybody on the machine can read is no secret.
    #[cfg(unix)]
    fn check_secret(&mut self, value: &Spanned<String>, path: &Path) {
        use std::os::unix::fs::MetadataExt as _;
        if let Ok(metadata) = std::fs::metadata(path)
            && metadata.mode() & 0o004 != 0
        {
            let warning = value.warning(format!("every user of this machine can read the key {}", path.display()));
            self.problems.push(warning.advise("chmod 640, or 600"));
        }
    }

    #[cfg(not(unix))]
    fn check_secret(&mut self, _: &Spanned<String>, _: &Path) {}

    fn address(&mut self, value: &Spanned<String>) -> Option<SocketAddr> {
        let text = match value.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => value.value.clone(),
        };
        let address = text.parse().ok().or_else(|| {
            // `localhost` is the one name that needs no resolver.
            text.strip_prefix("localhost:").and_then(|port| format!("127.0.0.1:{port}").parse().ok())
        });
        if address.is_none() {
            let advice = "write `127.0.0.1:8443`, `:8443` for every IPv4 address, or `[::]:8443`";
            self.error(value.error(format!("`{}` is not an address with a port", value.value)).advise(advice));
        }
        address
    }

    fn listeners(&mut self, raw: Vec<RawListener>) -> Vec<Listener> {
        let mut names = HashMap::new();
        let mut addresses: HashMap<SocketAddr, u32> = HashMap::new();
        let mut listeners = Vec::new();
        for listener in raw {
            let place = listener.name.0.as_ref().map(|name| name.location.clone());
            let name = self.name(listener.name, &mut names, "listener");
            let address = listener.address.0.and_then(|value| {
                let address = self.address(&value)?;
                let line = value.location.position.line;
                if address.port() != 0
                    && let Some(other) = addresses.insert(address, line)
                {
                    let problem = value.error(format!("a second listener on {address}"));
                    self.error(problem.advise(format!("the other one is on line {other}")));
                }
                Some(address)
            });
            let has_tls = listener.tls.is_some();
            let tls = listener.tls.and_then(|tls| self.listener_tls(tls, name.as_deref().unwrap_or_default()));
            if let (Some(name), Some(place)) = (&name, &place) {
                self.places.add(format!("listener `{name}`"), place);
            }
            let built = (name, address, !has_tls || tls.is_some());
            let timeouts = self.client_timeouts(listener.timeouts.unwrap_or_default());
            let limits = self.client_limits(listener.limits.unwrap_or_default());
            if let (Some(name), Some(address), true) = built {
                let http2 = listener.http2.unwrap_or(defaults::HTTP2);
                let trust_request_id = listener.trust_request_id.unwrap_or(defaults::TRUST_REQUEST_ID);
                listeners.push(Listener { name, address, tls, http2, trust_request_id, timeouts, limits });
            }
        }
        if listeners.is_empty() && !self.problems.has_errors() {
            let problem = Diagnostic::error(None, "no listener is defined");
            self.error(problem.advise("add `listeners:` with at least a name and an address"));
        }
        listeners
    }

    fn listener_tls(&mut self, raw: Spanned<RawListenerTls>, listener: &str) -> Option<ListenerTls> {
        self.places.add(format!("listener `{listener}`: tls"), &raw.location);
        let location = raw.location;
        let raw = raw.value;
        let mut certificates = Vec::new();
        let mut is_whole = true;
        if let Some(list) = raw.certificates.0 {
            if list.value.is_empty() {
                self.error(Diagnostic::error(location, "a TLS listener needs a certificate"));
            }
            for (index, pair) in list.value.into_iter().enumerate() {
                if let Some(place) = &pair.certificate.0 {
                    let name = format!("listener `{listener}`: tls: certificates[{index}]");
                    self.places.add(name, &place.location);
                }
                match self.key_pair(pair) {
                    Some(pair) => certificates.push(pair),
                    None => is_whole = false,
                }
            }
        } else {
            is_whole = false;
        }
        let client_certificate = match raw.client_certificate {
            None => ClientCertificatePolicy::None,
            Some(raw) => {
                if let Some(roots) = &raw.roots.0 {
                    self.places.add(format!("listener `{listener}`: tls: client_certificate"), &roots.location);
                }
                let roots = raw.roots.0.map(|path| self.file(&path));
                match (raw.mode.0?, roots?) {
                    (RawClientCertificateMode::Optional, roots) => ClientCertificatePolicy::Optional(roots),
                    (RawClientCertificateMode::Required, roots) => ClientCertificatePolicy::Required(roots),
                }
            }
        };
        let tls12 = raw.minimum_version.unwrap_or(RawTlsVersion::Tls12) == RawTlsVersion::Tls12;
        is_whole.then_some(ListenerTls { certificates, tls12, client_certificate })
    }

    fn client_timeouts(&mut self, raw: RawClientTimeouts) -> ClientTimeouts {
        ClientTimeouts {
            handshake: self.duration(raw.handshake, defaults::HANDSHAKE_TIMEOUT),
            head: self.duration(raw.head, defaults::HEAD_TIMEOUT),
            body: self.duration(raw.body, defaults::BODY_TIMEOUT),
            write: self.duration(raw.write, defaults::WRITE_TIMEOUT),
            idle: self.duration(raw.idle, defaults::IDLE_TIMEOUT),
        }
    }

    fn client_limits(&mut self, raw: RawClientLimits) -> ClientLimits {
        ClientLimits {
            head_bytes: self.bytes(raw.head_bytes, defaults::HEAD_BYTES.0, 1024..=MIB) as usize,
            headers: self.number(raw.headers, defaults::HEADERS, 1..=10_000),
            body_bytes: self.bytes(raw.body_bytes, defaults::BODY_BYTES.0, 0..=u64::MAX),
            connections: self.number(raw.connections, defaults::CONNECTIONS, 1..=10_000_000),
            h2_streams: self.number(raw.h2_streams, defaults::H2_STREAMS, 1..=10_000),
        }
    }

    fn policies(&mut self, raw: Vec<RawPolicy>, rules: &mut RuleCompiler<'_>) -> Vec<Policy> {
        let mut names = HashMap::new();
        let mut policies = Vec::new();
        for policy in raw {
            let name = self.name(policy.name, &mut names, "policy").unwrap_or_default();
            let mode = policy.mode.unwrap_or(Mode::Prevention);
            let program = match (mode, policy.rules) {
                (Mode::Off, None) => None,
                (_, None) => rules.builtin(self.problems),
                // Rules of a policy that is off are checked all the same, and then not kept.
                (_, Some(list)) => rules.compile(&list, self.problems).filter(|_| mode != Mode::Off),
            };
            let window = |builder: &mut Self, raw: Option<RawBodyWindow>, inspect, bytes: u64, beyond| {
                let raw = raw.unwrap_or_default();
                BodyWindow {
                    inspect: raw.inspect.unwrap_or(inspect),
                    bytes: builder.bytes(raw.bytes, bytes, 1..=1024 * MIB) as usize,
                    beyond: raw.beyond.unwrap_or(beyond),
                }
            };
            let request_body = window(
                self,
                policy.request_body,
                defaults::REQUEST_INSPECT,
                defaults::REQUEST_WINDOW.0,
                Beyond::Reject,
            );
            let response_body = window(
                self,
                policy.response_body,
                defaults::RESPONSE_INSPECT,
                defaults::RESPONSE_WINDOW.0,
                Beyond::ProcessPartial,
            );
            let on_fault = policy.on_fault.unwrap_or(OnFault::Deny);
            policies.push(Policy { name, mode, program, request_body, response_body, on_fault });
        }
        policies
    }

    /// The policy where nothing is said: the one named `default`, else prevention with the built-in rules.
    fn default_policy(&mut self, policies: &mut Vec<Policy>, rules: &mut RuleCompiler<'_>) -> PolicyId {
        let index = policies.iter().position(|policy| policy.name == DEFAULT_POLICY).unwrap_or_else(|| {
            policies.push(Policy {
                name: DEFAULT_POLICY.into(),
                mode: Mode::Prevention,
                program: rules.builtin(self.problems),
                request_body: BodyWindow {
                    inspect: defaults::REQUEST_INSPECT,
                    bytes: defaults::REQUEST_WINDOW.0 as usize,
                    beyond: Beyond::Reject,
                },
                response_body: BodyWindow {
                    inspect: defaults::RESPONSE_INSPECT,
                    bytes: defaults::RESPONSE_WINDOW.0 as usize,
                    beyond: Beyond::ProcessPartial,
                },
                on_fault: OnFault::Deny,
            });
            policies.len() - 1
        });
        PolicyId(index as u16)
    }

    fn sites(
        &mut self,
        raw: Vec<RawSite>,
        listeners: &[Listener],
        pools: &[Pool],
        policies: &mut Vec<Policy>,
        rules: &mut RuleCompiler<'_>,
    ) -> Vec<Site> {
        let listener_names: Vec<String> = listeners.iter().map(|listener| listener.name.clone()).collect();
        let pool_names: Vec<String> = pools.iter().map(|pool| pool.name.clone()).collect();
        let policy_names: Vec<String> = policies.iter().map(|policy| policy.name.clone()).collect();
        let mut names = HashMap::new();
        let mut hosts_seen: HashMap<(usize, String), u32> = HashMap::new();
        let mut sites = Vec::new();
        let mut next_route = 0usize;
        for site in raw {
            let name = self.name(site.name, &mut names, "site").unwrap_or_default();
            let wanted = site.listeners.unwrap_or_default();
            let on: Vec<usize> =
                wanted.iter().filter_map(|wanted| self.reference(wanted, &listener_names, "listener")).collect();
            let hosts = self.hosts(site.hosts, &on, listeners.len(), &mut hosts_seen);
            let policy = match &site.policy {
                Some(wanted) => self.reference(wanted, &policy_names, "policy").map(|index| PolicyId(index as u16)),
                None => Some(self.default_policy(policies, rules)),
            };
            let policy = policy.unwrap_or(PolicyId(0));
            let mut routes: Vec<Route> = Vec::new();
            let mut route_names = HashMap::new();
            if let Some(list) = site.routes.0 {
                if list.value.is_empty() {
                    self.error(list.error("a site needs at least one route"));
                }
                for route in list.value {
                    let id = RouteId(next_route as u16);
                    next_route += 1;
                    let route = self.route(route, id, policy, &pool_names, &policy_names, &mut route_names);
                    let Some((route, location)) = route else { continue };
                    let is_shadowed = routes.iter().any(|earlier| covers(&earlier.path, &route.path));
                    if is_shadowed {
                        let message = format!("the route `{}` is never reached", route.name);
                        let warning = Diagnostic::warning(location, message);
                        self.problems.push(warning.advise("an earlier route takes every path it would: move it up"));
                    }
                    routes.push(route);
                }
            }
            sites.push(Site { name, listeners: on, hosts, policy, routes });
        }
        if sites.is_empty() && !self.problems.has_errors() {
            let problem = Diagnostic::error(None, "no site is defined");
            self.error(problem.advise("add `sites:` with a name and a route"));
        }
        if next_route > MOST {
            self.error(Diagnostic::error(None, format!("more than {MOST} routes")));
        }
        sites
    }

    fn hosts(
        &mut self,
        raw: Option<Vec<Spanned<String>>>,
        on: &[usize],
        listener_count: usize,
        seen: &mut HashMap<(usize, String), u32>,
    ) -> Vec<String> {
        let Some(raw) = raw else { return vec!["*".into()] };
        let mut hosts = Vec::new();
        for host in raw {
            let name = host.value.trim_end_matches('.').to_ascii_lowercase();
            let body = name.strip_prefix("*.").unwrap_or(&name);
            let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            let is_address = |text: &str| {
                let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
                inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
            };
            let is_host = name == "*" || is_address(&name) || (!body.is_empty() && body.bytes().all(is_name_byte));
            if !is_host || name.len() > 253 {
                let advice = "write a name without scheme, port or path: `api.example.com`, `*.example.com`, `*`; names \
                              with other letters in their `xn--` form";
                self.error(host.error(format!("`{}` is not a host name", host.value)).advise(advice));
                continue;
            }
            let everywhere: Vec<usize> = (0..listener_count).collect();
            for listener in if on.is_empty() { &everywhere[..] } else { on } {
                if let Some(line) = seen.insert((*listener, name.clone()), host.location.position.line) {
                    let problem = host.error(format!("`{name}` has a site on this listener already"));
                    self.error(problem.advise(format!("it is on line {line}; put the routes together")));
                    break;
                }
            }
            hosts.push(name);
        }
        hosts
    }

    fn route(
        &mut self,
        raw: Spanned<RawRoute>,
        id: RouteId,
        site_policy: PolicyId,
        pools: &[String],
        policies: &[String],
        names: &mut HashMap<String, u32>,
    ) -> Option<(Route, Location)> {
        let location = raw.location.clone();
        let length = raw.length;
        let raw = raw.value;
        let problem = |message: &str| Diagnostic::error(location.clone(), message).spanning(length);
        let path = match (raw.path, raw.path_exact) {
            (Some(_), Some(exact)) => {
                self.error(exact.error("a route has either `path` or `path_exact`"));
                return None;
            }
            (None, Some(exact)) => {
                self.check_path(&exact);
                PathMatch::Exact(exact.value)
            }
            (Some(prefix), None) => {
                self.check_path(&prefix);
                PathMatch::Prefix(prefix.value)
            }
            (None, None) => PathMatch::Prefix(defaults::PATH.into()),
        };
        let (PathMatch::Exact(text) | PathMatch::Prefix(text)) = &path;
        let name = match raw.name {
            Some(name) => self.name(Required(Some(name)), names, "route in this site")?,
            None => text.clone(),
        };
        let policy = match &raw.policy {
            Some(wanted) => PolicyId(self.reference(wanted, policies, "policy")? as u16),
            None => site_policy,
        };
        let is_forward = raw.pool.is_some();
        for (value, key) in [(&raw.host, "host"), (&raw.rewrite_prefix, "rewrite_prefix")] {
            if let Some(value) = value
                && !is_forward
            {
                self.error(value.error(format!("`{key}` is for routes with a `pool`")));
            }
        }
        let action = match (raw.pool, raw.redirect, raw.respond) {
            (Some(pool), None, None) => {
                let pool = self.reference(&pool, pools, "pool").map(|index| PoolId(index as u16))?;
                let host = match raw.host {
                    None => HostHeader::Preserve,
                    Some(host) => self.host_header(host),
                };
                let rewrite_prefix = raw.rewrite_prefix.map(|prefix| {
                    if !prefix.is_empty() {
                        self.check_path(&prefix);
                    }
                    prefix.value
                });
                RouteAction::Forward { pool, host, rewrite_prefix }
            }
            (None, Some(redirect), None) => {
                let (place, length) = (redirect.location.clone(), redirect.length);
                let (location, status) = match redirect.value {
                    RawRedirect::Location(location) => (location.value, defaults::REDIRECT_STATUS),
                    RawRedirect::Full(full) => {
                        let status = self.number(full.status, defaults::REDIRECT_STATUS, 301..=308);
                        (full.location.0?.value, status)
                    }
                };
                if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                    let problem = Diagnostic::error(place.clone(), format!("{status} is not a redirect"));
                    self.error(problem.spanning(length).advise("301, 302, 303, 307 or 308"));
                }
                if location.is_empty() || location.chars().any(char::is_control) {
                    self.error(Diagnostic::error(place, "not a location").spanning(length));
                }
                RouteAction::Redirect { status, location }
            }
            (None, None, Some(respond)) => {
                let status = respond.value.status.0?;
                if !(200..=599).contains(&status.value) {
                    self.error(status.error("this must be from 200 to 599"));
                }
                let body = respond.value.body.map(|body| body.value).unwrap_or_default();
                RouteAction::Respond { status: status.value, body }
            }
            (None, None, None) => {
                self.error(problem("a route needs `pool`, `redirect` or `respond`"));
                return None;
            }
            _ => {
                self.error(problem("a route has only one of `pool`, `redirect` and `respond`"));
                return None;
            }
        };
        Some((Route { id, name, path, policy, action }, location))
    }

    fn host_header(&mut self, host: Spanned<String>) -> HostHeader {
        match host.as_str() {
            "preserve" => HostHeader::Preserve,
            "backend" => HostHeader::Backend,
            other => {
                let is_host_byte =
                    |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'[' | b']');
                if other.is_empty() || !other.bytes().all(is_host_byte) {
                    let problem = host.error(format!("`{other}` cannot stand in a Host header"));
                    self.error(problem.advise("`preserve`, `backend`, or a name with an optional port"));
                }
                HostHeader::Literal(host.value)
            }
        }
    }

    /// A path that can stand in a request line.
    fn check_path(&mut self, path: &Spanned<String>) {
        let is_fine = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('#');
        if !is_fine {
            let problem = path.error(format!("`{}` is not a path", path.value));
            self.error(problem.advise("begin with `/`; percent-encode spaces and letters outside ASCII"));
        }
    }

    fn admin(&mut self, raw: Option<Spanned<RawAdmin>>) -> Option<SocketAddr> {
        let address = match raw.map(|admin| admin.value) {
            None => return defaults::ADMIN_ADDRESS.parse().ok(),
            Some(RawAdmin::Off(_)) => return None,
            Some(RawAdmin::Full(full)) => full.address.0?,
        };
        let parsed = self.address(&address)?;
        if !parsed.ip().is_loopback() {
            let warning = address.warning("the admin listener can be reached from other machines");
            self.problems.push(warning.advise("it has no authentication; guard the network, or use 127.0.0.1"));
        }
        Some(parsed)
    }

    fn logs(&mut self, raw: RawLogs) -> Logs {
        let sink = |value: Option<Spanned<String>>, default| match value.as_ref().map(|value| value.as_str()) {
            None => default,
            Some("off") => LogSink::Off,
            Some("stdout" | "-") => LogSink::Stdout,
            Some("stderr") => LogSink::Stderr,
            Some(_) => value.map_or(LogSink::Off, |value| LogSink::File(Self::path(&value))),
        };
        Logs {
            access: sink(raw.access, LogSink::Stdout),
            firewall: sink(raw.firewall, LogSink::Stdout),
            rule_messages: sink(raw.rule_messages, LogSink::Off),
            queue: self.number(raw.queue, defaults::LOG_QUEUE, 16..=10_000_000),
        }
    }

    fn runtime(&mut self, raw: RawRuntime) -> Runtime {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match raw.workers {
            None => cores,
            Some(workers) => match workers.value {
                RawWorkers::Auto(_) => cores,
                RawWorkers::Count(count) => {
                    if !(1..=1024).contains(&count) {
                        self.error(workers.error("this must be from 1 to 1024, or `auto`"));
                    }
                    count
                }
            },
        };
        // Zero is allowed here: do not wait.
        let drain = raw.drain.map_or(defaults::DRAIN, |drain| drain.value.0);
        Runtime { workers, flavour: raw.flavour.unwrap_or(Flavour::PerCore), drain }
    }
}

/// `path`, relative to the directory of the file that names it.
pub(super) fn beside(location: &Location, path: &str) -> PathBuf {
    location.source.path().parent().unwrap_or_else(|| Path::new("")).join(path)
}

/// Does a route with the path `earlier` take everything that `later` could?
fn covers(earlier: &PathMatch, later: &PathMatch) -> bool {
    let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = later;
    match earlier {
        PathMatch::Exact(earlier) => matches!(later, PathMatch::Exact(_)) && earlier == path,
        PathMatch::Prefix(earlier) => {
            earlier == "/"
                || path
                    .strip_prefix(earlier.as_str())
                    .is_some_and(|rest| rest.is_empty() || earlier.ends_with('/') || rest.starts_with('/'))
        }
    }
}

/// Name of the policy that holds where none is named.
const DEFAULT_POLICY: &str = "default";

/// Longest name of a listener, site, route, pool or policy: it is in every log line.
const NAME_BYTES: usize = 64;

/// Most pools, backends of a pool, and routes: their ids have sixteen bits.
const MOST: usize = 65_535;

const MIB: u64 = 1024 * 1024;
