//! What survives a new configuration, and what must not.

use std::sync::Arc;

use portcullis::config::model::{ClientCertificatePolicy, PoolId};
use portcullis::upstream::{IdleConnections, Upstreams};

use crate::lab::{self, Lab, Manner, backend, build, configuration, deadline, ok, pool, probe, serve, until};

#[tokio::test]
async fn health_counts_and_connections_survive_and_new_members_wait_for_their_probe() {
    let lab = Lab::new();
    let certificate = lab.server("backend", &["backend.example"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::None, false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut settings = pool("api", vec![backend(server.address)], Some(lab.pool_tls()));
    settings.probe = Some(probe());
    let first = build(vec![settings.clone()]);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let probing = first.clone();
    lab::spawn(async move { probing.run_probes(async { drop(stopped.await) }, |_| {}).await });
    until("health", || first.pool(PoolId(0)).pick(0, &[]).is_ok()).await;
    drop(stop);
    let idle = IdleConnections::new();
    let lease = first.pool(PoolId(0)).pick(0, &[]).expect("a backend");
    let connection = first.pool(PoolId(0)).connection(&idle, &lease, deadline()).await.expect("a connection");
    idle.put(connection);

    // Nothing changed: the very same pool.
    let same = Upstreams::build(&configuration(vec![settings.clone()]), Some(&first)).expect("built");
    assert!(Arc::ptr_eq(first.pool(PoolId(0)), same.pool(PoolId(0))));

    // A member is added and the pool moved behind another: health and connections of the old member stay.
    settings.backends.push(backend(lab::closed_port().await));
    let other = pool("other", Vec::new(), None);
    let grown = Upstreams::build(&configuration(vec![other, settings.clone()]), Some(&same)).expect("built");
    let members = grown.pool(PoolId(1));
    assert!(members.backends()[0].is_available() && !members.backends()[1].is_available());
    assert_eq!(members.backends()[0].running(), 1, "the request that began before is still counted");
    let next = members.pick(0, &[]).expect("the old member");
    assert!(members.idle_connection(&idle, &next).is_some());
    drop((lease, next));
    assert_eq!(members.running(), 0);

    // Its client certificate changes: connections made under the old identity are not used.
    let mut tls = lab.pool_tls();
    tls.client_certificate = Some(lab.client("client"));
    settings.tls = Some(tls.clone());
    let idle = IdleConnections::new();
    let lease = members.pick(0, &[]).expect("a backend");
    idle.put(members.connection(&idle, &lease, deadline()).await.expect("a connection"));
    let changed = Upstreams::build(&configuration(vec![settings.clone()]), Some(&grown)).expect("built");
    let lease = changed.pool(PoolId(0)).pick(0, &[]).expect("still healthy");
    assert!(changed.pool(PoolId(0)).idle_connection(&idle, &lease).is_none());

    // The same files with other content count as a change, and equal content does not.
    let again = Upstreams::build(&configuration(vec![settings.clone()]), Some(&changed)).expect("built");
    assert!(Arc::ptr_eq(changed.pool(PoolId(0)), again.pool(PoolId(0))));
    let renewed = lab.authority.client("gateway").expect("a certificate");
    let files = tls.client_certificate.expect("files");
    std::fs::write(&files.certificate, &renewed.certificate_pem).expect("written");
    std::fs::write(&files.key, &renewed.key_pem).expect("written");
    let renewed = Upstreams::build(&configuration(vec![settings]), Some(&again)).expect("built");
    assert!(!Arc::ptr_eq(again.pool(PoolId(0)), renewed.pool(PoolId(0))));
    assert!(renewed.pool(PoolId(0)).pick(0, &[]).is_ok());
}

#[test]
fn every_problem_of_the_files_is_reported_at_once() {
    let lab = Lab::new();
    let mut tls = lab.pool_tls();
    tls.roots = Some(lab.path("absent.pem"));
    let mut pair = lab.client("client");
    pair.key = lab.server("other", &["a.example"]).key;
    tls.client_certificate = Some(pair);
    let mut second = lab.pool_tls();
    let mut encrypted = lab.client("encrypted");
    encrypted.key =
        lab.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    second.client_certificate = Some(encrypted);
    let mut third = lab.pool_tls();
    third.client_certificate = tls.client_certificate.clone();
    let pools = vec![
        pool("one", Vec::new(), Some(tls)),
        pool("two", Vec::new(), Some(second)),
        pool("three", Vec::new(), Some(third)),
    ];
    let problems = Upstreams::build(&configuration(pools), None).expect_err("problems").to_string();
    assert!(problems.contains("pool `one`: tls: roots: cannot read `"), "{problems}");
    assert!(problems.contains("pool `two`: tls: client_certificate: the private key in `"), "{problems}");
    assert!(problems.contains("is encrypted") && problems.contains("openssl pkey -in"), "{problems}");
    assert!(problems.contains("pool `three`: tls: the key `"), "{problems}");
    assert!(problems.contains("does not belong to the certificate"), "{problems}");
}
