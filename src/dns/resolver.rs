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
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::task::JoinSet;
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
    /// Asked instead of those in `/etc/resolv.conf`.
    name_server: Option<SocketAddr>,
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

    /// Asks this name server (over UDP) instead of the system's.
    pub fn with_name_server(address: SocketAddr) -> Self {
        Self { name_server: Some(address), ..Self::default() }
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

    /// Keeps every name in use current until `shutdown` is done. Names are looked up side by side: a name server that
    /// does not answer for one must not make the others stale.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut lookups = JoinSet::new();
        loop {
            let now = Instant::now();
            for name in self.in_use() {
                if name.due().is_none_or(|due| due <= now) && name.lookup.try_lock().is_ok() {
                    let resolver = Arc::clone(&self);
                    lookups.spawn(async move { resolver.refresh(&name).await });
                }
            }
            while lookups.try_join_next().is_some() {}
            let dues = self.in_use().into_iter().filter_map(|name| name.due());
            let next = dues.filter(|due| *due > now).min().unwrap_or(now + LONGEST_REST);
            tokio::select! {
                () = &mut shutdown => return,
                () = sleep_until(next.clamp(now + SHORTEST_REST, now + LONGEST_REST)) => {}
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

    /// Looks a name up that is not kept: its addresses and how long they hold, or `None` if it has none.
    pub(super) async fn find(&self, name: &str) -> Result<Option<(Vec<IpAddr>, Duration)>, DnsFailure> {
        match self.look_up(name).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.cause == NO_SUCH_NAME || failure.cause == NO_ADDRESS => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn look_up(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), DnsFailure> {
        let failed = |error: &NetError| DnsFailure { name: name.to_owned(), cause: cause(error) };
        let resolver = self.system().map_err(|error| failed(&error))?;
        let found = Box::pin(resolver.lookup_ip(name)).await.map_err(|error| failed(&error))?;
        let addresses: Vec<IpAddr> = found.iter().take(MOST_ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(DnsFailure { name: name.to_owned(), cause: NO_ADDRESS.to_owned() });
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
        let mut builder = match self.name_server {
            Some(address) => {
                let mut connection = ConnectionConfig::udp();
                connection.port = address.port();
                let server = NameServerConfig::new(address.ip(), true, vec![connection]);
                let configuration = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(configuration, TokioRuntimeProvider::default())
            }
            // Without a resolv.conf (a bare container) the hosts file and localhost still work.
            None => TokioResolver::builder_tokio().unwrap_or_else(|_| {
                let nobody = ResolverConfig::from_name_servers(Vec::new());
                TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
            }),
        };
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
        NO_SUCH_NAME.to_owned()
    } else if error.is_no_records_found() {
        NO_ADDRESS.to_owned()
    } else {
        error.to_string()
    }
}

const NO_SUCH_NAME: &str = "no such name";
const NO_ADDRESS: &str = "the name has no address";

/// Files whose change means that the configuration is read again.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Addresses kept of one name.
const MOST_ADDRESSES: usize = 16;

/// The background task looks at all names at least this often, so that new ones are found soon.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// And never more often than this.
const SHORTEST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// A name server that gives every name the address in `answer`, or says that there is no such name.
    async fn name_server(answer: Arc<Mutex<Option<[u8; 4]>>>, queries: Arc<AtomicUsize>) -> SocketAddr {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server of the test")]
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                queries.fetch_add(1, Ordering::Relaxed);
                let question_end = 12 + query[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
                let wants_v4 = query[question_end - 3] == 1;
                let found = *answer.lock().unwrap();
                let mut response = query[..question_end].to_vec();
                response[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
                match found {
                    None => response[3] |= 3,
                    Some(_) if !wants_v4 => {}
                    Some(address) => {
                        response[7] = 1;
                        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                        response.extend(address);
                    }
                }
                socket.send_to(&response, from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn a_name_is_asked_for_once_and_survives_its_name_server() {
        let answer = Arc::new(Mutex::new(Some([10, 1, 2, 3])));
        let queries = Arc::new(AtomicUsize::new(0));
        let server = name_server(answer.clone(), queries.clone()).await;
        let resolver = Resolver::with_name_server(server);
        let host = resolver.host("backend.example.");
        let expected: Vec<SocketAddr> = vec!["10.1.2.3:443".parse().unwrap()];
        let (first, second) = tokio::join!(resolver.addresses(&host, 443), resolver.addresses(&host, 443));
        assert_eq!((first.as_ref(), second.as_ref()), (Ok(&expected), Ok(&expected)));
        assert_eq!(queries.load(Ordering::Relaxed), 2, "one for each family");
        let Host::Name(name) = &host else { panic!("a name") };
        let rest = name.due().unwrap().saturating_duration_since(Instant::now());
        assert!(rest > Duration::from_secs(55) && rest <= Duration::from_secs(60), "{rest:?}");

        *answer.lock().unwrap() = None;
        resolver.refresh(name).await;
        assert_eq!(resolver.addresses(&host, 443).await, Ok(expected), "the last good answer stays");
        *answer.lock().unwrap() = Some([10, 9, 9, 9]);
        resolver.refresh(name).await;
        assert_eq!(resolver.addresses(&host, 443).await, Ok(vec!["10.9.9.9:443".parse().unwrap()]));

        *answer.lock().unwrap() = None;
        let unknown = resolver.host("unknown.example.");
        let failure = resolver.addresses(&unknown, 443).await.unwrap_err();
        assert_eq!(failure.to_string(), "cannot resolve `unknown.example.`: no such name");
    }

    #[tokio::test]
    async fn the_background_task_finds_new_names_and_ends_when_told() {
        let queries = Arc::new(AtomicUsize::new(0));
        let server = name_server(Arc::new(Mutex::new(Some([10, 0, 0, 7]))), queries).await;
        let resolver = Arc::new(Resolver::with_name_server(server));
        let host = resolver.host("a.example.");
        let Host::Name(name) = &host else { panic!("a name") };
        let found = async {
            while name.addresses().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let run = Arc::clone(&resolver).run(found);
        tokio::time::timeout(Duration::from_secs(20), run).await.expect("found in the background");
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
