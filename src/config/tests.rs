//! What the whole of the room does with a text: problems at their places, defaults, references.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::model::{HostHeader, LogSink, Mode, PathMatch, RouteAction};
use super::*;
use crate::diagnostics::Source;

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8443".into()),
        "HTTP2" => Some("false".into()),
        _ => None,
    }
}

fn load_text(text: &str) -> Result<Loaded, String> {
    let source = Source::new("gateway.yaml", text);
    load_source(source, &environment, &RuleCache::default()).map_err(|problems| problems.to_string())
}

fn loads(text: &str) -> Loaded {
    load_text(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Each problem's first line.
fn problems(text: &str) -> Vec<String> {
    let found = load_text(text).err().unwrap_or_default();
    found.lines().filter(|line| line.contains("error: ")).map(str::to_owned).collect()
}

const MINIMAL: &str =
    "listeners: [{name: a, address: ':8080'}]\nsites: [{name: s, routes: [{respond: {status: 200}}]}]\n";

#[test]
fn a_minimal_file_gets_every_default() {
    let loaded = loads(MINIMAL);
    let configuration = loaded.configuration;
    assert_eq!(configuration.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!(configuration.listeners[0].timeouts.head, Duration::from_secs(15));
    assert_eq!(configuration.sites[0].hosts, ["*"]);
    assert_eq!(configuration.sites[0].routes[0].path, PathMatch::Prefix("/".into()));
    let policy = &configuration.policies[usize::from(configuration.sites[0].policy.0)];
    assert_eq!((policy.name.as_str(), policy.mode), ("default", Mode::Prevention));
    assert!(policy.program.is_some());
    assert_eq!(configuration.admin.unwrap().to_string(), "127.0.0.1:9180");
    assert_eq!(configuration.logs.access, LogSink::Stdout);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn the_embedded_configuration_loads() {
    let loaded = load_source(embedded(), &environment, &RuleCache::default()).unwrap();
    assert_eq!(loaded.configuration.sites.len(), 1);
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let text = "\
listner: []
listeners:
  - name: public
    address: 1.2.3.4
    timeouts: {head: 15, idle: 0s}
    limits: {headers: many}
    http2: maybe
  - name: public
    address: :8443
sites:
  - name: s
    policy: strict
    routes:
      - path: api
        pool: apo
      - path: /x
      - redirect: /a
        respond: {status: 200}
      - {pool: api, weight: 3}
pools:
  - name: api
    backends: ['https://a.test', 'a.test:0', 'a.test:443', 'A.test:443']
    probe: {status: [20], interval: 1s, timeout: 2s}
    tls: {roots: missing.pem}
policies:
  - name: p
    mode: prevent
    rules: [missing/*.conf]
logs: {queue: 1}
";
    let found = problems(text);
    let expected = [
        "gateway.yaml:1:1: error: unknown key `listner`",
        "gateway.yaml:5:22: error: `15` is not a duration",
        "gateway.yaml:6:23: error: this should be a whole number, it is `many`",
        "gateway.yaml:7:12: error: this should be `true` or `false`, it is `maybe`",
        "gateway.yaml:19:21: error: unknown key `weight`",
        "gateway.yaml:27:11: error: `prevent` is not known here",
        "gateway.yaml:4:14: error: `1.2.3.4` is not an address with a port",
        "gateway.yaml:5:32: error: this must be longer than nothing",
        "gateway.yaml:8:11: error: a second listener named `public`",
        "gateway.yaml:22:16: error: `https://a.test` is not a backend's host and port",
        "gateway.yaml:22:34: error: `a.test:0` is not a backend's host and port",
        "gateway.yaml:22:60: error: A.test:443 is in this pool already",
        "gateway.yaml:23:12: error: the probe's timeout is longer than its interval",
        "gateway.yaml:23:22: error: `20` is not a range of status codes",
        "gateway.yaml:24:18: error: cannot read missing.pem",
        "gateway.yaml:28:13: error: no rule file fits `missing/*.conf`",
        "gateway.yaml:12:13: error: there is no policy named `strict`",
        "gateway.yaml:14:15: error: `api` is not a path",
        "gateway.yaml:15:15: error: there is no pool named `apo`",
        "gateway.yaml:16:9: error: a route needs `pool`, `redirect` or `respond`",
        "gateway.yaml:17:9: error: a route has only one of",
        "gateway.yaml:29:15: error: this must be from 16 to",
    ];
    let mut missing = String::new();
    for wanted in expected {
        if !found.iter().any(|line| line.starts_with(wanted)) {
            writeln!(missing, "missing: {wanted}").unwrap();
        }
    }
    assert!(missing.is_empty() && found.len() == expected.len(), "{missing}{found:#?}");
}

#[test]
fn advice_names_the_nearest_key() {
    let found = load_text("listner: []\n").unwrap_err();
    assert!(found.contains("did you mean `listeners`?"), "{found}");
}

#[test]
fn values_come_from_the_environment_before_they_are_typed() {
    let text = "listeners: [{name: a, address: '127.0.0.1:${PORT}', http2: '${HTTP2}', limits: {headers: '${N:-50}'}}]\n\
                sites: [{name: s, routes: [{redirect: 'https://${host}${path}'}]}]\n";
    let configuration = loads(text).configuration;
    let listener = &configuration.listeners[0];
    assert_eq!((listener.address.port(), listener.http2, listener.limits.headers), (8443, false, 50));
    let location = "https://${host}${path}".to_owned();
    assert_eq!(configuration.sites[0].routes[0].action, RouteAction::Redirect { status: 302, location });
    let found = problems("listeners: [{name: a, address: '${NOPE}'}]\n");
    assert_eq!(found[0], "gateway.yaml:1:32: error: the environment variable `NOPE` is not set");
}

#[test]
fn presets_and_short_forms() {
    let text = "\
listeners: [{name: a, address: 'localhost:1'}]
pools:
  - name: apim
    backends: [{address: 'apim.test:443', weight: 3}, 'other.test:443']
    tls: {}
    probe: api_management
    ejection: {}
sites:
  - name: s
    hosts: [API.example.com., '*.example.org']
    routes: [{path: /api, pool: apim, host: backend.test, rewrite_prefix: /}, {pool: apim, host: backend}]
admin: off
logs: {access: off, rule_messages: logs/rules.log}
policies: [{name: default, mode: off}]
";
    let configuration = loads(text).configuration;
    let pool = &configuration.pools[0];
    let probe = pool.probe.as_ref().unwrap();
    assert_eq!((probe.path.as_str(), &probe.expected_status[..]), ("/status-0123456789abcdef", &[(200, 200)][..]));
    assert_eq!((pool.backends[0].weight, pool.backends[1].weight), (3, 1));
    assert!(pool.tls.as_ref().unwrap().verify && pool.ejection.is_some());
    assert_eq!(configuration.sites[0].hosts, ["api.example.com", "*.example.org"]);
    let RouteAction::Forward { host, .. } = &configuration.sites[0].routes[0].action else { panic!() };
    assert_eq!(*host, HostHeader::Literal("backend.test".into()));
    assert_eq!(configuration.admin, None);
    assert_eq!(configuration.logs.rule_messages, LogSink::File("logs/rules.log".into()));
    assert_eq!((configuration.policies.len(), configuration.policies[0].mode), (1, Mode::Off));
}

#[test]
fn fragments_add_to_lists_and_paths_are_relative_to_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("gateway.yaml", &format!("include: [conf.d/*.yaml, nothing.d/*.yaml]\nadmin: off\n{MINIMAL}"));
    write("conf.d/one.yaml", "sites: [{name: one, hosts: [one.test], routes: [{respond: {status: 200}}]}]\n");
    write("conf.d/two.yaml", "logs: {access: two.log}\n");
    let path = directory.path().join("gateway.yaml");
    let loaded = load(&path, &environment, &RuleCache::default()).unwrap();
    assert_eq!((loaded.configuration.sites.len(), loaded.files.len()), (2, 3));
    let log = directory.path().join("conf.d").join("two.log");
    assert_eq!(loaded.configuration.logs.access, LogSink::File(log));
    write("conf.d/three.yaml", "include: [x]\nadmin: off\nsites: [{name: s, routes: []}]\n");
    let found = load(&path, &environment, &RuleCache::default()).unwrap_err().to_string();
    for wanted in ["cannot include others", "`admin` stands in another file", "a second site named `s`", "at least one"]
    {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn hosts_are_checked_and_belong_to_one_site_of_a_listener() {
    let site = |name: &str, hosts: &str| {
        format!("  - {{name: {name}, hosts: {hosts}, routes: [{{respond: {{status: 200}}}}]}}\n")
    };
    let head = "listeners: [{name: a, address: ':80'}]\nsites:\n";
    let text = format!("{head}{}{}", site("x", "[a.test, 'https://b']"), site("y", "[A.test]"));
    let found = problems(&text);
    assert!(found.iter().any(|line| line.contains("`https://b` is not a host name")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("`a.test` has a site on this listener already")), "{found:?}");
}

#[test]
fn a_route_that_is_never_reached_is_a_warning() {
    let text = "listeners: [{name: a, address: ':80'}]\n\
                sites: [{name: s, routes: [{path: /, respond: {status: 200}}, {path: /x, respond: {status: 200}}]}]\n";
    assert!(loads(text).warnings.to_string().contains("the route `/x` is never reached"));
}

#[test]
fn rules_come_from_files_and_from_the_file_itself_and_equal_ones_are_shared() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.conf"), "SecRuleEngine On\n").unwrap();
    let text = format!(
        "policies:\n  - {{name: p, rules: [a.conf]}}\n  - {{name: q, rules: [a.conf]}}\n  - name: r\n    rules:\n      \
         - inline: |\n          SecRuleEngine On\n          SecAction \"id:1,phase:1,pass,nolog\"\n{MINIMAL}"
    );
    let source = Source::new(directory.path().join("gateway.yaml"), text.as_bytes());
    let first = load_source(source.clone(), &environment, &RuleCache::default()).unwrap();
    let program = |loaded: &Loaded, index: usize| loaded.configuration.policies[index].program.clone().unwrap();
    assert!(std::sync::Arc::ptr_eq(&program(&first, 0), &program(&first, 1)));
    assert!(!std::sync::Arc::ptr_eq(&program(&first, 0), &program(&first, 2)));
    let second = load_source(source, &environment, &first.rules).unwrap();
    assert!((0..3).all(|index| std::sync::Arc::ptr_eq(&program(&first, index), &program(&second, index))));
    assert_eq!(second.rules.len(), first.rules.len());
    let bad = "policies:\n  - name: r\n    rules: [{inline: 'SecNope On'}]\n".to_owned() + MINIMAL;
    assert!(load_text(&bad).unwrap_err().contains("inline rules, line 3"));
}

#[test]
fn a_reload_is_described_by_names() {
    let before = loads(MINIMAL);
    let reload =
        |text: &str| load_source(Source::new("gateway.yaml", text), &environment, &before.rules).unwrap().configuration;
    let before = &before.configuration;
    let after = reload(&format!("{}pools: [{{name: p, backends: ['a:1']}}]\n", MINIMAL.replace(":8080", ":8081")));
    assert_eq!(diff(before, &after), ["listener `a` changed", "pool `p` added"]);
    assert_eq!(diff(&after, before), ["listener `a` changed", "pool `p` removed"]);
    let more = "listeners: [{name: a, address: ':8080'}]\nsites: [{name: n, hosts: [n.test], routes: [{respond: \
                {status: 200}}]}, {name: s, routes: [{respond: {status: 200}}]}]\n";
    assert_eq!(diff(before, &reload(more)), ["site `n` added"]);
    assert_eq!(needs_restart(before, &reload(&format!("{MINIMAL}admin: off\n"))), ["admin.address"]);
}

#[test]
fn the_schema_knows_every_key_and_refuses_others() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    for key in ["listeners", "sites", "pools", "policies", "admin", "logs", "runtime", "include"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
    let page = configuration_markdown();
    for key in ["pools[].tls.client_certificate", "listeners[].timeouts", "policies[].request_body"] {
        assert!(page.contains(&format!("## `{key}`")), "{key}\n{page}");
    }
    // Every default's key is in the reference.
    for default in defaults::all() {
        let name = default.key.rsplit('.').next().unwrap();
        assert!(page.contains(&format!("| `{name}` |")), "{}", default.key);
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem_not_a_panic() {
    let found = load(Path::new("/nowhere/gateway.yaml"), &environment, &RuleCache::default()).unwrap_err();
    assert!(found.to_string().contains("cannot read /nowhere/gateway.yaml"));
}
