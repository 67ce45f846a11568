//! Looks names up: hickory with the system's configuration (`/etc/resolv.conf`, `/etc/hosts`, localhost).
//!
//! The configuration is read again when one of the two files changes, so that new name servers need no restart.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::{Instant, sleep_until};

use super::cache::{Host, Name};

/// A name without an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve `{name}`: {cause}")]
pub struct DnsFailure {
    /// The name.
    pub name: String,
    /// Why, in the resolver's words.
    pub cause: String,
}

/// The names in use, and how they are looked up. One for the process, kept across reloads.
#[derive(Debug, Default)]
pub struct Resolver {
    names: Mutex<HashMap<String, Weak<Name>>>,
    system: Mutex<Option<System>>,
}

/// The system's resolver as configured at some time.
#[derive(Debug, Clone)]
struct System {
    resolver: Arc<TokioResolver>,
    files: [Option<SystemTime>; 2],
}

impl Resolver {
    /// Reads the system's configuration when the first name is looked up.
    pub fn new() -> Self {
        Self::default()
    }

    /// A host of the configuration. Equal names share what is known about them.
    pub fn host(&self, host: &str) -> Host {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Host::Address(address);
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, name| name.strong_count() > 0);
        let key = host.to_ascii_lowercase();
        if let Some(name) = names.get(&key).and_then(Weak::upgrade) {
            return Host::Name(name);
        }
        let name = Arc::new(Name::new(key.clone()));
        names.insert(key, Arc::downgrade(&name));
        Host::Name(name)
    }

    /// The addresses of a host: at once when they are known (even if stale: [`Resolver::run`] renews them), after one
    /// lookup otherwise.
    pub async fn addresses(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, DnsFailure> {
        let name = match host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name,
        };
        let addresses = match name.addresses() {
            Some(addresses) => addresses,
            None => self.look_up_once(name).await?,
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Keeps every name in use current until `shutdown` is done.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let now = Instant::now();
            let mut next = now + LONGEST_REST;
            for name in self.in_use() {
                match name.due() {
                    Some(due) if due > now => next = next.min(due),
                    _ => {
                        self.refresh(&name).await;
                        next = next.min(name.due().unwrap_or(next));
                    }
                }
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = sleep_until(next.max(now + SHORTEST_REST)) => {}
            }
        }
    }

    /// Looks a name up now and remembers the outcome.
    pub async fn refresh(&self, name: &Name) {
        let _alone = name.lookup.lock().await;
        let outcome = self.look_up(&name.name).await;
        name.learn(outcome, Instant::now());
    }

    fn in_use(&self) -> Vec<Arc<Name>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().filter_map(Weak::upgrade).collect()
    }

    async fn look_up_once(&self, name: &Name) -> Result<Vec<IpAddr>, DnsFailure> {
        let _alone = name.lookup.lock().await;
        // Somebody else may have found it, or failed to, while we waited.
        if let Some(addresses) = name.addresses() {
            return Ok(addresses);
        }
        if let Some(failure) = name.recent_failure(Instant::now()) {
            return Err(failure);
        }
        let outcome = self.look_up(&name.name).await;
        name.learn(outcome.clone(), Instant::now());
        outcome.map(|(addresses, _)| addresses)
    }

    async fn look_up(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), DnsFailure> {
        let failed = |error: &NetError| DnsFailure { name: name.to_owned(), cause: cause(error) };
        let resolver = self.system().map_err(|error| failed(&error))?;
        let found = Box::pin(resolver.lookup_ip(name)).await.map_err(|error| failed(&error))?;
        let addresses: Vec<IpAddr> = found.iter().take(MOST_ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(DnsFailure { name: name.to_owned(), cause: "the name has no address".to_owned() });
        }
        let time_to_live = found.valid_until().saturating_duration_since(Instant::now().into_std());
        Ok((addresses, time_to_live))
    }

    fn system(&self) -> Result<Arc<TokioResolver>, NetError> {
        let files = FILES.map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok());
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(system) = system.as_ref()
            && system.files == files
        {
            return Ok(Arc::clone(&system.resolver));
        }
        // Without a resolv.conf (a bare container) the hosts file and localhost still work.
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        });
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // We keep what we learn ourselves; hickory's cache would only hide changes.
        options.cache_size = 0;
        let resolver = Arc::new(builder.build()?);
        *system = Some(System { resolver: Arc::clone(&resolver), files });
        Ok(resolver)
    }
}

fn cause(error: &NetError) -> String {
    if error.is_nx_domain() {
        "no such name".to_owned()
    } else if error.is_no_records_found() {
        "the name has no address".to_owned()
    } else {
        error.to_string()
    }
}

/// Files whose change means that the configuration is read again.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Addresses kept of one name.
const MOST_ADDRESSES: usize = 16;

/// The background task looks at all names at least this often, and never more often than [`SHORTEST_REST`].
const LONGEST_REST: Duration = Duration::from_secs(5);
const SHORTEST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_bypass_and_localhost_resolves() {
        let resolver = Resolver::new();
        let literal = resolver.host("[::1]");
        assert_eq!(resolver.addresses(&literal, 1).await, Ok(vec!["[::1]:1".parse().unwrap()]));
        assert_eq!(literal.to_string(), "[::1]");
        let localhost = resolver.host("LOCALHOST");
        let addresses = resolver.addresses(&localhost, 80).await.expect("localhost");
        assert!(addresses.contains(&"127.0.0.1:80".parse().unwrap()), "{addresses:?}");
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_is_a_named_failure() {
        let resolver = Resolver::new();
        // ".invalid" never resolves (RFC 6761); a label that is too long is refused without asking anybody.
        let host = resolver.host(&format!("{}.invalid", "x".repeat(64)));
        let failure = resolver.addresses(&host, 80).await.unwrap_err();
        assert!(failure.to_string().starts_with("cannot resolve `xxx"), "{failure}");
    }
}
