//! A client's connection in HTTP/2: h2 has the frames and the flow of windows, this drives it and its streams.
//!
//! One task does all of it, as for HTTP/1: it polls the streams whose turn it is (`lanes`), then the connection, then
//! sends what both have left to write (`gather`). h2 is used without hyper's server: that one spawns a task for each
//! stream, cannot send informational heads, and has no deadline for a client that opens no window. Limits against
//! rapid reset, continuation floods and header bombs are set in [`builder`].

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use h2::{Ping, PingPong};

use super::gather::Gathered;
use super::identify::ClientFacts;
use super::lanes::{Lanes, Turn, Turns};
use super::stream::serve_streams;
use super::wire::{ClientStream, Timer};
use super::{Drain, Snapshot, Worker};
use crate::config::model::{ClientTimeouts, Listener};

/// Serves an HTTP/2 connection to its end.
pub(super) async fn serve_http2(
    stream: ClientStream,
    client: Arc<ClientFacts>,
    worker: Arc<Worker>,
    snapshot: Arc<Snapshot>,
    drain: Drain,
    mut timer: Timer,
) {
    let Some(listener) = snapshot.listener(client.listener) else { return };
    let timeouts = listener.timeouts;
    let stream = Gathered::new(stream);
    timer.arm(timeouts.head);
    let builder = builder(listener);
    // Streams take the one in force; the connection shall not keep an older one, with its rules, alive.
    drop(snapshot);
    let connection = {
        let mut handshake = pin!(builder.handshake(stream.clone()));
        poll_fn(|cx| {
            let polled = handshake.as_mut().poll(cx);
            if let Poll::Ready(Err(_)) = stream.poll_send(cx) {
                return Poll::Ready(None);
            }
            match polled {
                Poll::Ready(result) => Poll::Ready(result.ok()),
                Poll::Pending => timer.poll(cx).map(|()| None),
            }
        })
        .await
    };
    let Some(mut connection) = connection else { return };
    let turns = Arc::new(Turns::default());
    let turn = Turn::new(&turns, CONNECTION);
    let mut session = Session {
        pings: connection.ping_pong().map(Pings::new),
        connection,
        stream,
        lanes: Lanes::new(&turns),
        waker: Waker::from(Arc::clone(&turn)),
        turn,
        turns,
        batch: Vec::new(),
        client,
        worker,
        snapshot: Weak::new(),
        timer,
        timeouts,
        end: End::Open,
        was_idle: false,
    };
    session.waker.wake_by_ref();
    poll_fn(|cx| session.poll(&drain, cx)).await;
}

fn builder(listener: &Listener) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(listener.limits.h2_streams)
        // Rapid reset (CVE-2023-44487) and its like: more streams than this reset by the client before we took them,
        // or by us for the client's errors, end the connection.
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        // A header bomb and a flood of CONTINUATION frames both meet this bound; h2 derives the frames' from it.
        .max_header_list_size(u32::try_from(listener.limits.head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(16 * 1024)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    builder
}

/// How far the end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Idle for a while: what its streams used has been given back.
    Resting,
    /// The client has been told to go; what runs is finished.
    Ending,
}

struct Session {
    connection: Connection<Gathered<ClientStream>, Bytes>,
    stream: Gathered<ClientStream>,
    lanes: Lanes,
    turns: Arc<Turns>,
    turn: Arc<Turn>,
    waker: Waker,
    batch: Vec<usize>,
    pings: Option<Pings>,
    client: Arc<ClientFacts>,
    worker: Arc<Worker>,
    /// The one that the last stream began with.
    snapshot: Weak<Snapshot>,
    timer: Timer,
    timeouts: ClientTimeouts,
    end: End,
    was_idle: bool,
}

impl Session {
    fn poll(&mut self, drain: &Drain, cx: &mut Context<'_>) -> Poll<()> {
        if drain.is_draining() && self.end != End::Ending {
            self.go_away();
        }
        let is_alive = self.pings.as_mut().is_none_or(|pings| pings.poll(&self.waker, cx));
        if !is_alive {
            return Poll::Ready(());
        }
        self.turns.begin(cx.waker());
        let mut has_ended = false;
        // Each round can only follow from the one before: a stream's frames, a window's update. More than a few mean
        // that the task has used up its share, and that others should run.
        for _ in 0..ROUNDS {
            self.turns.take(&mut self.batch);
            if self.batch.is_empty() || has_ended {
                break;
            }
            let mut is_connection_due = false;
            for index in self.batch.drain(..) {
                match index {
                    CONNECTION => is_connection_due = true,
                    index => self.lanes.poll(index),
                }
            }
            // After the streams, so that what they have sent leaves with this poll.
            if is_connection_due {
                self.turn.taken();
                has_ended = self.poll_connection().is_ready();
            }
            // With tokio's budget spent nothing is ready any more, however often it is asked.
            if !tokio::task::coop::has_budget_remaining() {
                break;
            }
        }
        if self.turns.end() {
            cx.waker().wake_by_ref();
        }
        match self.stream.poll_send(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            _ if has_ended => return Poll::Ready(()),
            _ => {}
        }
        self.poll_idle(cx)
    }

