//! The operator's way to a server: where it is, who is asking, and what to do when it does not answer.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use prunella_identity::{client_config, explain_tls, fleet_of_authority, token_client_config};
use prunella_model::FleetName;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_proto::control::v1::diagnostics_service_client::DiagnosticsServiceClient;
use prunella_proto::control::v1::event_service_client::EventServiceClient;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::health_service_client::HealthServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use prunella_proto::control::v1::learning_service_client::LearningServiceClient;
use prunella_proto::control::v1::notification_service_client::NotificationServiceClient;
use prunella_proto::control::v1::optimiser_service_client::OptimiserServiceClient;
use prunella_proto::control::v1::snapshot_service_client::SnapshotServiceClient;
use prunella_proto::dial::{DialError, DialOptions, dial, find_cause};
use serde::Deserialize;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::context;
use crate::{Common, EXIT_FAILURE, EXIT_USAGE, block_on};

/// No server answers.
pub const EXIT_UNREACHABLE: u8 = 3;
/// The server does not let this operator do it.
pub const EXIT_NOT_ALLOWED: u8 = 4;
/// There is no such host, target or incident.
pub const EXIT_NOT_FOUND: u8 = 5;

/// How long one question may take: a server that needs longer has a fault of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The largest answer that is read: a page of a thousand incidents with their records.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Where the server is and who asks. With `--dir` both are known.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Connection (instead of --dir)")]
pub struct Connection {
    /// The server's control address.
    #[arg(long, value_name = "HOST:PORT", env = "PRUNELLA_SERVER")]
    pub server: Option<String>,
    /// The certificate of the fleet's authority (tls/ca.pem).
    #[arg(long, value_name = "FILE", env = "PRUNELLA_CA")]
    pub ca: Option<PathBuf>,
    /// An operator's bearer token; better in the environment, where `ps` does not show it.
    #[arg(long, value_name = "TOKEN", env = "PRUNELLA_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// An operator's certificate.
    #[arg(long, value_name = "FILE", requires = "key", env = "PRUNELLA_CERT")]
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert", env = "PRUNELLA_KEY")]
    pub key: Option<PathBuf>,
    /// The fleet's name, when the authority's certificate does not tell.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub fleet: Option<FleetName>,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// No server answers.
    Unreachable(String),
    /// Not with these credentials.
    NotAllowed(String),
    /// There is no such thing.
    NotFound(String),
    /// The command line or the environment says something that cannot be.
    Usage(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// The exit code that scripts can tell it by.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable(_) => EXIT_UNREACHABLE,
            Self::NotAllowed(_) => EXIT_NOT_ALLOWED,
            Self::NotFound(_) => EXIT_NOT_FOUND,
            Self::Usage(_) => EXIT_USAGE,
            Self::Other(_) => EXIT_FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::NotAllowed(why) | Self::NotFound(why) | Self::Usage(why) => f.write_str(why),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(cause) = find_cause(&status) {
            return Self::Unreachable(cause.to_string());
        }
        let said = status.message().to_owned();
        match status.code() {
            Code::Unavailable => Self::Unreachable(format!("the server is not available: {said}")),
            Code::Unauthenticated => Self::NotAllowed(format!(
                "the server does not know who is asking: {said} (credentials come from --dir, --cert and --key, or PRUNELLA_TOKEN)"
            )),
            Code::PermissionDenied => Self::NotAllowed(said),
            Code::NotFound => Self::NotFound(said),
            Code::DeadlineExceeded | Code::Cancelled => Self::Other(anyhow::anyhow!(
                "the server did not answer within {} s; its log and `prunella status` say what it is busy with",
                ANSWER_WITHIN.as_secs()
            )),
            Code::Unimplemented => Self::Other(anyhow::anyhow!(
                "the server does not know this request ({said}); it may be older than this program"
            )),
            code => Self::Other(anyhow::anyhow!("{}", in_full(&status, code, said))),
        }
    }
}

/// What the server said, with each field that it objects to, and the reason by which to look it up.
fn in_full(status: &Status, code: Code, said: String) -> String {
    let mut text = if said.is_empty() { format!("the server answered {code:?}") } else { said };
    let details = status.get_error_details();
    if let Some(bad) = details.bad_request() {
        for it in &bad.field_violations {
            if !text.contains(&it.description) {
                text += &format!("\n  {}: {}", it.field, it.description);
            }
        }
    }
    if let Some(it) = details.error_info() {
        text += &format!(" [{}]", it.reason);
    }
    text
}

/// `addresses.json` of a fleet directory.
#[derive(Debug, Deserialize)]
struct Addresses {
    control: String,
}

