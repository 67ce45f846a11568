//! The listener's side of TLS, seen by real clients.

use std::sync::Arc;

use portcullis::certificate::authority::{Authority, Usage, Validity};
use portcullis::config::model::{ClientCertificatePolicy, KeyPair, ListenerTls};
use portcullis::tls::provider;
use portcullis::tls::server::ServerTls;
use portcullis::tls::ticket::Tickets;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use crate::lab::Lab;

fn client(
    lab: &Lab,
    certificate: Option<&KeyPair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in portcullis::certificate::load::certificates(&lab.root()).expect("roots") {
        roots.add(root).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).expect("versions");
    let builder = builder.with_root_certificates(roots);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = portcullis::certificate::load::certificates(&files.certificate).expect("a chain");
            let key = portcullis::certificate::load::private_key(&files.key).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    }
}

/// A handshake in memory, with what follows it (tickets, alerts).
fn handshake(
    config: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(config.clone(), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    for _ in 0..6 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory");
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets()?;
        }
    }
    Ok((client, server))
}

fn names(client: &ClientConnection) -> Vec<String> {
    let leaf = client.peer_certificates().expect("certificates").first().expect("a leaf");
    portcullis::certificate::Leaf::parse(leaf).expect("X.509").dns_names
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn build(settings: &ListenerTls, tickets: &Tickets) -> Arc<ServerConfig> {
    ServerTls::build(settings, true, tickets, "listener `https`").expect("a configuration").config
}

#[test]
fn certificates_follow_the_name_exact_before_wildcard_before_the_first() {
    let lab = Lab::new();
    let settings = ListenerTls {
        certificates: vec![
            lab.server("default", &["default.example"]),
            lab.server("wild", &["*.shop.example"]),
            lab.server("exact", &["api.shop.example"]),
        ],
        tls12: true,
        client_certificate: ClientCertificatePolicy::None,
    };
    let server = build(&settings, &Tickets::new());
    let mut config = client(&lab, None, BOTH);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for (asked, presented) in [
        ("api.shop.example", "api.shop.example"),
        ("API.Shop.Example", "api.shop.example"),
        ("www.shop.example", "*.shop.example"),
        ("default.example", "default.example"),
    ] {
        let (client, server) = handshake(&config, &server, asked).expect("a handshake");
        assert_eq!(names(&client), [presented]);
        assert_eq!(server.alpn_protocol(), Some(b"h2".as_slice()));
        let group = client.negotiated_key_exchange_group().expect("a group").name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    }
    // A wildcard covers one label, and an unknown name gets the first certificate, which the client then refuses.
    for asked in ["a.b.shop.example", "unknown.example"] {
        let refused = handshake(&config, &server, asked).expect_err("the default certificate does not fit");
        assert!(refused.to_string().contains("default.example"), "{refused}");
    }
}

#[test]
fn versions_are_as_configured() {
    let lab = Lab::new();
    let mut settings = lab.listener_tls(lab.server("a", &["a.example"]), ClientCertificatePolicy::None);
    let old = Arc::new(client(&lab, None, &[&rustls::version::TLS12]));
    handshake(&old, &build(&settings, &Tickets::new()), "a.example").expect("TLS 1.2");
    settings.tls12 = false;
    handshake(&old, &build(&settings, &Tickets::new()), "a.example").expect_err("no TLS 1.2");
}

#[test]
fn client_certificates_are_asked_for_demanded_and_verified() {
    let lab = Lab::new();
    let certificate = lab.server("a", &["a.example"]);
    let known = lab.client("known");
    let foreign_authority = Authority::new("Foreign", Validity::days(1)).expect("an authority");
    let foreign = lab.files("foreign", &foreign_authority.client("stranger").expect("a certificate"));
    let not_for_clients = lab.server("not-for-clients", &["x.example"]);
    let with = |files: Option<&KeyPair>| Arc::new(client(&lab, files, BOTH));
    let (nobody, known, foreign, misused) =
        (with(None), with(Some(&known)), with(Some(&foreign)), with(Some(&not_for_clients)));
    let tickets = Tickets::new();
    let required =
        build(&lab.listener_tls(certificate.clone(), ClientCertificatePolicy::Required(lab.root())), &tickets);
    let optional = build(&lab.listener_tls(certificate, ClientCertificatePolicy::Optional(lab.root())), &tickets);
    let (_, server) = handshake(&known, &required, "a.example").expect("accepted");
    assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
    handshake(&nobody, &required, "a.example").expect_err("demanded");
    handshake(&foreign, &required, "a.example").expect_err("unknown authority");
    handshake(&misused, &required, "a.example").expect_err("not a client's certificate");
    handshake(&known, &optional, "a.example").expect("accepted");
    let (_, server) = handshake(&nobody, &optional, "a.example").expect("not demanded");
    assert!(server.peer_certificates().is_none());
    handshake(&foreign, &optional, "a.example").expect_err("shown, so verified");
}

#[test]
fn sessions_resume_across_reloads_and_never_across_client_certificate_policies() {
    let lab = Lab::new();
    let certificate = lab.server("a", &["a.example"]);
    let known = lab.client("known");
    let open = lab.listener_tls(certificate.clone(), ClientCertificatePolicy::None);
    let demanding = lab.listener_tls(certificate.clone(), ClientCertificatePolicy::Required(lab.root()));
    let asking = lab.listener_tls(certificate, ClientCertificatePolicy::Optional(lab.root()));
    for versions in [&[&rustls::version::TLS13] as &[_], &[&rustls::version::TLS12]] {
        let tickets = Tickets::new();
        let config = Arc::new(client(&lab, Some(&known), versions));
        let kind = |server: &Arc<ServerConfig>| {
            let (client, _) = handshake(&config, server, "a.example").expect("a handshake");
            client.handshake_kind().expect("complete")
        };
        let resumed = |kind: HandshakeKind| kind == HandshakeKind::Resumed;
        let before = build(&asking, &tickets);
        assert!(!resumed(kind(&before)));
        assert!(resumed(kind(&before)), "{versions:?}");
        let after = build(&asking, &tickets);
        assert!(resumed(kind(&after)), "a reload keeps the ticket keys");
        let stricter = build(&demanding, &tickets);
        assert!(!resumed(kind(&stricter)), "another policy does not take the ticket");
        assert!(resumed(kind(&stricter)));
        let none = build(&open, &tickets);
        assert!(!resumed(kind(&none)));
        assert!(resumed(kind(&none)));
        assert!(!resumed(kind(&after)), "nor a ticket that was had without a certificate");
    }
}

#[test]
fn files_are_checked_when_they_are_loaded() {
    let lab = Lab::new();
    let good = lab.server("good", &["a.example"]);
    let problems = |certificates: Vec<KeyPair>| {
        let settings = ListenerTls { certificates, tls12: true, client_certificate: ClientCertificatePolicy::None };
        match ServerTls::build(&settings, false, &Tickets::new(), "listener `https`") {
            Ok(tls) => tls.warnings.to_string(),
            Err(problems) => problems.to_string(),
        }
    };
    assert_eq!(problems(vec![good.clone()]), "");
    let other = lab.server("other", &["b.example"]);
    let mixed = KeyPair { certificate: good.certificate.clone(), key: other.key.clone() };
    let text = problems(vec![mixed, KeyPair { certificate: lab.path("absent"), key: lab.path("absent too") }]);
    assert!(text.contains("certificates[0]: the key `") && text.contains("does not belong"), "{text}");
    assert!(text.contains("certificates[1]: cannot read `"), "{text}");
    assert_eq!(text.matches("error:").count(), 3, "all of them at once: {text}");

    let root = lab.authority.certificate_pem();
    let leaf = std::fs::read_to_string(&good.certificate).expect("PEM");
    let pair = |name: &str, text: &str| KeyPair { certificate: lab.write(name, text), key: good.key.clone() };
    let reversed = problems(vec![pair("reversed.pem", &format!("{root}{leaf}"))]);
    assert!(reversed.contains("is an authority, not a server's own"), "{reversed}");
    assert_eq!(problems(vec![pair("full.pem", &format!("{leaf}{root}"))]), "");
    let stranger = std::fs::read_to_string(&other.certificate).expect("PEM");
    let broken = problems(vec![pair("broken.pem", &format!("{leaf}{stranger}"))]);
    assert!(broken.contains("out of order"), "{broken}");
    let empty = problems(vec![pair("empty.pem", "nothing here\n")]);
    assert!(empty.contains("contains no certificate") && empty.contains("openssl"), "{empty}");

    let now = std::time::SystemTime::now();
    let validity = Validity { from: now, until: now + std::time::Duration::from_secs(5 * 86_400 + 43_200) };
    let issued = lab.authority.issue("soon", &["a.example"], Usage::Server, validity).expect("a certificate");
    let soon = problems(vec![lab.files("soon", &issued)]);
    assert!(soon.contains("warning:") && soon.contains("expires in 5 days"), "{soon}");
    let expired = problems(vec![lab.expired("expired", &["a.example"])]);
    assert!(expired.contains("warning:") && expired.contains("expired 3 days ago"), "{expired}");
}

#[test]
fn an_authority_can_be_loaded_again_and_its_keys_are_private() {
    let lab = Lab::new();
    let files = lab.authority.as_issued().write(lab.directory.path(), "again").expect("files");
    let again = Authority::load(&files.certificate, &files.key).expect("loaded");
    let issued = again.server(&["a.example", "*.a.example", "127.0.0.1", "::1"]).expect("a certificate");
    let pair = lab.files("issued", &issued);
    let server = build(&lab.listener_tls(pair, ClientCertificatePolicy::None), &Tickets::new());
    let config = Arc::new(client(&lab, None, BOTH));
    for name in ["a.example", "b.a.example", "127.0.0.1", "::1"] {
        handshake(&config, &server, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&files.key).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
