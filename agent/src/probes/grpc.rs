//! A gRPC server's own health service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prunella_model::observation::Finding;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use super::kit::tls::{self, Roots};
use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::GrpcSubject;

/// See the module.
pub(super) struct Grpc {
    subject: GrpcSubject,
    timeout: Duration,
    roots: Arc<Roots>,
    latency: Option<Series>,
}

/// A connection, plain or not.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Grpc {
    pub(super) fn new(subject: &GrpcSubject, timeout: Duration, roots: &Arc<Roots>, latency: Option<Series>) -> Self {
        Self { subject: subject.clone(), timeout, roots: Arc::clone(roots), latency }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let begun = Instant::now();
        let looked = timeout(self.timeout, Box::pin(self.ask())).await;
        let latency = begun.elapsed();
        let answer = match looked {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(look)) => return look,
            Ok(Ok(answer)) => answer,
        };
        if let Some(series) = self.latency {
            board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
        }
        let bad = |why: String| Look::down(Finding::BadAnswer { code: None, why });
        match answer {
            Ok(ServingStatus::Serving) => Look::up(Finding::Answered { latency }),
            Ok(ServingStatus::NotServing) => bad("it says that it does not serve".to_owned()),
            Ok(ServingStatus::Unknown | ServingStatus::ServiceUnknown) => bad("it does not know how it is".to_owned()),
            Err(status) => match status.code() {
                Code::Unimplemented => Look::broken("the server has no grpc.health.v1.Health service"),
                Code::NotFound => Look::broken(format!("the server knows no service {:?}", self.subject.service)),
                Code::PermissionDenied | Code::Unauthenticated => {
                    Look::broken(format!("the server does not let the probe ask: {}", status.message()))
                }
                code => bad(format!("{code}: {}", status.message())),
            },
        }
    }

    /// Asks over a connection of its own. The outer error is about the connection.
    async fn ask(&self) -> Result<Result<ServingStatus, Status>, Look> {
        let stream = connect(&self.subject.address).await.map_err(|error| not_connected(&error))?;
        let wire: Box<dyn Wire> = if self.subject.tls {
            let host = self.subject.address.host();
            let name = ServerName::try_from(host.clone())
                .map_err(|_| Look::broken(format!("{host:?} is not a name that a certificate can have")))?;
            let roots = self.roots.get(self.subject.ca_file.as_deref());
            let config = roots.and_then(|roots| tls::client(roots, b"h2")).map_err(Look::broken)?;
            let shaken = tls::connect(config, name, stream).await;
            Box::new(
                shaken.map_err(|error| Look::down(Finding::BadAnswer { code: None, why: tls::objection(&error) }))?,
            )
        } else {
            Box::new(stream)
        };
        let channel = channel(&self.subject.address.host(), wire)
            .await
            .map_err(|error| Look::down(Finding::BadAnswer { code: None, why: crate::driver::causes(&error) }))?;
        let request = HealthCheckRequest { service: self.subject.service.clone() };
        let answer = HealthClient::new(channel).check(request).await;
        Ok(answer.map(|it| it.into_inner().status()))
    }
}

/// A channel over a connection that is there already; it is not opened again.
async fn channel(host: &str, wire: Box<dyn Wire>) -> Result<Channel, tonic::transport::Error> {
    let mut wire = Some(TokioIo::new(wire));
    let authority = if host.contains(':') { "localhost" } else { host };
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))?;
    let once = service_fn(move |_: Uri| {
        std::future::ready(wire.take().ok_or_else(|| io::Error::other("the connection was lost")))
    });
    endpoint.connect_with_connector(once).await
}
