//! Inspection of long bodies beside the workers.
//!
//! A phase runs to its end without a pause, and over two megabytes of JSON that is long: every other connection of the
//! worker would wait for it. So a phase with more than [`INSPECTION_INLINE_BYTES`] to look at goes to a thread
//! of tokio's blocking pool, with a scratch of its own, while the request's task waits and the worker serves others.
//!
//! What must stay true:
//! - Bounded: as many run at a time as there are workers; who comes later waits, in order, with nothing but the body
//!   that it holds anyway. Scratches are made when they are first needed, as many as that, and kept.
//! - No wait without an end: after [`INSPECTION_PATIENCE`] the policy's `on_fault` decides. The engine cannot be
//!   stopped in the middle of a phase, so the transaction is given up, and its thread comes free when the phase ends.
//! - One exit: of a request whose client leaves meanwhile the whole account ([`Exchange::record`]) is handed to the
//!   thread, which has the transaction, and closes it when the phase is over.
//!
//! Threads of our own with a queue were left: they would have to be started, named and ended, for the same two threads
//! and the same bound. Yielding inside the engine was left too: it would have to be able to stop within any regex.
//!
//! [`INSPECTION_INLINE_BYTES`]: crate::limits::INSPECTION_INLINE_BYTES
//! [`INSPECTION_PATIENCE`]: crate::limits::INSPECTION_PATIENCE

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Worker;
use super::fault::{Fault, FaultKind};
use super::request::Exchange;
use crate::runtime::clock;
use crate::waf::{CollectionStore, Program, Scratch, Transaction, Verdict};

/// The phase that runs aside.
pub(super) type Work = fn(&mut Transaction, &Program, &mut Scratch) -> Verdict;

/// The places where inspection runs beside the workers; one per process.
#[derive(Debug)]
pub struct Aside {
    places: Arc<Semaphore>,
    /// Of places that are free.
    scratches: Mutex<Vec<Scratch>>,
    patience: Duration,
    collections: Arc<dyn CollectionStore>,
}

impl Aside {
    /// With so many places, and so much patience ([`crate::limits::INSPECTION_PATIENCE`], but for tests).
    #[must_use]
    pub fn new(places: usize, patience: Duration, collections: &Arc<dyn CollectionStore>) -> Self {
        let places = Arc::new(Semaphore::new(places.max(1)));
        Self { places, scratches: Mutex::default(), patience, collections: Arc::clone(collections) }
    }

    fn scratches(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_scratch(&self) -> Scratch {
        Scratch::with_collections(Arc::clone(&self.collections))
    }
}

/// What the request's task and the thread tell each other.
#[derive(Debug, Default)]
pub(super) struct Errand(Mutex<State>);

#[derive(Debug)]
enum State {
    /// The phase is under way, the task waits.
    Running(Option<Waker>),
    /// The phase is over.
    Done(Box<Done>),
    /// The phase is under way, the client is gone: the account is closed when it is over.
    Left(Box<Exchange>),
    /// The phase is under way, nobody waits for it any more.
    GivenUp,
    /// Nothing is left to be told.
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Running(None)
    }
}

/// What comes back from the thread.
#[derive(Debug)]
pub(super) struct Done {
    transaction: Box<Transaction>,
    /// `None`: the engine panicked.
    verdict: Option<Verdict>,
    spent: Duration,
}

impl Errand {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Box<Done>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Done(done) => Poll::Ready(done),
            _ => {
                *state = State::Running(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Nobody waits any more. What came back at the last moment is dropped.
    fn give_up(&self) {
        *self.lock() = State::GivenUp;
    }

    /// Hands an account over to be closed by the thread; gives it back when the thread is done.
    fn leave(&self, exchange: Box<Exchange>) -> Option<(Box<Exchange>, Box<Done>)> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Done(done) => Some((exchange, done)),
            _ => {
                *state = State::Left(exchange);
                None
            }
        }
    }
}

/// One phase on its way to a thread.
struct Job {
    transaction: Box<Transaction>,
    program: Arc<Program>,
    work: Work,
    errand: Arc<Errand>,
    worker: Arc<Worker>,
    /// The place is free again when the scratch is back.
    _place: OwnedSemaphorePermit,
}

