//! Peers that are not ours: nginx that verifies client certificates, keys as openssl writes them. Where they are not
//! installed the tests say so and pass.

use std::process::{Child, Command, Stdio};

use portcullis::certificate::load;
use portcullis::config::model::{ClientCertificatePolicy, KeyPair, ListenerTls, PoolId};
use portcullis::tls::server::ServerTls;
use portcullis::tls::ticket::Tickets;
use portcullis::upstream::{BackendConnection, IdleConnections};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{self, Lab, backend, build, deadline, pool, probe, until};

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn is_installed(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// nginx that demands a client certificate of the lab's authority.
fn nginx(lab: &Lab, address: std::net::SocketAddr, certificate: &KeyPair) -> Running {
    let directory = lab.directory.path().display();
    let text = format!(
        "daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;\n\
         fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;\n\
         server {{ listen {address} ssl; http2 on; ssl_certificate {}; ssl_certificate_key {};\n\
         ssl_client_certificate {}; ssl_verify_client on;\n\
         location / {{ return 200 \"hello $ssl_client_s_dn\"; }} }} }}\n",
        certificate.certificate.display(),
        certificate.key.display(),
        lab.root().display(),
    );
    // Older releases know `listen … http2` only.
    let path = lab.write("nginx.conf", &text);
    let check = Command::new("nginx").arg("-t").arg("-c").arg(&path).stderr(Stdio::null()).status();
    if !check.is_ok_and(|status| status.success()) {
        lab.write("nginx.conf", &text.replace("ssl; http2 on;", "ssl http2;"));
    }
    let child = Command::new("nginx").arg("-c").arg(&path).stderr(Stdio::null()).spawn().expect("nginx");
    Running(child)
}

#[tokio::test]
async fn nginx_takes_our_client_certificate_and_refuses_us_without() {
    if !is_installed("nginx", "-v") {
        return;
    }
    let lab = Lab::new();
    let certificate = lab.server("nginx", &["backend.example"]);
    let address = lab::closed_port().await;
    let _nginx = nginx(&lab, address, &certificate);
    let mut tls = lab.pool_tls();
    tls.client_certificate = Some(lab.client("client"));
    let mut with = pool("with", vec![backend(address)], Some(tls));
    with.probe = Some(probe());
    with.probe.as_mut().unwrap().expected_body = Some("hello CN=gateway".to_owned());
    let mut over_http2 = with.clone();
    over_http2.name = "over http2".to_owned();
    over_http2.http2 = true;
    let mut without = pool("without", vec![backend(address)], Some(lab.pool_tls()));
    without.probe = Some(probe());
    let upstreams = build(vec![with, over_http2, without]);
    let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let probing = upstreams.clone();
    lab::spawn(async move { probing.run_probes(async { drop(stopped.await) }, |_| {}).await });
    let pools = upstreams.pools();
    until("nginx to be healthy", || pools[..2].iter().all(|pool| pool.pick(0, &[]).is_ok())).await;
    let refused = || {
        let report = pools[2].backends()[0].last_probe()?;
        report.outcome.clone().err().map(|failure| failure.to_string())
    };
    let expected = "status: received 400, expected 200-399";
    until("nginx to refuse us", || refused().is_some_and(|message| message == expected)).await;

    // Two requests over one connection.
    let idle = IdleConnections::new();
    let pool = upstreams.pool(PoolId(0));
    for round in 0..2 {
        let lease = pool.pick(0, &[]).expect("nginx");
        let mut connection = pool.connection(&idle, &lease, deadline()).await.expect("a connection");
        assert_eq!(connection.is_reused(), round > 0);
        let BackendConnection::Http1(http1) = &mut connection else { panic!("HTTP/1 expected") };
        http1.stream.write_all(b"GET / HTTP/1.1\r\nHost: backend.example\r\n\r\n").await.expect("written");
        http1.stream.flush().await.expect("flushed");
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello CN=gateway") {
            let count = http1.stream.read_buf(&mut answer).await.expect("an answer");
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        }
        idle.put(connection);
    }
}

#[test]
fn keys_are_read_in_every_form_that_openssl_writes() {
    if !is_installed("openssl", "version") {
        return;
    }
    let lab = Lab::new();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(lab.directory.path()).args(arguments.split(' ')).stderr(Stdio::null());
        assert!(command.status().expect("openssl").success(), "openssl {arguments}");
    };
    openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key");
    openssl("pkey -in rsa.key -traditional -out pkcs1.key");
    openssl("pkey -in ec.key -traditional -out sec1.key");
    openssl("pkey -in rsa.key -aes256 -passout pass:secret -out encrypted.key");
    openssl("pkey -in rsa.key -traditional -aes256 -passout pass:secret -out encrypted1.key");
    for kind in ["rsa", "ec"] {
        openssl(&format!(
            "req -x509 -new -key {kind}.key -subj /CN=a -addext subjectAltName=DNS:a.example -days 90 -out {kind}.pem"
        ));
    }
    let pair = |certificate: &str, key: &str| KeyPair { certificate: lab.path(certificate), key: lab.path(key) };
    let build = |certificates: Vec<KeyPair>| {
        let settings = ListenerTls { certificates, tls12: true, client_certificate: ClientCertificatePolicy::None };
        ServerTls::build(&settings, false, &Tickets::new(), "test")
    };
    for key in ["rsa.key", "pkcs1.key"] {
        build(vec![pair("rsa.pem", key)]).unwrap_or_else(|problems| panic!("{key}: {problems}"));
    }
    for key in ["ec.key", "sec1.key"] {
        build(vec![pair("ec.pem", key)]).unwrap_or_else(|problems| panic!("{key}: {problems}"));
    }
    build(vec![pair("ec.pem", "ec.key"), pair("rsa.pem", "rsa.key")]).expect("both kinds for one name");
    for key in ["encrypted.key", "encrypted1.key"] {
        let problem = load::private_key(&lab.path(key)).expect_err("encrypted");
        assert!(problem.to_string().contains("is encrypted"), "{problem}");
    }
    build(vec![pair("ec.pem", "rsa.key")]).expect_err("not a pair");
}
