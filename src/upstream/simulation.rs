//! One pool through a long random day, on a virtual clock: backends die and revive, probes and requests notice, and at
//! every moment what the pool says must agree with a plain re-statement of the rules. The seed is printed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, advance};

use super::balance::BackendIndex;
use super::health::Health;
use super::pool::{FailureKind, Lease, NoBackend, Pool};
use super::probe::{ProbeFailure, ProbeReport};
use super::tests_random::Random;
use super::upstreams::Upstreams;
use crate::config::model::{
    self, Backend, Balance, Configuration, Ejection, Flavour, LogSink, Logs, PoolId, PoolTimeouts, Probe, Retry,
    Runtime,
};

fn configuration(random: &mut Random) -> Configuration {
    let count = 1 + random.below(6) as u16;
    let backend =
        |random: &mut Random, port| Backend { host: "127.0.0.1".to_owned(), port, weight: 1 + random.below(4) as u32 };
    let second = Duration::from_secs(1);
    let pool = model::Pool {
        name: "api".to_owned(),
        backends: (1..=count).map(|port| backend(random, port)).collect(),
        balance: if random.below(2) == 0 { Balance::RoundRobin } else { Balance::LeastRequest },
        tls: None,
        http2: false,
        probe: Some(Probe {
            path: "/".to_owned(),
            host: None,
            interval: second,
            timeout: second,
            healthy_threshold: 1 + random.below(3) as u32,
            unhealthy_threshold: 1 + random.below(3) as u32,
            expected_status: vec![(200, 299)],
            expected_body: None,
            jitter_percent: 0,
        }),
        ejection: Some(Ejection {
            consecutive_failures: 1 + random.below(4) as u32,
            base_duration: second * (1 + random.below(10) as u32),
            maximum_percent: random.below(101) as u8,
        }),
        timeouts: PoolTimeouts { connect: second, response: second, read: second, idle: second },
        retry: Retry { attempts: 1, budget_percent: 20, buffer_bytes: 0 },
        idle_connections: 1,
    };
    Configuration {
        listeners: Vec::new(),
        sites: Vec::new(),
        pools: vec![pool],
        policies: Vec::new(),
        admin: None,
        logs: Logs { access: LogSink::Off, firewall: LogSink::Off, rule_messages: LogSink::Off, queue: 1 },
        runtime: Runtime { workers: 1, flavour: Flavour::PerCore, drain: second },
    }
}

/// What the world is really like.
struct World {
    alive: Vec<bool>,
    running: Vec<Lease>,
}

fn check(pool: &Arc<Pool>, world: &World) {
    let running: usize = pool.backends().iter().map(super::pool::Backend::running).sum();
    assert_eq!(running, world.running.len(), "running requests are exactly the leases held");
    let ejected = pool.backends().iter().filter(|backend| backend.is_ejected()).count();
    let percent = usize::from(pool.settings().ejection.as_ref().unwrap().maximum_percent);
    let most = (pool.backends().len() * percent / 100).max(usize::from(percent > 0 && pool.backends().len() > 1));
    assert!(ejected <= most, "{ejected} ejected, {most} allowed");
}

fn probe(pool: &Arc<Pool>, index: BackendIndex, is_alive: bool) {
    let failed = || ProbeFailure::Status { received: 500, expected: "200-299".to_owned() };
    let outcome = if is_alive { Ok(200) } else { Err(failed()) };
    let report = ProbeReport { at: SystemTime::UNIX_EPOCH, took: Duration::ZERO, outcome };
    pool.observe_probe(index, report, Instant::now());
}

