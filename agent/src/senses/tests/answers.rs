//! What servers answer: content and headers, certificates, gRPC health. The servers are made here.

use std::sync::Arc;

use prunella_model::time::format_span;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;
use tonic_health::ServingStatus;

use super::*;

/// An authority and a certificate that it signed for `name`, with this many seconds of life from now on.
struct Authority {
    pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    fn new(name: &str, seconds: i64) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(30);
        params.not_after = now + time::Duration::seconds(seconds);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        Self { pem: ca.pem(), config: Arc::new(config) }
    }

    /// Answers every connection over TLS.
    async fn serve(&self, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0u8; 1024];
                if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        address
    }
}

const PAGE: &str = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nAge: 12\r\nX-Cache: HIT\r\nTransfer-Encoding: chunked\r\n\r\n\
                    7\r\nall is \r\n4\r\nwell\r\n0\r\n\r\n";

#[tokio::test]
async fn content_and_headers_are_held_against_what_is_expected() {
    let good = http(
        PAGE,
        "expect_text = \"all is well\"\nexpect_headers = { x-cache = \"hit\", cache-control = \"max-age\" }",
    )
    .await;
    assert_eq!(good.status, Status::Up, "{good:?}");
    let why = async |more: &str| match http(PAGE, more).await.finding {
        Finding::BadAnswer { code: Some(200), why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why("expect_text = \"ill\"").await, "its text does not contain \"ill\"");
    assert_eq!(why("expect_headers = { x-cache = \"MISS\" }").await, "header x-cache is \"HIT\"; expected \"MISS\"");
    assert_eq!(why("expect_headers = { etag = \"\" }").await, "there is no header etag; expected \"\"");
    let slow = http(PAGE, "slow = \"0s\"").await;
    assert!(
        matches!(slow.finding, Finding::Checked { level: Level::Warning, .. }) && slow.status == Status::Up,
        "{slow:?}"
    );
    let huge = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nends early";
    assert_eq!(http(huge, "expect_text = \"early\"").await.status, Status::Down);
}

#[tokio::test]
async fn the_age_of_a_cached_answer_is_measured() {
    let address = server(PAGE).await;
    let dir = tempfile::tempdir().unwrap();
    let keys =
        format!("[[target.probe]]\nkind = \"http\"\nurl = \"http://{address}/health?x=1\"\nexpect_text = \"well\"");
    let mut lab = Lab::new(dir.path(), &keys).await;
    let age = lab.senses.full().series.iter().find(|it| it.metric.as_str() == "http.age_seconds").unwrap().number;
    let value = timeout(SOON, async {
        loop {
            if let Sensed::Measured { samples, .. } = lab.seen.recv().await.unwrap()
                && let Some(sample) = samples.iter().find(|it| it.series == age)
            {
                return sample.value;
            }
        }
    });
    assert!((value.await.unwrap() - 12.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn https_answers_count_only_with_a_certificate_that_is_trusted() {
    let authority = Authority::new("localhost", 86_400);
    let address = authority.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    let port = address.port();
    let look = async |host: &str, more: &str| {
        let keys = format!(
            "[[target.probe]]\nkind = \"http\"\nurl = \"https://{host}:{port}/\"\ntimeout = \"5s\"\ninterval = \"1d\"\n{more}"
        );
        Lab::new(dir.path(), &keys).await.next("http").await
    };
    assert_eq!(look("localhost", "ca_file = \"ca.pem\"").await.status, Status::Up);
    assert_eq!(look("localhost", "ca_file = \"ca.pem\"\nexpect_text = \"ok\"").await.status, Status::Up);
    let other = look("127.0.0.1", "ca_file = \"ca.pem\"").await;
    assert!(matches!(&other.finding, Finding::BadAnswer { why, .. } if why.contains("certificate")), "{other:?}");
    let none = look("localhost", "ca_file = \"none.pem\"").await;
    assert!(matches!(&none.finding, Finding::ProbeBroken { why } if why.contains("none.pem")), "{none:?}");
}

async fn certificate(seconds: i64, more: &str) -> (Status, Finding) {
    let authority = Authority::new("shop.example", seconds);
    let address = authority.serve("").await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    let keys = format!(
        "[[target.probe]]\nkind = \"certificate\"\naddress = \"{address}\"\ninterval = \"1d\"\n{}",
        if more.is_empty() { "server_name = \"shop.example\"\nca_file = \"ca.pem\"" } else { more }
    );
    let seen = Lab::new(dir.path(), &keys).await.next("certificate").await;
    (seen.status, seen.finding)
}

#[tokio::test]
async fn certificates_are_judged_by_end_name_and_chain() {
    const DAY: i64 = 86_400;
    let said = |level, text: &str| Finding::Checked { level, text: text.to_owned() };
    let level = |it: (Status, Finding)| match it.1 {
        Finding::Checked { level, text } => (it.0, level, text),
        other => panic!("{other:?}"),
    };
    assert_eq!(certificate(90 * DAY + 60, "").await, (Status::Up, said(Level::Good, "its certificate ends in 90d")));
    let (status, warned, text) = level(certificate(9 * DAY + 60, "").await);
    assert_eq!((status, warned, text.as_str()), (Status::Up, Level::Warning, "its certificate ends in 9d"));
    assert_eq!(level(certificate(DAY, "").await).1, Level::Critical);
    let (status, ended, text) = level(certificate(-2 * 3_600 - 60, "").await);
    assert_eq!((status, ended), (Status::Down, Level::Critical));
    assert_eq!(text, format!("its certificate ended {} ago", format_span(Duration::from_secs(7_200))));
    let name = level(certificate(90 * DAY, "server_name = \"other.example\"\nca_file = \"ca.pem\"").await);
    assert_eq!(name.2, "its certificate is not for other.example");
    let chain = level(certificate(90 * DAY, "server_name = \"shop.example\"").await);
    assert!(chain.1 == Level::Critical && chain.2.contains("no trusted root"), "{chain:?}");
    let own = level(certificate(90 * DAY, "server_name = \"shop.example\"\nchain = false").await);
    assert_eq!(own.1, Level::Good, "{own:?}");
    let name = level(certificate(90 * DAY, "server_name = \"other.example\"\nchain = false").await);
    assert_eq!(name.2, "its certificate is not for other.example");
}

#[tokio::test]
async fn whoever_cannot_be_reached_tells_nothing_of_its_certificate() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let keys = |address: SocketAddr| {
        format!("[[target.probe]]\nkind = \"certificate\"\naddress = \"{address}\"\nchain = false\ntimeout = \"300ms\"")
    };
    let seen = Lab::new(dir.path(), &keys(free)).await.next("certificate").await;
    assert!(seen.status == Status::Unknown && matches!(seen.finding, Finding::Unreachable { .. }), "{seen:?}");
    let plain = server("HTTP/1.1 400 Bad\r\n\r\n").await;
    let seen = Lab::new(dir.path(), &keys(plain)).await.next("certificate").await;
    assert_eq!(seen.status, Status::Unknown, "{seen:?}");
}

#[tokio::test]
async fn grpc_servers_are_asked_how_they_are() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("shop.v1.Cart", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let dir = tempfile::tempdir().unwrap();
    let keys = |service: &str| {
        format!(
            "[[target.probe]]\nkind = \"grpc\"\naddress = \"{address}\"\nservice = \"{service}\"\ntimeout = \"5s\"\ninterval = \"1d\""
        )
    };
    let mut lab = Lab::new(dir.path(), &keys("shop.v1.Cart")).await;
    assert!(matches!(lab.next("grpc").await.finding, Finding::Answered { .. }));
    reporter.set_service_status("shop.v1.Cart", ServingStatus::NotServing).await;
    lab.senses.probe_now(None);
    let seen = lab.next("grpc").await;
    assert!(seen.status == Status::Down && matches!(seen.finding, Finding::BadAnswer { .. }), "{seen:?}");
    let strange = Lab::new(dir.path(), &keys("shop.v1.Nothing")).await.next("grpc").await;
    assert!(
        matches!(&strange.finding, Finding::ProbeBroken { why } if why.contains("knows no service")),
        "{strange:?}"
    );
    let plain = server("HTTP/1.1 400 Bad\r\n\r\n").await;
    let keys = format!("[[target.probe]]\nkind = \"grpc\"\naddress = \"{plain}\"\ntimeout = \"2s\"");
    let seen = Lab::new(dir.path(), &keys).await.next("grpc").await;
    assert_eq!(seen.status, Status::Down, "{seen:?}");
}