/// Whoever asks, as every request says it.
#[derive(Debug, Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request.set_timeout(ANSWER_WITHIN);
        Ok(request)
    }
}

/// A channel on which every request says who asks.
pub type Authorised = InterceptedService<Channel, Bearer>;

/// A connected operator.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

impl Client {
    /// Connects with what the command line, the environment or the fleet directory say.
    ///
    /// # Errors
    /// A [`Failure`] that says what is missing, or why no server answers.
    pub async fn connect(common: &Common, args: &Connection) -> Result<Self, Failure> {
        let (dir, args) = context::resolve(common, args)?;
        let way = Way::find(dir.as_deref(), &args)?;
        let options = DialOptions { explain: explain_tls, ..DialOptions::default() };
        match dial(&way.address, way.tls, &options).await {
            Ok(channel) => Ok(Self { channel, bearer: way.bearer }),
            Err(error) => Err(unreachable_because(&error, dir.as_deref().filter(|_| args.server.is_none()))),
        }
    }

    /// Questions about the fleet.
    #[must_use]
    pub fn fleet(&self) -> FleetServiceClient<Authorised> {
        FleetServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about incidents.
    #[must_use]
    pub fn incidents(&self) -> IncidentServiceClient<Authorised> {
        IncidentServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Sweeps through the fleet.
    #[must_use]
    pub fn diagnostics(&self) -> DiagnosticsServiceClient<Authorised> {
        DiagnosticsServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about health.
    #[must_use]
    pub fn health(&self) -> HealthServiceClient<Authorised> {
        HealthServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about what was learned.
    #[must_use]
    pub fn learning(&self) -> LearningServiceClient<Authorised> {
        LearningServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about what could be better.
    #[must_use]
    pub fn optimiser(&self) -> OptimiserServiceClient<Authorised> {
        OptimiserServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about snapshots.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotServiceClient<Authorised> {
        SnapshotServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about events.
    #[must_use]
    pub fn events(&self) -> EventServiceClient<Authorised> {
        EventServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Questions about who is told.
    #[must_use]
    pub fn notifications(&self) -> NotificationServiceClient<Authorised> {
        NotificationServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }

    /// Membership, policy and evidence.
    #[must_use]
    pub fn admin(&self) -> AdminServiceClient<Authorised> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(ANSWER_MAX)
    }
}

fn unreachable_because(error: &DialError, dir: Option<&Path>) -> Failure {
    if matches!(error, DialError::BadAddress { .. }) {
        return Failure::Usage(error.to_string());
    }
    let advice = match (error, dir) {
        (DialError::Refused { .. }, Some(dir)) => format!(
            "\nThe server of {0} is not running, or has not listened yet. Start it: prunella server --config {0}/server.toml",
            dir.display()
        ),
        _ => String::new(),
    };
    Failure::Unreachable(format!("{error}{advice}"))
}

/// Everything that is needed to connect.
struct Way {
    address: String,
    tls: Arc<rustls::ClientConfig>,
    bearer: Bearer,
}

impl Way {
    fn find(dir: Option<&Path>, args: &Connection) -> Result<Self, Failure> {
        let address = match (&args.server, dir) {
            (Some(server), _) => server.clone(),
            (None, Some(dir)) => address_in(dir)?,
            (None, None) => return Err(nowhere()),
        };
        let ca_path = match (&args.ca, dir) {
            (Some(path), _) => path.clone(),
            (None, Some(dir)) => dir.join("tls/ca.pem"),
            (None, None) => {
                let why = "which server is the right one? Give the certificate of the fleet's authority: --ca FILE (tls/ca.pem in the server's fleet directory)";
                return Err(Failure::Usage(why.to_owned()));
            }
        };
        let ca = read(&ca_path)?;
        let fleet =
            args.fleet.clone().or_else(|| fleet_of_authority(&ca)).with_context(|| {
                format!("{} does not say which fleet it is of; give --fleet NAME", ca_path.display())
            })?;
        let unusable = || "these credentials cannot be used";
        let certificate = match (&args.cert, &args.key, dir) {
            (Some(cert), Some(key), _) => Some((cert.clone(), key.clone())),
            (_, _, Some(dir)) if args.token.is_none() => {
                Some((dir.join("operators/admin.pem"), dir.join("operators/admin.key")))
            }
            _ => None,
        };
        let tls = match (&certificate, &args.token) {
            (Some((cert, key)), _) => client_config(&fleet, &ca, &read(cert)?, &read(key)?).with_context(unusable)?,
            (None, Some(_)) => token_client_config(&fleet, &ca).with_context(unusable)?,
            (None, None) => {
                let why = "who is asking? Give --dir, or --cert and --key, or a bearer token in PRUNELLA_TOKEN (an admin makes one: prunella token operator NAME --role viewer)";
                return Err(Failure::NotAllowed(why.to_owned()));
            }
        };
        // Whoever shows a certificate on the command line means to be its holder, whatever the environment holds.
        let token = args.token.as_deref().filter(|_| certificate.is_none());
        Ok(Self { address, tls, bearer: Bearer(token.map(bearer).transpose()?) })
    }
}

fn bearer(token: &str) -> anyhow::Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
        .parse()
        .ok()
        .context("the token has characters that no token has; copy the whole line again")?;
    // Kept out of logs and of the compression tables of HTTP/2.
    value.set_sensitive(true);
    Ok(value)
}

fn nowhere() -> Failure {
    Failure::Usage(
        "which fleet? Give its directory with --dir DIR or PRUNELLA_DIR, its address with --server HOST:PORT and --ca FILE, or\n\
         keep it under a name: prunella context set NAME.\n\
         To see one at work: prunella demo --no-faults --dir ./fleet"
            .to_owned(),
    )
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn address_in(dir: &Path) -> Result<String, Failure> {
    let path = dir.join("addresses.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_server_in(dir)),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("cannot read {}", path.display())).into()),
    };
    let addresses: Addresses = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; restart the server, which writes it anew", path.display()))?;
    Ok(addresses.control)
}

fn no_server_in(dir: &Path) -> Failure {
    let settings = dir.join("server.toml");
    Failure::Unreachable(if settings.exists() {
        format!("no server runs with {}. Start it: prunella server --config {}", dir.display(), settings.display())
    } else {
        format!(
            "{0} is not a fleet directory: it has no server.toml. `prunella up --dir {0} --config agent.toml` makes one",
            dir.display()
        )
    })
}

/// Runs a command that asks a server, says why it failed, and gives the exit code.
///
/// # Errors
/// When the system cannot even run it.
pub fn run<W>(work: W) -> anyhow::Result<ExitCode>
where
    W: Future<Output = Result<ExitCode, Failure>>,
{
    block_on(async { Ok(work.await) }).map(|result| {
        result.unwrap_or_else(|failure| {
            eprintln!("prunella: {failure}");
            ExitCode::from(failure.exit_code())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(dir: Option<&Path>, args: &Connection) -> Failure {
        match Way::find(dir, args) {
            Ok(_) => panic!("there is nothing to connect with"),
            Err(failure) => failure,
        }
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        assert!(fails(None, &Connection::default()).to_string().contains("--dir DIR"));
        let server = Connection { server: Some("127.0.0.1:1".to_owned()), ..Connection::default() };
        assert!(fails(None, &server).to_string().contains("--ca FILE"));
        let dir = tempfile::tempdir().unwrap();
        let failure = fails(Some(dir.path()), &Connection::default());
        assert!(failure.to_string().contains("is not a fleet directory"), "{failure}");
        fs::write(dir.path().join("server.toml"), "").unwrap();
        let failure = fails(Some(dir.path()), &Connection::default());
        assert_eq!(failure.exit_code(), EXIT_UNREACHABLE);
        assert!(failure.to_string().contains("Start it: prunella server --config"), "{failure}");
        fs::write(dir.path().join("addresses.json"), "{").unwrap();
        let failure = fails(Some(dir.path()), &Connection::default());
        assert!(failure.to_string().contains("is damaged"), "{failure}");
    }

    #[test]
    fn refusals_of_the_server_have_their_own_exit_codes() {
        let code = |status: Status| Failure::from(status).exit_code();
        assert_eq!(code(Status::unauthenticated("x")), EXIT_NOT_ALLOWED);
        assert_eq!(code(Status::permission_denied("x")), EXIT_NOT_ALLOWED);
        assert_eq!(code(Status::not_found("x")), EXIT_NOT_FOUND);
        assert_eq!(code(Status::unavailable("x")), EXIT_UNREACHABLE);
        assert_eq!(code(Status::failed_precondition("x")), EXIT_FAILURE);
    }

    #[test]
    fn every_field_that_the_server_objects_to_is_said() {
        let mut details = tonic_types::ErrorDetails::with_bad_request_violation("why", "must not be empty");
        details.set_error_info("INVALID_ARGUMENT", "prunella", std::collections::HashMap::new());
        let status = Status::with_error_details(Code::InvalidArgument, "the request is not valid", details);
        assert_eq!(
            Failure::from(status).to_string(),
            "the request is not valid\n  why: must not be empty [INVALID_ARGUMENT]"
        );
    }
}