fn request(pool: &Arc<Pool>, world: &mut World, random: &mut Random) {
    let mut tried = Vec::new();
    loop {
        match pool.pick(random.next(), &tried) {
            Ok(lease) => {
                let backend = pool.backend(lease.index()).expect("of this pool");
                assert!(backend.is_available(), "only available backends are picked");
                assert!(!tried.contains(&lease.index()), "a tried backend is not picked again");
                if world.alive[lease.index().as_usize()] {
                    lease.succeeded();
                    world.running.push(lease);
                    return;
                }
                lease.failed(FailureKind::Connect);
                tried.push(lease.index());
            }
            Err(none) => {
                let untried = |(at, backend): (usize, &super::pool::Backend)| {
                    backend.is_available() && !tried.contains(&BackendIndex(at as u16))
                };
                assert!(!pool.backends().iter().enumerate().any(untried), "somebody was there: {none}");
                let healthy = pool.backends().iter().filter(|backend| backend.health() == Health::Healthy).count();
                match &none {
                    NoBackend::AllUnhealthy(_) => assert_eq!(healthy, 0),
                    NoBackend::AllEjected(_) => assert_eq!(healthy, pool.backends().len()),
                    NoBackend::AllUnavailable(_) => assert!(healthy > 0 && healthy < pool.backends().len()),
                    NoBackend::AllTried => assert!(!tried.is_empty()),
                    NoBackend::EmptyPool => panic!("it has members"),
                }
                return;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_keeps_its_rules_through_a_random_day() {
    let mut random = Random::seeded("pool simulation");
    for _ in 0..40 {
        let configuration = configuration(&mut random);
        let upstreams = Upstreams::build(&configuration, None).expect("built");
        let mut pool = upstreams.pool(PoolId(0)).clone();
        let mut upstreams = upstreams;
        let mut world = World { alive: vec![true; pool.backends().len()], running: Vec::new() };
        for _ in 0..400 {
            match random.below(10) {
                0 => {
                    let at = random.below(world.alive.len() as u64) as usize;
                    world.alive[at] = random.below(3) > 0;
                }
                1..=3 => {
                    for (at, alive) in world.alive.iter().enumerate() {
                        probe(&pool, BackendIndex(at as u16), *alive);
                    }
                }
                4 => advance(Duration::from_millis(random.below(8_000))).await,
                5 => world.running.retain(|_| random.below(2) == 0),
                6 => {
                    // A reload that changes the pool: health and running requests go on, ejections are forgotten.
                    let mut configuration = configuration.clone();
                    configuration.pools[0].idle_connections = 1 + random.below(2) as usize;
                    let healthy: Vec<_> = pool.backends().iter().map(super::pool::Backend::health).collect();
                    upstreams = Upstreams::build(&configuration, Some(&upstreams)).expect("built");
                    pool = upstreams.pool(PoolId(0)).clone();
                    let still: Vec<_> = pool.backends().iter().map(super::pool::Backend::health).collect();
                    assert_eq!(healthy, still);
                }
                _ => request(&pool, &mut world, &mut random),
            }
            check(&pool, &world);
        }
        // When everyone is well for long enough, everyone takes traffic again.
        world.alive.fill(true);
        advance(Duration::from_secs(100_000)).await;
        for _ in 0..4 {
            for at in 0..world.alive.len() {
                probe(&pool, BackendIndex(at as u16), true);
            }
        }
        request(&pool, &mut world, &mut random);
        assert!(pool.backends().iter().all(super::pool::Backend::is_available));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_noticed_by_the_pool_before_reaches_the_one_after() {
    let mut random = Random::seeded("reload race");
    let mut configuration = configuration(&mut random);
    let before = Upstreams::build(&configuration, None).expect("built");
    configuration.pools[0].idle_connections += 1;
    let after = Upstreams::build(&configuration, Some(&before)).expect("built");
    let (before, after) = (before.pool(PoolId(0)), after.pool(PoolId(0)));
    probe(before, BackendIndex(0), true);
    probe(after, BackendIndex(0), true);
    let rotation: Vec<u16> = (0..4).map(|_| after.pick(0, &[]).expect("the first").index().0).collect();
    assert_eq!(rotation, [0; 4]);
    for _ in 0..3 {
        probe(before, BackendIndex(0), false);
    }
    probe(after, BackendIndex(0), false);
    assert!(matches!(after.pick(0, &[]), Err(NoBackend::AllUnhealthy(_))));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_loses_its_probe_takes_everyone_and_the_one_before_is_left_alone() {
    let mut random = Random::seeded("probe removed");
    let mut configuration = configuration(&mut random);
    let before = Upstreams::build(&configuration, None).expect("built");
    configuration.pools[0].probe = None;
    let after = Upstreams::build(&configuration, Some(&before)).expect("built");
    assert!(after.pool(PoolId(0)).backends().iter().all(super::pool::Backend::is_available));
    assert!(!before.pool(PoolId(0)).backends().iter().any(super::pool::Backend::is_available));
}
