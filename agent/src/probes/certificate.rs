//! The certificate that a TLS server shows.
//!
//! The handshake is carried on whatever the certificate is worth, so that its end can be told even of one that nobody
//! trusts; what it is worth is asked besides. Nothing is sent over the connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prunella_model::observation::{Finding, Level, Status};
use prunella_model::time::format_span;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::{Instant, timeout_at};

use super::kit::tls::{self, Roots};
use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::CertificateSubject;

const DAY: i64 = 86_400;

/// See the module.
pub(super) struct Certificate {
    subject: CertificateSubject,
    timeout: Duration,
    roots: Arc<Roots>,
    days_left: Option<Series>,
}

/// What a server showed, and what it is worth.
#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    objection: Option<Error>,
}

/// Remembers what is shown, and accepts it.
#[derive(Debug)]
struct Witness {
    /// None when the chain does not matter.
    judge: Option<Arc<WebPkiServerVerifier>>,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
    seen: Mutex<Seen>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.judge {
            Some(judge) => {
                judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(|_| ())
            }
            None => ParsedCertificate::try_from(end_entity).and_then(|it| verify_server_name(&it, server_name)),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain = std::iter::once(end_entity).chain(intermediates).map(|it| it.clone().into_owned()).collect();
        seen.objection = verdict.err();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Certificate {
    pub(super) fn new(
        subject: &CertificateSubject,
        timeout: Duration,
        roots: &Arc<Roots>,
        days_left: Option<Series>,
    ) -> Self {
        Self { subject: subject.clone(), timeout, roots: Arc::clone(roots), days_left }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let deadline = Instant::now() + self.timeout;
        // Whoever cannot be reached tells nothing of its certificate; other probes tell that it is down.
        let nothing = |finding| Look { status: Status::Unknown, finding };
        let witness = match self.witness() {
            Ok(witness) => Arc::new(witness),
            Err(why) => return Look::broken(why),
        };
        let stream = match timeout_at(deadline, connect(&self.subject.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return nothing(not_connected(&error).finding),
            Err(_) => return nothing(Finding::NoAnswer { waited: self.timeout }),
        };
        let config = match config(&witness) {
            Ok(config) => config,
            Err(error) => return Look::broken(error.to_string()),
        };
        let shaken = timeout_at(deadline, tls::connect(config, self.subject.server_name.clone(), stream)).await;
        let seen = std::mem::take(&mut *witness.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if seen.chain.is_empty() {
            return nothing(match shaken {
                Err(_) => Finding::NoAnswer { waited: self.timeout },
                Ok(Err(error)) => Finding::BadAnswer { code: None, why: tls::objection(&error) },
                Ok(Ok(_)) => Finding::BadAnswer { code: None, why: "it shows no certificate".to_owned() },
            });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.judge(&seen, i64::try_from(now.as_secs()).unwrap_or(i64::MAX), board)
    }

    fn witness(&self) -> Result<Witness, String> {
        let algorithms = tls::provider().signature_verification_algorithms;
        let judge = if self.subject.chain {
            let roots = self.roots.get(self.subject.ca_file.as_deref())?;
            let judge = WebPkiServerVerifier::builder_with_provider(roots, tls::provider()).build();
            Some(judge.map_err(|error| error.to_string())?)
        } else {
            None
        };
        Ok(Witness { judge, algorithms, seen: Mutex::default() })
    }

    fn judge(&self, seen: &Seen, now: i64, board: &Board) -> Look {
        let mut first_end: Option<(i64, String)> = None;
        for (at, certificate) in seen.chain.iter().enumerate() {
            let Ok((_, it)) = x509_parser::parse_x509_certificate(certificate) else {
                return Look::checked(Level::Critical, "its certificate cannot be read");
            };
            let (from, until) = (it.validity().not_before.timestamp(), it.validity().not_after.timestamp());
            if from > now {
                return Look::checked(Level::Critical, format!("its certificate begins only in {}", about(from - now)));
            }
            let whose =
                if at == 0 { "its certificate".to_owned() } else { format!("the intermediate {}", it.subject()) };
            if first_end.as_ref().is_none_or(|(first, _)| until < *first) {
                first_end = Some((until, whose));
            }
        }
        let Some((end, whose)) = first_end else { return Look::broken("no certificate was seen") };
        let left = end.saturating_sub(now);
        if let Some(series) = self.days_left {
            #[expect(clippy::cast_precision_loss, reason = "a certificate's life is far shorter than 2^53 seconds")]
            board.measure(series, (left as f64 / DAY as f64 * 10.0).round() / 10.0);
        }
        if left <= 0 {
            return Look::checked(Level::Critical, format!("{whose} ended {} ago", about(-left)));
        }
        if let Some(error) = &seen.objection {
            return Look::checked(Level::Critical, objection(error, &self.subject.server_name.to_str()));
        }
        let within = |span: Duration| u64::try_from(left).is_ok_and(|left| left <= span.as_secs());
        let level = match (within(self.subject.critical), within(self.subject.warn)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Good,
        };
        Look::checked(level, format!("{whose} ends in {}", about(left)))
    }
}

fn config(witness: &Arc<Witness>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(witness) as _;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn objection(error: &Error, name: &str) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its chain leads to no trusted root (an intermediate may be missing)".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is not for {name}"),
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// A span in its largest unit, rounded down.
pub(super) fn about(seconds: i64) -> String {
    let seconds = seconds.max(0).unsigned_abs();
    let whole = [86_400, 3_600, 60].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    format_span(Duration::from_secs(seconds / whole * whole))
}