    /// Moves the connection on, and gives its new streams their lanes.
    fn poll_connection(&mut self) -> Poll<()> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            match ready!(self.connection.poll_accept(&mut cx)) {
                Some(Ok((request, respond))) => {
                    let snapshot = self.worker.shared.snapshot.load();
                    if self.snapshot.as_ptr() != Arc::as_ptr(&snapshot) {
                        // Lanes without a stream have one that was in force before.
                        self.lanes.shrink();
                        self.snapshot = Arc::downgrade(&snapshot);
                    }
                    let (worker, client) = (&self.worker, &self.client);
                    self.lanes.start(request, respond, |seat| {
                        serve_streams(seat, Arc::clone(worker), Arc::clone(client), Arc::clone(&snapshot))
                    });
                    self.end = if self.end == End::Resting { End::Open } else { self.end };
                }
                // It has ended, or broke.
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
    }

    /// A connection without a stream has an end, whatever frames trickle in; before the first stream, a near one.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.lanes.busy() == 0;
        if is_idle && !self.was_idle {
            let patience = match (self.end, self.lanes.total()) {
                (End::Ending, _) => GOODBYE,
                (_, 0) => self.timeouts.head,
                _ => self.timeouts.idle.min(REST),
            };
            self.timer.arm(patience);
        }
        self.was_idle = is_idle;
        if !is_idle {
            return Poll::Pending;
        }
        ready!(self.timer.poll(cx));
        match self.end {
            End::Open if self.lanes.total() > 0 && self.timeouts.idle > REST => {
                self.end = End::Resting;
                self.lanes.shrink();
                self.timer.arm(self.timeouts.idle - REST);
            }
            End::Open | End::Resting => self.go_away(),
            End::Ending => return Poll::Ready(()),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// No further streams; those that run are finished.
    fn go_away(&mut self) {
        self.end = End::Ending;
        self.connection.graceful_shutdown();
        self.timer.arm(GOODBYE);
        self.waker.wake_by_ref();
    }
}

/// Pings notice a peer that is gone without a word, which matters while a stream has nothing to say for long.
struct Pings {
    pings: PingPong,
    timer: Timer,
    is_asked: bool,
}

impl Pings {
    fn new(pings: PingPong) -> Self {
        let mut timer = Timer::new();
        timer.arm(PING_INTERVAL);
        Self { pings, timer, is_asked: false }
    }

    /// `false`: the peer is gone.
    fn poll(&mut self, connection: &Waker, cx: &mut Context<'_>) -> bool {
        if self.is_asked {
            match self.pings.poll_pong(&mut Context::from_waker(connection)) {
                Poll::Ready(Ok(_)) => {
                    self.is_asked = false;
                    self.timer.arm(PING_INTERVAL);
                }
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => {}
            }
        }
        if self.timer.poll(cx).is_pending() {
            return true;
        }
        if self.is_asked {
            return false;
        }
        self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
        self.timer.arm(PING_TIMEOUT);
        connection.wake_by_ref();
        // Registers for the new deadline.
        self.timer.poll(cx).is_pending()
    }
}

/// The connection's own turn; lanes are numbered from 0.
const CONNECTION: usize = usize::MAX;
/// How often a poll of the task goes around.
const ROUNDS: usize = 8;
/// Streams that a client may reset before we took them.
const PENDING_RESETS: usize = 20;
/// Streams that we may reset for a client's errors.
const LOCAL_RESETS: usize = 256;
/// Windows: what a stream and a connection may have in flight towards us.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a stream may have queued towards the client.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// After this long without a stream a connection's memory is given back: most idle ones stay idle.
const REST: Duration = Duration::from_secs(2);
/// How long an idle connection that was told to go may take.
const GOODBYE: Duration = Duration::from_secs(2);
