//! The streams of one HTTP/2 connection, run by the connection's own task.
//!
//! A stream runs in a lane: a future that takes request after request, as an HTTP/1 connection does, so that what is
//! costly in one (its exchange, its timer, the future itself) is made once for as many streams as run at a time. hyper
//! spawns a task for each stream instead, which was measured to cost more than the stream's frames (24 November 2026).
//!
//! [`Turns`] says who is to be polled: each lane and the connection itself wake through it, so one poll of the task
//! serves everyone who has something to do, and what they send leaves together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

/// Who is to be polled.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lanes: Vec<usize>,
    /// The task that polls all of them.
    task: Option<Waker>,
    /// It is at it: whoever wakes now is seen without waking the task.
    is_running: bool,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task begins to poll.
    pub(super) fn begin(&self, task: &Waker) {
        let mut state = self.lock();
        state.is_running = true;
        if !state.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// Takes the lanes that are to be polled.
    pub(super) fn take(&self, into: &mut Vec<usize>) {
        std::mem::swap(&mut self.lock().lanes, into);
    }

    /// The task stops polling. Is there somebody whom it has not polled?
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        state.is_running = false;
        !state.lanes.is_empty()
    }
}

/// One whose turn comes when it is woken.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    index: usize,
    is_queued: AtomicBool,
}

impl Turn {
    pub(super) fn new(turns: &Arc<Turns>, index: usize) -> Arc<Self> {
        Arc::new(Self { turns: Arc::clone(turns), index, is_queued: AtomicBool::new(false) })
    }

    /// Its turn has come: it is queued again when it is woken from here on.
    pub(super) fn taken(&self) {
        self.is_queued.store(false, Ordering::Release);
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.turns.lock();
        state.lanes.push(self.index);
        if let (false, Some(task)) = (state.is_running, &state.task) {
            task.wake_by_ref();
        }
    }
}

/// One stream as it was accepted.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: http::Request<RecvStream>,
    /// Streams on this connection before this one.
    pub(super) earlier: u64,
}

/// Where a lane's next stream is put, and its handle to answer is kept.
#[derive(Debug, Default)]
pub(super) struct Seat(Mutex<Seated>);

#[derive(Debug, Default)]
struct Seated {
    stream: Option<Stream>,
    respond: Option<SendResponse<Bytes>>,
    /// The lane waits for a stream.
    is_free: bool,
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Seated> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next stream, for the lane.
    pub(super) async fn next(&self) -> Stream {
        // Whoever puts one here gives the lane its turn.
        std::future::poll_fn(|_| {
            let mut seated = self.lock();
            match seated.stream.take() {
                Some(stream) => {
                    seated.is_free = false;
                    Poll::Ready(stream)
                }
                None => {
                    seated.is_free = true;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// An informational head, for clients: 100, 103. One that cannot be sent is not missed.
    pub(super) fn inform(&self, response: http::Response<()>) {
        if let Some(respond) = &mut self.lock().respond {
            respond.send_informational(response).ok();
        }
    }

    /// Has the client reset the stream (or gone)? Wakes the lane when it does.
    pub(super) fn is_reset(&self, cx: &mut Context<'_>) -> bool {
        self.lock().respond.as_mut().is_some_and(|respond| respond.poll_reset(cx).is_ready())
    }

    /// The handle to answer with.
    pub(super) fn take_respond(&self) -> Option<SendResponse<Bytes>> {
        self.lock().respond.take()
    }
}

/// A lane's future.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Lane {
    seat: Arc<Seat>,
    turn: Arc<Turn>,
    waker: Waker,
    /// `None`: given up; made anew when it is needed.
    running: Option<Running>,
    is_busy: bool,
}

/// All lanes of a connection.
pub(super) struct Lanes {
    turns: Arc<Turns>,
    lanes: Vec<Lane>,
    /// Lanes without a stream; the last one is the warmest.
    free: Vec<usize>,
    busy: usize,
    total: u64,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("busy", &self.busy).field("total", &self.total).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(super) fn new(turns: &Arc<Turns>) -> Self {
        Self { turns: Arc::clone(turns), lanes: Vec::new(), free: Vec::new(), busy: 0, total: 0 }
    }

    /// Streams that run.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Streams that there have been.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Gives a stream a lane; `make` makes the future of one.
    pub(super) fn start<F>(
        &mut self,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        make: impl FnOnce(Arc<Seat>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let index = self.free.pop().unwrap_or_else(|| {
            let turn = Turn::new(&self.turns, self.lanes.len());
            let waker = Waker::from(Arc::clone(&turn));
            self.lanes.push(Lane { seat: Arc::default(), turn, waker, running: None, is_busy: false });
            self.lanes.len() - 1
        });
        let Some(lane) = self.lanes.get_mut(index) else { return };
        *lane.seat.lock() =
            Seated { stream: Some(Stream { request, earlier: self.total }), respond: Some(respond), is_free: false };
        if lane.running.is_none() {
            lane.running = Some(Box::pin(make(Arc::clone(&lane.seat))));
        }
        lane.is_busy = true;
        self.busy += 1;
        self.total += 1;
        lane.turn.wake_by_ref();
    }

    /// Polls a lane. A panic ends its stream, which is reset, and no other.
    pub(super) fn poll(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        lane.turn.taken();
        let Some(running) = &mut lane.running else { return };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&lane.waker))));
        let has_ended = !matches!(polled, Ok(Poll::Pending));
        if has_ended {
            lane.running = None;
            *lane.seat.lock() = Seated::default();
        }
        if lane.is_busy && (has_ended || lane.seat.lock().is_free) {
            lane.is_busy = false;
            self.busy -= 1;
            if self.free.len() < SPARE_LANES {
                self.free.push(index);
            } else {
                // Cold ones lie at the bottom.
                lane.running = None;
                self.free.insert(0, index);
            }
        }
    }

    /// Gives up the memory of lanes that no stream uses.
    pub(super) fn shrink(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.is_busy) {
            lane.running = None;
        }
    }
}

/// Lanes that stay warm while a connection is in use.
const SPARE_LANES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Counted(std::sync::atomic::AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_turn_is_queued_once_and_wakes_a_task_that_rests() {
        let task = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&task));
        let turns = Arc::new(Turns::default());
        let (first, second) = (Turn::new(&turns, 1), Turn::new(&turns, 2));
        turns.begin(&waker);
        Waker::from(Arc::clone(&first)).wake();
        Waker::from(Arc::clone(&first)).wake();
        assert!(turns.end());
        // Woken while the task was at it: it has been told by `end`.
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
        Waker::from(Arc::clone(&second)).wake();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        turns.begin(&waker);
        let mut batch = Vec::new();
        turns.take(&mut batch);
        assert_eq!(batch, [1, 2]);
        first.taken();
        Waker::from(first).wake();
        Waker::from(second).wake();
        batch.clear();
        turns.take(&mut batch);
        // The second has not had its turn yet.
        assert_eq!(batch, [1]);
        assert!(!turns.end());
    }
}
