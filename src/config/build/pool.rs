//! Pools: members, TLS towards them, probes, ejection, deadlines, retries.

use super::{Builder, MIB, MOST};
use crate::config::decode::Spanned;
use crate::config::defaults;
use crate::config::model::{Backend, Balance, Ejection, Pool, PoolTimeouts, PoolTls, Probe, Retry};
use crate::config::raw::{
    RawBackend, RawEjection, RawFullProbe, RawPool, RawPoolTimeouts, RawPoolTls, RawProbe, RawProbePreset, RawRetry,
};
use crate::diagnostics::{Diagnostic, Location};
use std::collections::HashMap;

impl Builder<'_> {
    pub(super) fn pools(&mut self, raw: Vec<RawPool>) -> Vec<Pool> {
        let mut names = HashMap::new();
        let mut pools = Vec::new();
        for pool in raw {
            let place = pool.name.0.as_ref().map(|name| name.location.clone());
            // A pool whose name is missing still has its other problems reported.
            let name = self.name(pool.name, &mut names, "pool").unwrap_or_default();
            if let Some(place) = &place {
                self.places.add(format!("pool `{name}`"), place);
            }
            let backends = pool.backends.0.map(|list| self.backends(list, &name)).unwrap_or_default();
            let tls = pool.tls.map(|tls| self.pool_tls(tls, &name));
            let probe = pool.probe.map(|probe| self.probe(probe));
            let ejection = pool.ejection.map(|ejection| self.ejection(ejection));
            let timeouts = self.pool_timeouts(pool.timeouts.unwrap_or_default());
            let retry = self.retry(pool.retry.unwrap_or_default());
            pools.push(Pool {
                name,
                backends,
                balance: pool.balance.unwrap_or(Balance::RoundRobin),
                tls,
                http2: pool.http2.unwrap_or(defaults::POOL_HTTP2),
                probe,
                ejection,
                timeouts,
                retry,
                idle_connections: self.number(pool.idle_connections, defaults::IDLE_CONNECTIONS, 0..=100_000),
            });
        }
        if pools.len() > MOST {
            self.error(Diagnostic::error(None, format!("more than {MOST} pools")));
        }
        pools
    }

    fn backends(&mut self, list: Spanned<Vec<Spanned<RawBackend>>>, pool: &str) -> Vec<Backend> {
        if list.value.is_empty() {
            self.error(list.error("a pool needs at least one backend"));
        }
        if list.value.len() > MOST {
            self.error(list.error(format!("more than {MOST} backends")));
        }
        let mut backends: Vec<Backend> = Vec::new();
        for (index, backend) in list.value.into_iter().enumerate() {
            self.places.add(format!("pool `{pool}`: backends[{index}]"), &backend.location);
            let (address, weight) = match backend.value {
                RawBackend::Address(address) => (Some(address), defaults::WEIGHT),
                RawBackend::Full(full) => (full.address.0, self.number(full.weight, defaults::WEIGHT, 1..=1_000)),
            };
            let Some(address) = address else { continue };
            let Some((host, port)) = self.host_and_port(&address) else { continue };
            if backends.iter().any(|known| known.host.eq_ignore_ascii_case(&host) && known.port == port) {
                let problem = address.error(format!("{host}:{port} is in this pool already"));
                self.error(problem.advise("use `weight` for a larger share"));
            }
            backends.push(Backend { host, port, weight });
        }
        backends
    }

    fn host_and_port(&mut self, address: &Spanned<String>) -> Option<(String, u16)> {
        let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let is_host = |host: &str| {
            let name = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            match name {
                Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                    !host.is_empty() && host.len() <= 253 && host.bytes().all(is_name_byte)
                }
            }
        };
        match split {
            Some((host, port)) if port > 0 && is_host(host) => Some((host.to_owned(), port)),
            _ => {
                let advice = if address.contains("://") {
                    "leave the scheme out: `host:port`, and `tls:` in the pool for TLS"
                } else {
                    "write `host:port`, `10.0.0.4:443` or `[2001:db8::1]:443`"
                };
                let message = format!("`{}` is not a backend's host and port", address.value);
                self.error(address.error(message).advise(advice));
                None
            }
        }
    }

    fn pool_tls(&mut self, raw: Spanned<RawPoolTls>, pool: &str) -> PoolTls {
        self.places.add(format!("pool `{pool}`: tls"), &raw.location);
        let raw = raw.value;
        if let Some(roots) = &raw.roots {
            self.places.add(format!("pool `{pool}`: tls: roots"), &roots.location);
        }
        let certificate = raw.client_certificate.as_ref().and_then(|pair| pair.certificate.0.as_ref());
        if let Some(certificate) = certificate {
            self.places.add(format!("pool `{pool}`: tls: client_certificate"), &certificate.location);
        }
        let is_unverified = raw.insecure_skip_verify.as_ref().is_some_and(|skip| skip.value);
        if let Some(skip) = raw.insecure_skip_verify.as_ref().filter(|skip| skip.value) {
            let warning = skip.warning(format!("pool `{pool}` trusts whoever answers"));
            self.problems.push(warning.advise("name the `roots` that the backends' certificates lead to"));
        }
        PoolTls {
            roots: raw.roots.map(|path| self.file(&path)),
            server_name: raw.server_name.map(|name| name.value),
            client_certificate: raw.client_certificate.and_then(|pair| self.key_pair(pair)),
            verify: !is_unverified,
        }
    }

    fn probe(&mut self, raw: Spanned<RawProbe>) -> Probe {
        let location = raw.location.clone();
        let raw = match raw.value {
            RawProbe::Full(full) => *full,
            RawProbe::Preset(RawProbePreset::ApiManagement) => {
                return Probe {
                    path: API_MANAGEMENT_PATH.into(),
                    expected_status: vec![(200, 200)],
                    ..self.full_probe(RawFullProbe::default(), &location)
                };
            }
        };
        self.full_probe(raw, &location)
    }

    fn full_probe(&mut self, raw: RawFullProbe, location: &Location) -> Probe {
        let path = raw.path.map(|path| {
            self.check_path(&path);
            path.value
        });
        let interval = self.duration(raw.interval, defaults::PROBE_INTERVAL);
        let timeout = self.duration(raw.timeout, defaults::PROBE_TIMEOUT.min(interval));
        if timeout > interval {
            let problem = Diagnostic::error(location.clone(), "the probe's timeout is longer than its interval");
            self.error(problem.advise("probes of one backend must not overlap: lengthen `interval`"));
        }
        let expected_status = match raw.status {
            None => vec![(200, 399)],
            Some(list) => {
                if list.value.is_empty() {
                    self.error(list.error("no status would count as success"));
                }
                list.value.iter().filter_map(|range| self.status_range(range)).collect()
            }
        };
        Probe {
            path: path.unwrap_or_else(|| defaults::PROBE_PATH.into()),
            host: raw.host.map(|host| host.value),
            interval,
            timeout,
            healthy_threshold: self.number(raw.healthy_threshold, defaults::HEALTHY_THRESHOLD, 1..=100),
            unhealthy_threshold: self.number(raw.unhealthy_threshold, defaults::UNHEALTHY_THRESHOLD, 1..=100),
            expected_status,
            expected_body: raw.body.map(|body| body.value),
            jitter_percent: self.number(raw.jitter_percent, defaults::JITTER_PERCENT, 0..=100),
        }
    }

    fn status_range(&mut self, range: &Spanned<String>) -> Option<(u16, u16)> {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let parsed = match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            (Ok(from), Ok(to)) if (100..=599).contains(&from) && (from..=599).contains(&to) => Some((from, to)),
            _ => None,
        };
        if parsed.is_none() {
            let problem = range.error(format!("`{}` is not a range of status codes", range.value));
            self.error(problem.advise("write `200` or `200-399`"));
        }
        parsed
    }

    fn ejection(&mut self, raw: RawEjection) -> Ejection {
        Ejection {
            consecutive_failures: self.number(raw.consecutive_failures, defaults::CONSECUTIVE_FAILURES, 1..=1_000),
            base_duration: self.duration(raw.base_duration, defaults::EJECTION_DURATION),
            maximum_percent: self.number(raw.maximum_percent, defaults::EJECTION_PERCENT, 0..=100),
        }
    }

    fn pool_timeouts(&mut self, raw: RawPoolTimeouts) -> PoolTimeouts {
        PoolTimeouts {
            connect: self.duration(raw.connect, defaults::CONNECT_TIMEOUT),
            response: self.duration(raw.response, defaults::RESPONSE_TIMEOUT),
            read: self.duration(raw.read, defaults::READ_TIMEOUT),
            idle: self.duration(raw.idle, defaults::POOL_IDLE_TIMEOUT),
        }
    }

    fn retry(&mut self, raw: RawRetry) -> Retry {
        Retry {
            attempts: self.number(raw.attempts, defaults::RETRY_ATTEMPTS, 0..=10),
            budget_percent: self.number(raw.budget_percent, defaults::RETRY_BUDGET_PERCENT, 0..=100),
            buffer_bytes: self.bytes(raw.buffer_bytes, defaults::RETRY_BUFFER.0, 0..=16 * MIB) as usize,
        }
    }
}

/// Where Azure API Management answers 200 while it is well.
const API_MANAGEMENT_PATH: &str = "/status-0123456789abcdef";
