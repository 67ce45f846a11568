//! What holds where the file says nothing. Each default has its reason; `docs/defaults.md` is made from this list.

use std::time::Duration;

use super::decode::{format_bytes, format_duration};
use crate::limits;

/// One row of `docs/defaults.md`.
#[derive(Debug, Clone)]
pub struct Default {
    /// The key in the file.
    pub key: &'static str,
    /// The value as it would be written there.
    pub value: String,
    /// Why.
    pub reason: &'static str,
}

/// How a value is written in the file.
trait Written {
    fn written(&self) -> String;
}

impl Written for Duration {
    fn written(&self) -> String {
        format_duration(*self)
    }
}

impl Written for Bytes {
    fn written(&self) -> String {
        if self.0 == u64::MAX { "no limit".into() } else { format_bytes(self.0) }
    }
}

impl Written for bool {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for usize {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for u32 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for u16 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for u8 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for &str {
    fn written(&self) -> String {
        (*self).to_owned()
    }
}

/// A size.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

macro_rules! defaults {
    ($(#[doc = $reason:literal] $name:ident: $type:ty = $value:expr, $key:literal;)*) => {
        $(#[doc = $reason] pub const $name: $type = $value;)*

        /// All of them, in the order of the file.
        pub fn all() -> Vec<Default> {
            vec![$(Default { key: $key, value: $name.written(), reason: $reason.trim() }),*]
        }
    };
}

defaults! {
    #[doc = "Costs nothing when a client does not ask for it, and browsers are faster with it."]
    HTTP2: bool = true, "listeners[].http2";
    #[doc = "A client that can choose ids can make its requests hard to find, or look like another's."]
    TRUST_REQUEST_ID: bool = false, "listeners[].trust_request_id";
    #[doc = "1.2 is still what many API clients speak; 1.0 and 1.1 are not supported at all."]
    MINIMUM_TLS_VERSION: &str = "1.2", "listeners[].tls.minimum_version";
    #[doc = "Ten times what a slow mobile client needs."]
    HANDSHAKE_TIMEOUT: Duration = limits::HANDSHAKE_TIMEOUT, "listeners[].timeouts.handshake";
    #[doc = "A head is one or two packets; whoever takes longer holds a connection open on purpose (slowloris)."]
    HEAD_TIMEOUT: Duration = limits::HEAD_TIMEOUT, "listeners[].timeouts.head";
    #[doc = "As nginx and Application Gateway: long enough for a phone in a tunnel, too short to hold many bodies open."]
    BODY_TIMEOUT: Duration = Duration::from_secs(60), "listeners[].timeouts.body";
    #[doc = "The same towards the client."]
    WRITE_TIMEOUT: Duration = Duration::from_secs(60), "listeners[].timeouts.write";
    #[doc = "nginx's value; longer than the pause of a person reading, shorter than what proxies in front give up."]
    IDLE_TIMEOUT: Duration = Duration::from_secs(75), "listeners[].timeouts.idle";
    #[doc = "Application Gateway takes 32 kB, nginx four buffers of 8 kB; Kerberos and large cookies need more."]
    HEAD_BYTES: Bytes = Bytes(limits::REQUEST_HEAD_BYTES as u64), "listeners[].limits.head_bytes";
    #[doc = "Browsers send 20; the Core Rule Set and Apache agree on 100."]
    HEADERS: usize = limits::REQUEST_HEADERS, "listeners[].limits.headers";
    #[doc = "What is inspected is bounded by the policy's window; what only streams through costs no memory."]
    BODY_BYTES: Bytes = Bytes(u64::MAX), "listeners[].limits.body_bytes";
    #[doc = "Above what one gateway usually holds; each costs memory for TLS, so there is an end. The open-file limit is raised to match."]
    CONNECTIONS: usize = 20_000, "listeners[].limits.connections";
    #[doc = "The least that the standard advises; more only helps an attacker."]
    H2_STREAMS: u32 = 100, "listeners[].limits.h2_streams";
    #[doc = "Every host that no other site names."]
    HOSTS: &str = "[\"*\"]", "sites[].hosts";
    #[doc = "Every path."]
    PATH: &str = "/", "sites[].routes[].path";
    #[doc = "Backends build links and cookies from it; Application Gateway behind API Management needs it as well."]
    HOST: &str = "preserve", "sites[].routes[].host";
    #[doc = "A temporary redirect can be taken back; a permanent one stays in browsers."]
    REDIRECT_STATUS: u16 = 302, "sites[].routes[].redirect.status";
    #[doc = "Even load for like requests, and easy to follow in the logs."]
    BALANCE: &str = "round_robin", "pools[].balance";
    #[doc = "One request at a time per connection keeps a slow backend from holding up others; gRPC needs `true`."]
    POOL_HTTP2: bool = false, "pools[].http2";
    #[doc = "Equal shares."]
    WEIGHT: u32 = 1, "pools[].backends[].weight";
    #[doc = "The path that every server answers."]
    PROBE_PATH: &str = "/", "pools[].probe.path";
    #[doc = "A dead backend is out after 15 seconds; Application Gateway needs 90."]
    PROBE_INTERVAL: Duration = Duration::from_secs(5), "pools[].probe.interval";
    #[doc = "A backend that takes longer than this for a health check is not healthy."]
    PROBE_TIMEOUT: Duration = Duration::from_secs(3), "pools[].probe.timeout";
    #[doc = "One answer can be luck."]
    HEALTHY_THRESHOLD: u32 = 2, "pools[].probe.healthy_threshold";
    #[doc = "One lost packet must not take a backend out."]
    UNHEALTHY_THRESHOLD: u32 = 3, "pools[].probe.unhealthy_threshold";
    #[doc = "As Application Gateway: a redirect to a login page is a sign of life."]
    PROBE_STATUS: &str = "[\"200-399\"]", "pools[].probe.status";
    #[doc = "Enough that a hundred probes spread over the interval."]
    JITTER_PERCENT: u8 = 10, "pools[].probe.jitter_percent";
    #[doc = "Five in a row is no coincidence."]
    CONSECUTIVE_FAILURES: u32 = 5, "pools[].ejection.consecutive_failures";
    #[doc = "Long enough to recover from a restart."]
    EJECTION_DURATION: Duration = Duration::from_secs(30), "pools[].ejection.base_duration";
    #[doc = "When half the pool fails, the fault is likely elsewhere."]
    EJECTION_PERCENT: u8 = 50, "pools[].ejection.maximum_percent";
    #[doc = "A connection within a region takes milliseconds; three lost SYN packets take seven seconds."]
    CONNECT_TIMEOUT: Duration = Duration::from_secs(5), "pools[].timeouts.connect";
    #[doc = "As nginx and HAProxy; Application Gateway's 20 seconds cut off reports and exports."]
    RESPONSE_TIMEOUT: Duration = Duration::from_secs(60), "pools[].timeouts.response";
    #[doc = "Between two parts of a body; server-sent events should send a comment within it."]
    READ_TIMEOUT: Duration = Duration::from_secs(60), "pools[].timeouts.read";
    #[doc = "Shorter than what most servers keep (nginx 75 s, Kestrel 130 s), so that we close first."]
    POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60), "pools[].timeouts.idle";
    #[doc = "One more backend is tried; more attempts make an outage worse."]
    RETRY_ATTEMPTS: u32 = 1, "pools[].retry.attempts";
    #[doc = "Retries must not double the load of a failing pool."]
    RETRY_BUDGET_PERCENT: u8 = 20, "pools[].retry.budget_percent";
    #[doc = "Holds nearly every API request."]
    RETRY_BUFFER: Bytes = Bytes(64 * 1024), "pools[].retry.buffer_bytes";
    #[doc = "A handshake costs far more than a request; more than this are only kept after a burst."]
    IDLE_CONNECTIONS: usize = 64, "pools[].idle_connections";
    #[doc = "A gate that only watches is chosen, not had by accident."]
    MODE: &str = "prevention", "policies[].mode";
    #[doc = "Works without any file."]
    RULES: &str = "[builtin]", "policies[].rules";
    #[doc = "Attacks travel in bodies as well."]
    REQUEST_INSPECT: bool = true, "policies[].request_body.inspect";
    #[doc = "Application Gateway inspects 128 kB by default and 2 MB at most; what people post to APIs fits."]
    REQUEST_WINDOW: Bytes = Bytes(1024 * 1024), "policies[].request_body.bytes";
    #[doc = "What lies beyond the window is not inspected, so an attacker would put it there. Uploads need a route with a policy of their own."]
    REQUEST_BEYOND: &str = "reject", "policies[].request_body.beyond";
    #[doc = "Holding a response back costs latency and breaks streams; turn it on where leaks matter."]
    RESPONSE_INSPECT: bool = false, "policies[].response_body.inspect";
    #[doc = "Error pages and stack traces are shorter."]
    RESPONSE_WINDOW: Bytes = Bytes(512 * 1024), "policies[].response_body.bytes";
    #[doc = "Refusing a long answer would break downloads."]
    RESPONSE_BEYOND: &str = "process_partial", "policies[].response_body.beyond";
    #[doc = "Fail closed: what could not be inspected does not pass."]
    ON_FAULT: &str = "deny", "policies[].on_fault";
    #[doc = "Loopback: it has no authentication."]
    ADMIN_ADDRESS: &str = "127.0.0.1:9180", "admin.address";
    #[doc = "Where containers and systemd collect it."]
    ACCESS_LOG: &str = "stdout", "logs.access";
    #[doc = "Beside the access log; the lines are told apart by `matches`."]
    FIREWALL_LOG: &str = "stdout", "logs.firewall";
    #[doc = "The firewall log says the same in JSON; this is for tools that read ModSecurity's."]
    RULE_MESSAGES: &str = "off", "logs.rule_messages";
    #[doc = "About a second of log at full load; never more than 16 MiB for each log."]
    LOG_QUEUE: usize = 32_768, "logs.queue";
    #[doc = "One per core."]
    WORKERS: &str = "auto", "runtime.workers";
    #[doc = "No lock, queue or wake-up between cores."]
    FLAVOUR: &str = "per_core", "runtime.flavour";
    #[doc = "Kubernetes and systemd kill after 30 and 90 seconds."]
    DRAIN: Duration = Duration::from_secs(25), "runtime.drain";
}

/// The page `docs/defaults.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Defaults\n\nWhat holds where the configuration says nothing, and why. Made from `src/config/defaults.rs`;\n\
         `UPDATE_DOCS=1 cargo test --test documentation` writes it anew.\n\n| key | default | why |\n|---|---|---|\n",
    );
    for row in all() {
        out.push_str(&format!("| `{}` | `{}` | {} |\n", row.key, row.value, row.reason));
    }
    out
}
