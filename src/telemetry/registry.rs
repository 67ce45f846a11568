//! All metrics of the process, by name, and the text that Prometheus reads.
//!
//! Names follow Prometheus' conventions (one prefix, base units, `_total`); `docs/metrics.md` lists them. Labels are
//! bounded: names from the configuration, ids of loaded rules, words from the code, never anything from a request.
//! Handles are resolved once per snapshot; series whose listener, route or pool is gone go with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::metrics::{CounterMap, CounterRow, INSPECTION_BOUNDS, LATENCY_BOUNDS, SCORE_BOUNDS, lock};
use super::{AccessRecord, Action, Counter, Gauge, Histogram, WafVerdict};
use crate::config::model::{Configuration, Mode, PoolId, RouteAction, RouteId};
use crate::limits::RULE_METRICS;
use crate::waf::CollectionStore;
use crate::waf::operator::BlockList;

/// Status codes with a column of their own; the others share one per class.
const CODES: [u16; 39] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412,
    413, 414, 415, 416, 417, 421, 422, 426, 429, 431, 499, 500, 501, 502, 503, 504,
];

/// Labels of the columns behind [`CODES`]: no answer, then each class's others.
const OTHER_CODES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

const CODE_COLUMNS: usize = CODES.len() + OTHER_CODES.len();
const REQUEST_COLUMNS: usize = CODE_COLUMNS * Action::ALL.len();

/// The column of a status.
fn code_column(status: u16) -> usize {
    CODES.binary_search(&status).unwrap_or_else(|_| {
        let class = if (100..600).contains(&status) { usize::from(status / 100) } else { 0 };
        CODES.len() + class
    })
}

fn code_label(column: usize) -> String {
    match CODES.get(column) {
        Some(code) => code.to_string(),
        None => OTHER_CODES.get(column - CODES.len()).copied().unwrap_or("none").to_owned(),
    }
}

/// What is counted for one route on one listener.
#[derive(Debug)]
pub struct RequestMetrics {
    requests: CounterRow<REQUEST_COLUMNS>,
    duration: Histogram,
    first_byte: Histogram,
    received_bytes: Counter,
    sent_bytes: Counter,
    retries: Counter,
    pool: Option<Arc<PoolMetrics>>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self::new(None)
    }
}

impl RequestMetrics {
    fn new(pool: Option<Arc<PoolMetrics>>) -> Self {
        Self {
            requests: CounterRow::default(),
            duration: Histogram::of_durations(LATENCY_BOUNDS),
            first_byte: Histogram::of_durations(LATENCY_BOUNDS),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            retries: Counter::default(),
            pool,
        }
    }
}

/// What is counted for one listener's connections.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// Open now.
    pub open_connections: Gauge,
    /// Accepted.
    pub connections: Counter,
    /// Closed at once because `limits.connections` was reached.
    pub refused_connections: Counter,
    /// Complete handshakes.
    pub handshakes: Histogram,
    /// Failed handshakes by cause.
    handshake_failures: Words,
}

impl Default for ListenerMetrics {
    fn default() -> Self {
        Self {
            open_connections: Gauge::default(),
            connections: Counter::default(),
            refused_connections: Counter::default(),
            handshakes: Histogram::of_durations(LATENCY_BOUNDS),
            handshake_failures: Words::default(),
        }
    }
}

impl ListenerMetrics {
    /// A handshake failed; `cause` is a fixed word (`timeout`, `certificate_unknown`, …).
    pub fn handshake_failed(&self, cause: &'static str) {
        self.handshake_failures.increment(cause);
    }
}

/// What is counted for one pool.
#[derive(Debug)]
pub struct PoolMetrics {
    /// Time to a new connection, DNS and TLS included.
    pub connect: Histogram,
    /// Requests sent on a connection kept from an earlier one.
    pub reused_connections: Counter,
    connect_errors: Words,
}

