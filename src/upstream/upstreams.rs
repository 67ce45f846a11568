//! All pools of one configuration, shared by the workers; and what survives when the configuration changes.
//!
//! `runtime` builds one with each snapshot, giving the one before. A pool whose settings and certificate files did not
//! change is kept whole. In one that did change, each backend that was in it before keeps its health, counts and
//! running requests (adding a member must not take the others out until they are probed again), and its idle
//! connections if nothing about how they are made is different.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls_pki_types::ServerName;

use super::dial::Target;
use super::health::Health;
use super::idle::{Keep, KeyId};
use super::pool::{Backend, BackendState, Pool};
use crate::config::model::{self, Configuration, PoolId};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dns::Resolver;
use crate::tls::client::ClientTls;

/// The pools of one configuration.
#[derive(Debug)]
pub struct Upstreams {
    pools: Vec<Arc<Pool>>,
    tls: Vec<Option<Arc<ClientTls>>>,
    keys: HashMap<ConnectionKey, KeyId>,
    resolver: Arc<Resolver>,
    warnings: Diagnostics,
}

/// Everything that makes two connections interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ConnectionKey {
    host: String,
    port: u16,
    http2: bool,
    /// Name to verify and SNI.
    server_name: Option<String>,
    /// Which `ClientTls`: roots, client certificate and verification, by content (see `ClientTls::build`). The address
    /// is not used again while a connection's key is known, because `Upstreams` holds the `ClientTls` itself.
    tls: usize,
}

impl Upstreams {
    /// Builds every pool, keeping what `previous` has of it. Reads certificate files; never waits for the network.
    pub fn build(configuration: &Configuration, previous: Option<&Arc<Self>>) -> Result<Arc<Self>, Diagnostics> {
        let mut upstreams = Self {
            pools: Vec::new(),
            tls: Vec::new(),
            keys: HashMap::new(),
            resolver: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.resolver)),
            warnings: Diagnostics::new(),
        };
        let mut diagnostics = Diagnostics::new();
        for settings in &configuration.pools {
            let old = previous.and_then(|previous| previous.named(&settings.name));
            upstreams.add(settings, previous, old, &mut diagnostics);
        }
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        upstreams.warnings = diagnostics;
        Ok(Arc::new(upstreams))
    }

    /// A pool.
    ///
    /// # Panics
    ///
    /// When `id` is of another configuration: ids and pools are built together.
    #[expect(clippy::indexing_slicing, reason = "`config::build` makes ids and pools together")]
    pub fn pool(&self, id: PoolId) -> &Arc<Pool> {
        &self.pools[usize::from(id.0)]
    }

    /// All pools, in the order of the configuration.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// Certificates about to expire, and the like.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// Names of backends.
    pub(super) fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    fn named(&self, name: &str) -> Option<(&Arc<Pool>, Option<&Arc<ClientTls>>)> {
        let (pool, tls) = self.pools.iter().zip(&self.tls).find(|(pool, _)| pool.settings.name == name)?;
        Some((pool, tls.as_ref()))
    }

    fn add(
        &mut self,
        settings: &model::Pool,
        previous: Option<&Arc<Self>>,
        old: Option<(&Arc<Pool>, Option<&Arc<ClientTls>>)>,
        diagnostics: &mut Diagnostics,
    ) {
        let place = format!("pool `{}`: tls", settings.name);
        let old_tls = old.and_then(|(_, tls)| tls);
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let sessions = settings.backends.len() * SESSIONS_PER_BACKEND;
                match ClientTls::build(tls, settings.http2, sessions, &place, old_tls, diagnostics) {
                    Some(tls) => Some(tls),
                    None => return,
                }
            }
        };
        let is_same_tls = match (&tls, old_tls) {
            (None, None) => true,
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            _ => false,
        };
        if let Some((pool, _)) = old
            && pool.settings == *settings
            && is_same_tls
        {
            for (backend, settings) in pool.backends.iter().zip(&settings.backends) {
                self.keys.insert(key(&backend.target, settings), backend.key());
            }
            self.pools.push(Arc::clone(pool));
            self.tls.push(tls);
            return;
        }
        let mut backends = Vec::with_capacity(settings.backends.len());
        for (position, backend) in settings.backends.iter().enumerate() {
            let place = format!("pool `{}`: backends[{position}]", settings.name);
            match self.backend(settings, backend, tls.as_ref(), previous, old.map(|(pool, _)| pool)) {
                Ok(backend) => backends.push(backend),
                Err(name) => diagnostics.push(
                    Diagnostic::error(None, format!("{place}: `{name}` is not a name that a certificate can have"))
                        .advise("set the pool's `tls.server_name`"),
                ),
            }
        }
        self.pools.push(Pool::new(settings.clone(), backends, Arc::clone(&self.resolver)));
        self.tls.push(tls);
    }

    /// `Err` is a name that cannot be verified.
    fn backend(
        &mut self,
        pool: &model::Pool,
        settings: &model::Backend,
        tls: Option<&Arc<ClientTls>>,
        previous: Option<&Arc<Self>>,
        old: Option<&Arc<Pool>>,
    ) -> Result<Backend, String> {
        let target = |server_name: Option<&str>| -> Result<Target, String> {
            let host = settings.host.trim_start_matches('[').trim_end_matches(']');
            let name = server_name.unwrap_or(host);
            let verified = |tls: &Arc<ClientTls>| {
                let name = ServerName::try_from(name.to_owned()).map_err(|_| name.to_owned())?;
                Ok::<_, String>((Arc::clone(tls), name))
            };
            Ok(Target {
                host: self.resolver.host(&settings.host),
                port: settings.port,
                tls: tls.map(verified).transpose()?,
                http2: pool.http2,
            })
        };
        let server_name = pool.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let probe_host = pool.probe.as_ref().and_then(|probe| probe.host.as_deref()).map(without_port);
        let traffic = target(server_name)?;
        let probe = target(server_name.or(probe_host))?;
        let key = key(&traffic, settings);
        let known = self.keys.get(&key).or_else(|| previous.and_then(|previous| previous.keys.get(&key)));
        let id = known.copied().unwrap_or_else(new_key);
        self.keys.insert(key, id);
        let same =
            |old: &&Backend| old.target.host.to_string() == traffic.host.to_string() && old.target.port == traffic.port;
        let state = match old.and_then(|old| old.backends.iter().find(same)) {
            Some(old) => Arc::clone(&old.state),
            None => {
                let health = if pool.probe.is_some() { Health::Unknown } else { Health::Healthy };
                Arc::new(BackendState::new(health))
            }
        };
        let keep = Keep { most: pool.idle_connections, timeout: pool.timeouts.idle };
        Ok(Backend::new(settings, traffic, probe, id, keep, state, pool.probe.is_some()))
    }
}

fn key(target: &Target, settings: &model::Backend) -> ConnectionKey {
    ConnectionKey {
        host: settings.host.to_ascii_lowercase(),
        port: settings.port,
        http2: target.http2,
        server_name: target.tls.as_ref().map(|(_, name)| name.to_str().into_owned()),
        tls: target.tls.as_ref().map_or(0, |(tls, _)| Arc::as_ptr(tls).addr()),
    }
}

/// The host of `host:port`; an IPv6 literal without brackets is left alone.
fn without_port(host: &str) -> &str {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.split_once(']').map_or(literal, |(literal, _)| literal);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

fn new_key() -> KeyId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    KeyId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// TLS sessions remembered for each backend of a pool.
const SESSIONS_PER_BACKEND: usize = 8;
