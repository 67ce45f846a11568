//! Picking a backend, taking a kept connection and putting it back must not allocate, and must stay correct and quick
//! when workers do it at the same time.
#![cfg(feature = "gateway")]

#[path = "upstream/lab.rs"]
#[expect(dead_code, reason = "this test needs only a part of the lab")]
mod lab;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use portcullis::config::model::{Balance, PoolId};
use portcullis::upstream::{BackendConnection, IdleConnections};

use lab::{Manner, backend, build, deadline, ok, pool, serve};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

#[expect(unsafe_code, reason = "the only way to count allocations; forwards to the system's allocator unchanged")]
// SAFETY: every call is passed on to `System` with the same arguments, so its guarantees hold.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[tokio::test]
async fn a_pick_a_checkout_and_a_return_do_not_allocate() {
    for balance in [Balance::RoundRobin, Balance::LeastRequest] {
        let server = serve(None, Manner::Answer(ok())).await;
        let other = serve(None, Manner::Answer(ok())).await;
        let mut settings = pool("api", vec![backend(server.address), backend(other.address)], None);
        settings.balance = balance;
        let upstreams = build(vec![settings]);
        let pool = upstreams.pool(PoolId(0));
        let idle = IdleConnections::new();
        // Fill the stacks of both backends.
        for tried in [Vec::new(), vec![portcullis::upstream::BackendIndex(0)]] {
            for exclude in [&tried[..], &[]] {
                let lease = pool.pick(0, exclude).expect("a backend");
                idle.put(pool.fresh_connection(&idle, &lease, deadline()).await.expect("a connection"));
            }
        }
        let lease = pool.pick(0, &[portcullis::upstream::BackendIndex(0)]).expect("the second");
        idle.put(pool.fresh_connection(&idle, &lease, deadline()).await.expect("a connection"));
        drop(lease);
        let before = ALLOCATIONS.get();
        let start = tokio::time::Instant::now();
        const ROUNDS: u32 = 10_000;
        for round in 0..ROUNDS {
            let random = u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let lease = pool.pick(random, &[]).expect("a backend");
            let connection = pool.connection(&idle, &lease, deadline()).await.expect("at hand");
            assert!(matches!(&connection, BackendConnection::Http1(http1) if http1.is_reused()));
            lease.succeeded();
            idle.put(connection);
        }
        let took = start.elapsed() / ROUNDS;
        assert_eq!(ALLOCATIONS.get() - before, 0, "{balance:?}");
        println!("{balance:?}: {} ns for pick, checkout and return", took.as_nanos());
        assert!(took < Duration::from_millis(1));
    }
}

#[test]
fn workers_at_the_same_time_share_evenly_and_leave_nothing_running() {
    const WORKERS: usize = 4;
    const PICKS: usize = 3_000;
    let backends: Vec<_> = (1..=3).map(|port| backend(([127, 0, 0, 1], port).into())).collect();
    let upstreams = build(vec![pool("api", backends, None)]);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let pool = upstreams.pool(PoolId(0));
                for _ in 0..PICKS {
                    pool.pick(0, &[]).expect("a backend").succeeded();
                }
            });
        }
    });
    let pool = upstreams.pool(PoolId(0));
    assert_eq!(pool.running(), 0);
    for backend in pool.backends() {
        assert_eq!(backend.counters().requests, (WORKERS * PICKS / 3) as u64);
    }
}