impl Default for PoolMetrics {
    fn default() -> Self {
        Self {
            connect: Histogram::of_durations(LATENCY_BOUNDS),
            reused_connections: Counter::default(),
            connect_errors: Words::default(),
        }
    }
}

impl PoolMetrics {
    /// A connection could not be made; `layer` is a fixed word (`dns`, `refused`, `tls_name`, …).
    pub fn connect_failed(&self, layer: &'static str) {
        self.connect_errors.increment(layer);
    }
}

/// Counters of rare events by a word of the code.
#[derive(Debug, Default)]
struct Words {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Words {
    fn increment(&self, word: &'static str) {
        *lock(&self.counts).entry(word).or_default() += 1;
    }

    fn values(&self) -> Vec<(&'static str, u64)> {
        lock(&self.counts).iter().map(|(word, count)| (*word, *count)).collect()
    }
}

/// Handles of one configuration, by index.
#[derive(Debug)]
pub struct RequestHandles {
    listeners: Vec<ListenerHandles>,
    pools: Vec<Arc<PoolMetrics>>,
    /// For an index that is not of this configuration; counted nowhere.
    stray: RequestMetrics,
    stray_listener: ListenerMetrics,
    stray_pool: PoolMetrics,
}

#[derive(Debug)]
struct ListenerHandles {
    metrics: Arc<ListenerMetrics>,
    unrouted: Arc<RequestMetrics>,
    /// By route id; `None` where the route's site is not on this listener.
    routes: Vec<Option<Arc<RequestMetrics>>>,
}

impl RequestHandles {
    /// Those of a route on a listener; `None` when no route was found.
    pub fn request(&self, listener: usize, route: Option<RouteId>) -> &RequestMetrics {
        let Some(handles) = self.listeners.get(listener) else { return &self.stray };
        match route.and_then(|id| handles.routes.get(usize::from(id.0))) {
            Some(Some(metrics)) => metrics,
            _ => &handles.unrouted,
        }
    }

    /// Those of a listener.
    pub fn listener(&self, index: usize) -> &ListenerMetrics {
        self.listeners.get(index).map_or(&self.stray_listener, |handles| &handles.metrics)
    }

    /// Those of a listener, to be kept longer than the snapshot (open connections).
    pub fn shared_listener(&self, index: usize) -> Arc<ListenerMetrics> {
        self.listeners.get(index).map(|handles| Arc::clone(&handles.metrics)).unwrap_or_default()
    }

