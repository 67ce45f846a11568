//! Connections kept by one worker between requests.
//!
//! One [`IdleConnections`] per worker; `Pool::connection` takes from it and the gateway puts back. Connections are
//! kept per [`KeyId`], which stands for everything that makes two connections interchangeable (address, name to
//! verify, TLS settings with their key material, protocol): `upstreams` hands the numbers out by comparing the full
//! keys once per reload, so that a checkout compares integers. Last in, first out: the warmest connection is taken and
//! surplus ones age out at the bottom.
//!
//! The mutex is only there to make the type `Sync`; no other worker touches it. Expired connections are dropped when
//! they are met, and all of them on a coarse tick ([`SWEEP`]) carried by whoever puts one back; a worker without any
//! traffic calls [`IdleConnections::sweep`] from its own tick.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;

use super::exchange::{BackendConnection, Http1Connection, Http2Connection, RequestBody};

/// Stands for one full connection key. Never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyId(pub(super) u64);

/// How a connection may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keep {
    /// Connections per key.
    pub(super) most: usize,
    /// How long.
    pub(super) timeout: Duration,
}

/// The kept connections of one worker.
#[derive(Debug, Default)]
pub struct IdleConnections {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stacks: HashMap<KeyId, Stack, BuildHasherDefault<NumberHasher>>,
    swept: Option<Instant>,
}

#[derive(Debug, Default)]
struct Stack {
    http1: Vec<Parked>,
    http2: Vec<Shared>,
}

#[derive(Debug)]
struct Parked {
    connection: Http1Connection,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
    used: Instant,
    keep: Keep,
}

impl IdleConnections {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a connection back after a complete exchange. It is dropped instead when bytes are left over, when its
    /// backend has enough already, or when it is not to be kept at all. An HTTP/2 connection only gives up its stream.
    pub fn put(&self, connection: BackendConnection) {
        if let BackendConnection::Http1(connection) = connection {
            self.put_http1(connection);
        }
    }

    /// [`IdleConnections::put`] for HTTP/1.
    pub fn put_http1(&self, mut connection: Http1Connection) {
        if !connection.is_clean() || connection.keep.most == 0 {
            return;
        }
        connection.park();
        let now = Instant::now();
        let mut inner = self.lock();
        let stack = inner.stacks.entry(connection.key).or_default();
        if stack.http1.len() < connection.keep.most {
            stack.http1.push(Parked { connection, since: now });
        }
        if inner.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            inner.sweep(now);
        }
    }

    /// Drops what has been idle for too long.
    pub fn sweep(&self) {
        self.lock().sweep(Instant::now());
    }

    /// How many HTTP/1 connections are idle and how many HTTP/2 connections are open.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        let sum = |size: fn(&Stack) -> usize| inner.stacks.values().map(size).sum();
        (sum(|stack| stack.http1.len()), sum(|stack| stack.http2.len()))
    }

    /// The warmest live HTTP/1 connection; dead and expired ones met on the way are dropped.
    pub(super) fn take_http1(&self, key: KeyId) -> Option<Http1Connection> {
        let now = Instant::now();
        let mut inner = self.lock();
        let stack = &mut inner.stacks.get_mut(&key)?.http1;
        while let Some(mut parked) = stack.pop() {
            if now.saturating_duration_since(parked.since) >= parked.connection.keep.timeout {
                // Everything below is older still.
                stack.clear();
                return None;
            }
            if parked.connection.stream.is_idle_and_open() {
                return Some(parked.connection);
            }
        }
        None
    }

    /// An open HTTP/2 connection with room for a stream.
    pub(super) fn take_http2(&self, key: KeyId) -> Option<Http2Connection> {
        let mut inner = self.lock();
        let stack = &mut inner.stacks.get_mut(&key)?.http2;
        stack.retain(|shared| !shared.sender.is_closed());
        let has_room = |shared: &&mut Shared| shared.streams.load(Ordering::Relaxed) < STREAMS_PER_CONNECTION;
        let shared = stack.iter_mut().find(has_room)?;
        shared.used = Instant::now();
        Some(Http2Connection::new(shared.sender.clone(), Arc::clone(&shared.streams), None))
    }

    /// Shares a new HTTP/2 connection; returns the first handle on it.
    pub(super) fn share_http2(
        &self,
        key: KeyId,
        keep: Keep,
        sender: SendRequest<RequestBody>,
        took: Duration,
    ) -> Http2Connection {
        let streams = Arc::default();
        let connection = Http2Connection::new(sender.clone(), Arc::clone(&streams), Some(took));
        let mut inner = self.lock();
        let now = Instant::now();
        let stack = inner.stacks.entry(key).or_default();
        if stack.http2.len() < keep.most.max(1) {
            stack.http2.push(Shared { sender, streams, used: now, keep });
        }
        connection
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.stacks.retain(|_, stack| {
            stack.http1.retain(|parked| now.saturating_duration_since(parked.since) < parked.connection.keep.timeout);
            stack.http2.retain_mut(|shared| {
                if shared.streams.load(Ordering::Relaxed) > 0 {
                    shared.used = now;
                }
                !shared.sender.is_closed() && now.saturating_duration_since(shared.used) < shared.keep.timeout
            });
            !stack.http1.is_empty() || !stack.http2.is_empty()
        });
    }
}

/// How often everything is looked through. Coarse: an expired connection is never *used*, whatever this is.
const SWEEP: Duration = Duration::from_secs(1);

/// Streams on one HTTP/2 connection before another is opened; the usual bound of servers is 100 or more.
const STREAMS_PER_CONNECTION: usize = 100;

/// The keys are small numbers that we hand out ourselves; nobody can choose them to collide.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // hashbrown takes its control byte from the top bits, so spread the number over the word.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