impl Job {
    fn run(self) {
        let Self { mut transaction, program, work, errand, worker, _place } = self;
        let aside = &worker.shared.aside;
        let kept = aside.scratches().pop();
        let mut scratch = kept.unwrap_or_else(|| aside.new_scratch());
        let metrics = worker.shared.recorder.metrics();
        metrics.begun_aside.increment();
        metrics.running_aside.increment();
        let before = clock::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| work(&mut transaction, &program, &mut scratch))).ok();
        if verdict.is_none() {
            // What a panic left behind is not to be trusted.
            scratch = aside.new_scratch();
        }
        let spent = clock::now().saturating_duration_since(before);
        metrics.running_aside.decrement();
        let done = Box::new(Done { transaction, verdict, spent });
        let mut state = errand.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Running(waker) => {
                *state = State::Done(done);
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            State::Left(mut exchange) => {
                drop(state);
                exchange.close_left(*done, &mut scratch);
            }
            State::GivenUp | State::Done(_) | State::Over => drop(state),
        }
        aside.scratches().push(scratch);
    }
}

impl Exchange {
    /// Runs a phase aside. `None`: nothing is inspected (any more).
    pub(super) async fn engine_aside(&mut self, work: Work) -> Result<Option<Verdict>, Fault> {
        let aside = &self.worker.shared.aside;
        self.timer.arm(aside.patience);
        let places = Arc::clone(&aside.places);
        let mut place = pin!(places.acquire_owned());
        let timer = &mut self.timer;
        let place = poll_fn(|cx| match place.as_mut().poll(cx) {
            Poll::Ready(place) => Poll::Ready(place.ok()),
            Poll::Pending => timer.poll(cx).map(|()| None),
        })
        .await;
        let Some(place) = place else { return self.inspection_is_late() };
        let program = self.policy().and_then(|policy| policy.program.clone());
        let (Some(program), Some(inspection)) = (program, self.inspection.as_mut()) else { return Ok(None) };
        let Some(transaction) = inspection.transaction.take() else { return Ok(None) };
        let errand = Arc::new(Errand::default());
        inspection.errand = Some(Arc::clone(&errand));
        let worker = Arc::clone(&self.worker);
        let job = Job { transaction, program, work, errand: Arc::clone(&errand), worker, _place: place };
        tokio::task::spawn_blocking(move || job.run());
        let timer = &mut self.timer;
        let done = poll_fn(|cx| match errand.poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => timer.poll(cx).map(|()| None),
        })
        .await;
        // The phase has ended just now.
        self.now = clock::now();
        match done {
            Some(done) => self.take_back(*done),
            None => {
                errand.give_up();
                self.inspection_is_late()
            }
        }
    }

    fn inspection_is_late(&mut self) -> Result<Option<Verdict>, Fault> {
        let detail = "the inspection of the body did not end in time";
        self.engine_failed(Fault::new(FaultKind::InspectionTimeout, detail))
    }

    /// The phase is over, the task was there to see it.
    fn take_back(&mut self, done: Done) -> Result<Option<Verdict>, Fault> {
        let Done { transaction, verdict, spent } = done;
        self.count_engine_time(spent);
        if let Some(inspection) = &mut self.inspection {
            inspection.transaction = Some(transaction);
            inspection.errand = None;
        }
        match verdict {
            Some(verdict) => Ok(Some(verdict)),
            None => self.engine_panicked(),
        }
    }

    /// Is the transaction with a thread? Then what is to be recorded goes there too, and `self` is as new.
    pub(super) fn leave_aside(&mut self) -> bool {
        let errand = self.inspection.as_mut().and_then(|inspection| inspection.errand.take());
        let Some(errand) = errand else { return false };
        let (worker, client) = (Arc::clone(&self.worker), Arc::clone(&self.client));
        let mut next = Self::new(worker, client, Arc::clone(&self.snapshot));
        next.earlier = self.earlier + 1;
        let mut left = Box::new(std::mem::replace(self, next));
        left.is_open = true;
        if let Some((mut exchange, done)) = errand.leave(left) {
            let worker = Arc::clone(&self.worker);
            exchange.close_left(*done, &mut worker.scratch());
        }
        true
    }

    /// Closes the account of a request whose client is gone.
    fn close_left(&mut self, done: Done, scratch: &mut Scratch) {
        // The client is gone: what the policy says of a failed engine concerns nobody.
        if let Ok(Some(verdict)) = self.take_back(done) {
            self.note_verdict(&verdict);
        }
        self.record_with(scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_with_threads_may_be() {
        fn is_send<T: Send>() {}
        is_send::<Job>();
        is_send::<Errand>();
    }
}