    /// Those of a pool.
    pub fn pool(&self, id: PoolId) -> &PoolMetrics {
        self.pools.get(usize::from(id.0)).map_or(&self.stray_pool, |pool| pool)
    }
}

/// Listener, site and route.
type RequestKey = (String, String, String);

/// Everything that is counted in this process.
#[derive(Debug)]
pub struct Metrics {
    requests: Mutex<BTreeMap<RequestKey, Arc<RequestMetrics>>>,
    listeners: Mutex<BTreeMap<String, Arc<ListenerMetrics>>>,
    pools: Mutex<BTreeMap<String, Arc<PoolMetrics>>>,
    waf_requests: CounterRow<{ WafVerdict::ALL.len() * MODES.len() }>,
    request_inspection: Histogram,
    response_inspection: Histogram,
    inbound_score: Histogram,
    outbound_score: Histogram,
    /// By rule and place in [`MATCH_ACTIONS`].
    rule_matches: CounterMap<(u32, u8)>,
    faults: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    panics: Counter,
    /// Bodies that are inspected beside the workers now.
    pub running_aside: Gauge,
    /// Bodies that were, those under way included.
    pub begun_aside: Counter,
    collections: OnceLock<Arc<dyn CollectionStore>>,
    block_list: OnceLock<Arc<dyn BlockList>>,
    reload_successes: Counter,
    reload_failures: Counter,
    is_last_reload_successful: AtomicBool,
    last_success_seconds: AtomicU64,
    start_seconds: AtomicU64,
}

/// What became of a request because of a match.
const MATCH_ACTIONS: [&str; 3] = ["block", "detect", "log"];

const MODES: [&str; 3] = ["off", "detection", "prevention"];

fn mode_index(mode: Mode) -> usize {
    match mode {
        Mode::Off => 0,
        Mode::Detection => 1,
        Mode::Prevention => 2,
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        Self {
            requests: Mutex::default(),
            listeners: Mutex::default(),
            pools: Mutex::default(),
            waf_requests: CounterRow::default(),
            request_inspection: Histogram::of_durations(INSPECTION_BOUNDS),
            response_inspection: Histogram::of_durations(INSPECTION_BOUNDS),
            inbound_score: Histogram::of_counts(SCORE_BOUNDS),
            outbound_score: Histogram::of_counts(SCORE_BOUNDS),
            rule_matches: CounterMap::default(),
            faults: Mutex::default(),
            panics: Counter::default(),
            running_aside: Gauge::default(),
            begun_aside: Counter::default(),
            collections: OnceLock::new(),
            block_list: OnceLock::new(),
            reload_successes: Counter::default(),
            reload_failures: Counter::default(),
            is_last_reload_successful: AtomicBool::new(true),
            last_success_seconds: AtomicU64::new(0),
            start_seconds: AtomicU64::new(0),
        }
    }

    /// Finds or makes the handles of a configuration. Nothing is forgotten yet: call [`Metrics::retain`] when the
    /// configuration is in force.
    pub fn request_handles(&self, configuration: &Configuration) -> RequestHandles {
        let mut pools = lock(&self.pools);
        let pools: Vec<_> =
            configuration.pools.iter().map(|pool| Arc::clone(pools.entry(pool.name.clone()).or_default())).collect();
        let route_count = configuration.sites.iter().map(|site| site.routes.len()).sum();
        let mut requests = lock(&self.requests);
        let mut listeners = lock(&self.listeners);
        let handles = configuration.listeners.iter().enumerate().map(|(index, listener)| {
            let mut routes = vec![None; route_count];
            for site in &configuration.sites {
                if !site.listeners.is_empty() && !site.listeners.contains(&index) {
                    continue;
                }
                for route in &site.routes {
                    let key = (listener.name.clone(), site.name.clone(), route.name.clone());
                    let pool = match &route.action {
                        RouteAction::Forward { pool, .. } => pools.get(usize::from(pool.0)).cloned(),
                        _ => None,
                    };
                    let metrics = requests.entry(key).or_insert_with(|| Arc::new(RequestMetrics::new(pool)));
                    if let Some(slot) = routes.get_mut(usize::from(route.id.0)) {
                        *slot = Some(Arc::clone(metrics));
                    }
                }
            }
            let unrouted = (listener.name.clone(), String::new(), String::new());
            ListenerHandles {
                metrics: Arc::clone(listeners.entry(listener.name.clone()).or_default()),
                unrouted: Arc::clone(requests.entry(unrouted).or_default()),
                routes,
            }
        });
        RequestHandles {
            listeners: handles.collect(),
            pools,
            stray: RequestMetrics::default(),
            stray_listener: ListenerMetrics::default(),
            stray_pool: PoolMetrics::default(),
        }
    }

    /// Forgets the series of names that the configuration no longer has.
    pub fn retain(&self, configuration: &Configuration) {
        let is_listener = |name: &str| configuration.listeners.iter().any(|listener| listener.name == name);
        lock(&self.listeners).retain(|name, _| is_listener(name));
        lock(&self.pools).retain(|name, _| configuration.pools.iter().any(|pool| pool.name == *name));
        lock(&self.requests).retain(|(listener, site, route), _| {
            let is_route = || {
                let mut sites = configuration.sites.iter().filter(|candidate| candidate.name == *site);
                sites.any(|candidate| candidate.routes.iter().any(|known| known.name == *route))
            };
            is_listener(listener) && (site.is_empty() || is_route())
        });
    }

    /// Counts one finished request.
    pub(super) fn count(&self, record: &AccessRecord<'_>, handles: &RequestMetrics) {
        handles.requests.increment(code_column(record.status) * Action::ALL.len() + record.action.index());
        handles.duration.observe(record.total);
        handles.received_bytes.add(record.received_bytes);
        handles.sent_bytes.add(record.sent_bytes);
        if record.retries > 0 {
            handles.retries.add(u64::from(record.retries));
        }
        if let Some(first_byte) = record.first_byte {
            handles.first_byte.observe(first_byte);
        }
        if let Some(pool) = &handles.pool {
            match record.connect {
                Some(connect) => pool.connect.observe(connect),
                None if record.backend_status.is_some() => pool.reused_connections.increment(),
                None => {}
            }
        }
        if let Some(waf) = &record.waf {
            self.waf_requests.increment(waf.verdict.index() * MODES.len() + mode_index(waf.mode));
            self.request_inspection.observe(waf.request_duration);
            if let Some(duration) = waf.response_duration {
                self.response_inspection.observe(duration);
            }
            for (histogram, score) in
                [(&self.inbound_score, waf.inbound_score), (&self.outbound_score, waf.outbound_score)]
            {
                if let Some(score) = score {
                    histogram.observe_units(u64::try_from(score).unwrap_or(0));
                }
            }
            if !waf.matches.is_empty() {
                self.count_matches(waf);
            }
        }
        if let Some(fault) = &record.fault {
            *lock(&self.faults).entry((fault.kind, fault.side)).or_default() += 1;
        }
    }

    fn count_matches(&self, waf: &super::WafRecord<'_>) {
        let keys = waf.matches.iter().map(|matched| {
            let action = match (matched.is_disruptive, waf.verdict) {
                (true, WafVerdict::Blocked) => 0,
                (true, _) => 1,
                (false, _) => 2,
            };
            (matched.rule_id.0, action)
        });
        // Ids come from the loaded rules, so this bound is only reached by reloading ever new ones.
        self.rule_matches.increment(keys, RULE_METRICS);
    }

    /// The store whose counts are shown; the first one named stays.
    pub fn watch_collections(&self, collections: &Arc<dyn CollectionStore>) {
        self.collections.get_or_init(|| Arc::clone(collections));
    }

    /// The block list whose counts are shown; the first one named stays.
    pub fn watch_block_list(&self, block_list: &Arc<dyn BlockList>) {
        self.block_list.get_or_init(|| Arc::clone(block_list));
    }

    /// A task panicked and was caught.
    pub fn panicked(&self) {
        self.panics.increment();
    }

    /// Panics caught so far.
    pub fn panics(&self) -> u64 {
        self.panics.value()
    }

    /// The process started, at this time since the epoch.
    pub fn started(&self, now: Duration) {
        self.start_seconds.store(now.as_secs(), Ordering::Relaxed);
        self.last_success_seconds.store(now.as_secs(), Ordering::Relaxed);
    }

    /// A reload ended, at this time since the epoch.
    pub fn reloaded(&self, is_successful: bool, now: Duration) {
        self.is_last_reload_successful.store(is_successful, Ordering::Relaxed);
        if is_successful {
            self.reload_successes.increment();
            self.last_success_seconds.store(now.as_secs(), Ordering::Relaxed);
        } else {
            self.reload_failures.increment();
        }
    }

    /// Appends everything in Prometheus' text format. `logs` is name, lines written, lines dropped.
    pub(super) fn render(&self, out: &mut String, logs: &[(&'static str, u64, u64)]) {
        let mut text = Exposition { out };
        self.render_requests(&mut text);
        self.render_listeners(&mut text);
        self.render_pools(&mut text);
        self.render_waf(&mut text);
        text.family("portcullis_waf_aside_running", "gauge", "Long bodies that are inspected beside the workers now.");
        text.sample("portcullis_waf_aside_running", &[], self.running_aside.value());
        text.family("portcullis_waf_aside_total", "counter", "Long bodies inspected beside the workers.");
        text.sample("portcullis_waf_aside_total", &[], self.begun_aside.value());
        text.family("portcullis_faults_total", "counter", "Requests that something went wrong with, by kind.");
        for ((kind, side), count) in lock(&self.faults).iter() {
            text.sample("portcullis_faults_total", &[("kind", kind), ("side", side)], *count);
        }
        text.family("portcullis_panics_total", "counter", "Panics caught in tasks; each is a bug.");
        text.sample("portcullis_panics_total", &[], self.panics.value());
        text.family("portcullis_log_lines_total", "counter", "Log lines written.");
        for (name, written, _) in logs {
            text.sample("portcullis_log_lines_total", &[("log", name)], *written);
        }
        text.family("portcullis_log_dropped_total", "counter", "Log lines dropped because the queue was full.");
        for (name, _, dropped) in logs {
            text.sample("portcullis_log_dropped_total", &[("log", name)], *dropped);
        }
        text.family("portcullis_config_reloads_total", "counter", "Reloads, by result.");
        text.sample("portcullis_config_reloads_total", &[("result", "success")], self.reload_successes.value());
        text.sample("portcullis_config_reloads_total", &[("result", "failure")], self.reload_failures.value());
        let name = "portcullis_config_last_reload_successful";
        text.family(name, "gauge", "1 when the last reload was taken.");
        text.sample(name, &[], u8::from(self.is_last_reload_successful.load(Ordering::Relaxed)));
        let name = "portcullis_config_last_reload_success_timestamp_seconds";
        text.family(name, "gauge", "When the running configuration was loaded.");
        text.sample(name, &[], self.last_success_seconds.load(Ordering::Relaxed));
        text.family("portcullis_build_info", "gauge", "Always 1; the version is the label.");
        text.sample("portcullis_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("process_start_time_seconds", "gauge", "When the process started.");
        text.sample("process_start_time_seconds", &[], self.start_seconds.load(Ordering::Relaxed));
    }

    fn render_requests(&self, text: &mut Exposition<'_>) {
        let requests = lock(&self.requests);
        let labels =
            |key: &RequestKey| [("listener", key.0.clone()), ("site", key.1.clone()), ("route", key.2.clone())];
        let name = "portcullis_http_requests_total";
        text.family(name, "counter", "Requests, by what was answered and what was done.");
        for (key, metrics) in requests.iter() {
            for code in 0..CODE_COLUMNS {
                for action in Action::ALL {
                    let count = metrics.requests.value(code * Action::ALL.len() + action.index());
                    if count > 0 {
                        let [listener, site, route] = &labels(key);
                        let code = code_label(code);
                        text.sample(
                            name,
                            &[
                                (listener.0, &listener.1),
                                (site.0, &site.1),
                                (route.0, &route.1),
                                ("code", &code),
                                ("action", action.name()),
                            ],
                            count,
                        );
                    }
                }
            }
        }
        type Pick = fn(&RequestMetrics) -> &Histogram;
        let histograms: [(&str, &str, Pick); 2] = [
            (
                "portcullis_http_request_duration_seconds",
                "From the first byte of the request to the last of the response.",
                |metrics| &metrics.duration,
            ),
            (
                "portcullis_upstream_first_byte_seconds",
                "From the end of the request to the first byte of the backend's response.",
                |metrics| &metrics.first_byte,
            ),
        ];
        for (name, help, pick) in histograms {
            text.family(name, "histogram", help);
            for (key, metrics) in requests.iter() {
                let labels = labels(key);
                text.histogram(name, &labels.each_ref().map(|(name, value)| (*name, value.as_str())), pick(metrics));
            }
        }
        type PickCounter = fn(&RequestMetrics) -> u64;
        let counters: [(&str, &str, PickCounter); 3] = [
            ("portcullis_http_received_bytes_total", "Read from clients.", |metrics| metrics.received_bytes.value()),
            ("portcullis_http_sent_bytes_total", "Written to clients.", |metrics| metrics.sent_bytes.value()),
            ("portcullis_upstream_retries_total", "Attempts after the first.", |metrics| metrics.retries.value()),
        ];
        for (name, help, pick) in counters {
            text.family(name, "counter", help);
            for (key, metrics) in requests.iter() {
                let labels = labels(key);
                text.sample(name, &labels.each_ref().map(|(name, value)| (*name, value.as_str())), pick(metrics));
            }
        }
    }

    fn render_listeners(&self, text: &mut Exposition<'_>) {
        let listeners = lock(&self.listeners);
        text.family("portcullis_connections_open", "gauge", "Client connections open now.");
        for (name, metrics) in listeners.iter() {
            text.sample("portcullis_connections_open", &[("listener", name)], metrics.open_connections.value());
        }
        text.family("portcullis_connections_total", "counter", "Client connections accepted.");
        for (name, metrics) in listeners.iter() {
            text.sample("portcullis_connections_total", &[("listener", name)], metrics.connections.value());
        }
        text.family("portcullis_connections_refused_total", "counter", "Client connections over the limit.");
        for (name, metrics) in listeners.iter() {
            let refused = metrics.refused_connections.value();
            text.sample("portcullis_connections_refused_total", &[("listener", name)], refused);
        }
        text.family("portcullis_tls_handshake_seconds", "histogram", "TLS handshakes with clients.");
        for (name, metrics) in listeners.iter() {
            text.histogram("portcullis_tls_handshake_seconds", &[("listener", name)], &metrics.handshakes);
        }
        text.family("portcullis_tls_handshake_failures_total", "counter", "Failed TLS handshakes, by cause.");
        for (name, metrics) in listeners.iter() {
            for (cause, count) in metrics.handshake_failures.values() {
                let labels = [("listener", name.as_str()), ("alert", cause)];
                text.sample("portcullis_tls_handshake_failures_total", &labels, count);
            }
        }
    }

    fn render_pools(&self, text: &mut Exposition<'_>) {
        let pools = lock(&self.pools);
        text.family("portcullis_upstream_connect_seconds", "histogram", "New connections to backends.");
        for (name, metrics) in pools.iter() {
            text.histogram("portcullis_upstream_connect_seconds", &[("pool", name)], &metrics.connect);
        }
        text.family("portcullis_upstream_connections_reused_total", "counter", "Requests on a kept connection.");
        for (name, metrics) in pools.iter() {
            let reused = metrics.reused_connections.value();
            text.sample("portcullis_upstream_connections_reused_total", &[("pool", name)], reused);
        }
        text.family("portcullis_upstream_connect_errors_total", "counter", "Failed connections, by layer.");
        for (name, metrics) in pools.iter() {
            for (layer, count) in metrics.connect_errors.values() {
                let labels = [("pool", name.as_str()), ("layer", layer)];
                text.sample("portcullis_upstream_connect_errors_total", &labels, count);
            }
        }
    }

    fn render_waf(&self, text: &mut Exposition<'_>) {
        text.family("portcullis_waf_requests_total", "counter", "Inspected requests, by verdict and mode.");
        for verdict in WafVerdict::ALL {
            for (index, mode) in MODES.iter().enumerate() {
                let count = self.waf_requests.value(verdict.index() * MODES.len() + index);
                if count > 0 {
                    let labels = [("verdict", verdict.name()), ("mode", *mode)];
                    text.sample("portcullis_waf_requests_total", &labels, count);
                }
            }
        }
        text.family("portcullis_waf_inspection_seconds", "histogram", "Time in the engine.");
        for (phase, histogram) in [("request", &self.request_inspection), ("response", &self.response_inspection)] {
            text.histogram("portcullis_waf_inspection_seconds", &[("phase", phase)], histogram);
        }
        text.family("portcullis_waf_anomaly_score", "histogram", "Anomaly scores, where the rules keep them.");
        text.histogram("portcullis_waf_anomaly_score", &[("direction", "inbound")], &self.inbound_score);
        text.histogram("portcullis_waf_anomaly_score", &[("direction", "outbound")], &self.outbound_score);
        text.family("portcullis_waf_rule_matches_total", "counter", "Matches, by rule.");
        for ((id, action), count) in self.rule_matches.values() {
            let id = id.to_string();
            let action = MATCH_ACTIONS.get(usize::from(action)).copied().unwrap_or_default();
            text.sample("portcullis_waf_rule_matches_total", &[("rule_id", &id), ("action", action)], count);
        }
        let counts = self.collections.get().map(|collections| collections.counts()).unwrap_or_default();
        let name = "portcullis_waf_collections";
        text.family(name, "gauge", "Persistent collections in memory.");
        text.sample(name, &[], counts.collections);
        let name = "portcullis_waf_collections_bytes";
        text.family(name, "gauge", "Bytes that they take.");
        text.sample(name, &[], counts.bytes);
        let name = "portcullis_waf_collections_evicted_total";
        text.family(name, "counter", "Collections that made room for others before their time.");
        text.sample(name, &[], counts.evicted);
        let name = "portcullis_waf_collections_refused_total";
        text.family(name, "counter", "Updates dropped because the collection would have become too large.");
        text.sample(name, &[], counts.refused);
        let counts = self.block_list.get().map(|block_list| block_list.counts()).unwrap_or_default();
        let name = "portcullis_waf_rbl_unknown_total";
        text.family(name, "counter", "@rbl had no answer yet, and did not match.");
        text.sample(name, &[], counts.unknown);
        let name = "portcullis_waf_rbl_overflowed_total";
        text.family(name, "counter", "@rbl could not ask, because too many names were waiting.");
        text.sample(name, &[], counts.overflowed);
        let name = "portcullis_waf_rbl_lookups_total";
        text.family(name, "counter", "Names looked up for @rbl, by result.");
        for (result, count) in [("listed", counts.listed), ("unlisted", counts.unlisted), ("failed", counts.failed)] {
            text.sample(name, &[("result", result)], count);
        }
    }
}

/// Writes Prometheus' text format, version 0.0.4.
pub(crate) struct Exposition<'a> {
    pub(crate) out: &'a mut String,
}

impl Exposition<'_> {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample of it.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.line(name, "", labels, None, value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let values = histogram.values();
        for (bound, count) in &values.cumulative {
            self.line(name, "_bucket", labels, Some(&bound.to_string()), count);
        }
        self.line(name, "_bucket", labels, Some("+Inf"), values.count);
        self.line(name, "_sum", labels, None, values.sum);
        self.line(name, "_count", labels, None, values.count);
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: impl std::fmt::Display,
    ) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        let mut separator = '{';
        for (label, text) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.out.push(separator);
            separator = ',';
            self.out.push_str(label);
            self.out.push_str("=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        let written = self.out.write_fmt(text);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_columns_and_labels() {
        assert!(CODES.is_sorted());
        for (status, label) in [(200, "200"), (418, "4xx"), (599, "5xx"), (0, "none"), (999, "none"), (504, "504")] {
            assert_eq!(code_label(code_column(status)), label, "{status}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut out = String::new();
        Exposition { out: &mut out }.sample("a", &[("b", "x\"y\\z\n")], 1);
        assert_eq!(out, "a{b=\"x\\\"y\\\\z\\n\"} 1\n");
    }

    #[test]
    fn a_request_is_counted_under_its_handles() {
        let metrics = Metrics::new();
        let handles = RequestMetrics::default();
        let record = AccessRecord {
            status: 204,
            action: Action::Forward,
            total: Duration::from_millis(3),
            sent_bytes: 10,
            ..AccessRecord::default()
        };
        metrics.count(&record, &handles);
        metrics.count(&record, &handles);
        assert_eq!(handles.requests.value(code_column(204) * Action::ALL.len()), 2);
        assert_eq!((handles.duration.values().count, handles.sent_bytes.value()), (2, 20));
    }
}
