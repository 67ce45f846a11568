//! Worker threads: one current-thread runtime each, or one work-stealing runtime for all.
//!
//! A worker owns its idle connections and scratch; it is told to serve a socket and does so until that listener
//! drains. A panic in a task ends that task: the runtime catches it, the hook counts it.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::clock;
use crate::config::model::{Flavour, Runtime};
use crate::gateway::{Drain, Shared, Worker, serve};
use crate::telemetry::log;

/// Idle connections to backends are looked over this often.
const SWEEP: Duration = Duration::from_secs(5);

/// A socket to serve.
#[derive(Debug)]
struct Serve {
    socket: TcpListener,
    slot: usize,
    drain: Drain,
}

/// All worker threads. Dropping it ends them at once.
#[derive(Debug)]
pub(super) struct Workers {
    senders: Vec<UnboundedSender<Serve>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads.
    pub(super) fn start(settings: Runtime, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let mut workers = Self { senders: Vec::new(), threads: Vec::new() };
        let runtimes = match settings.flavour {
            Flavour::PerCore => settings.workers,
            Flavour::Shared => 1,
        };
        for index in 0..runtimes {
            let runtime = match settings.flavour {
                Flavour::PerCore => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
                Flavour::Shared => tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(settings.workers)
                    .thread_name("worker")
                    .enable_all()
                    .build()?,
            };
            let (sender, receiver) = unbounded_channel();
            let worker = Arc::new(Worker::new(Arc::clone(shared), seed(index)));
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                runtime.block_on(work(receiver, worker));
                // What still runs has had its time; nothing here blocks.
                runtime.shutdown_background();
            })?;
            workers.senders.push(sender);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Sockets that a listener needs: one for each runtime.
    pub(super) fn sockets_per_listener(&self) -> usize {
        self.senders.len()
    }

    /// Gives each runtime its socket of a listener.
    pub(super) fn serve(&self, sockets: Vec<TcpListener>, slot: usize, drain: &Drain) {
        for (sender, socket) in self.senders.iter().zip(sockets) {
            if sender.send(Serve { socket, slot, drain: drain.clone() }).is_err() {
                log::error("worker", format_args!("a worker thread has ended; its connections are gone"));
            }
        }
    }

    /// Ends the threads and waits for them.
    pub(super) fn stop(self) {
        drop(self.senders);
        for thread in self.threads {
            if thread.join().is_err() {
                log::error("worker", format_args!("a worker thread panicked"));
            }
        }
    }
}

/// A worker's life: until its channel closes.
#[expect(clippy::disallowed_methods, reason = "runtime starts the tasks")]
async fn work(mut receiver: UnboundedReceiver<Serve>, worker: Arc<Worker>) {
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = receiver.recv() => {
                let Some(Serve { socket, slot, drain }) = next else { return };
                match tokio::net::TcpListener::from_std(socket) {
                    Ok(listener) => {
                        tokio::spawn(serve(listener, slot, Arc::clone(&worker), drain));
                    }
                    Err(error) => log::error("worker", format_args!("cannot serve a socket: {error}")),
                }
            }
            _ = sweep.tick() => worker.idle_connections().sweep(),
        }
    }
}

/// Different for every worker and every start.
fn seed(index: usize) -> u64 {
    let time = u64::try_from(clock::unix_now().as_nanos()).unwrap_or_default();
    let process = u64::from(std::process::id());
    (time ^ (process << 40)).wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
