//! Membership, policy and evidence.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::Event;
use prunella_identity::{CaPin, JOIN_LIFE, JoinToken, Role};
use prunella_model::policy::FleetPolicy;
use prunella_model::record::AuditEntry;
use prunella_model::{FleetName, HostId, OperatorName};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_server::AdminService;
use prunella_seal::PublicKey;
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Status};

use super::gate::Caller;
use super::{convert, error, operator, page, preview, upkeep, wanted_span};
use crate::clock::Clock;
use crate::closed::Archive;
use crate::driver::{Inbox, Input};
use crate::enrolment::Enrolments;
use crate::http::{LINK_LIFE, Logins};
use crate::operators::{GrantError, Operators};
use crate::policy;
use crate::store::Backend;
use crate::store::repository::Repository;

/// The longest life of a join token.
const JOIN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The life of an operator's token when the caller names none: a working day.
const OPERATOR_TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);

/// The longest life of an operator's token.
const OPERATOR_TOKEN_LIFE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// The longest policy, in bytes: ten rules for each of a thousand services.
pub(super) const POLICY_MAX: usize = 1024 * 1024;

/// How long a policy may take to be stored.
const POLICY_STORED_MAX: Duration = Duration::from_secs(30);

/// Serves `AdminService`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The fleet's name.
    pub fleet: FleetName,
    /// The way to the driver.
    pub inbox: Inbox,
    /// Who is a member.
    pub enrolments: Arc<Enrolments>,
    /// Whose bearer tokens are valid.
    pub operators: Arc<Operators>,
    /// Where the audit log begins.
    pub repository: Arc<Repository<Backend>>,
    /// The audit log.
    pub audit: Archive,
    /// The time.
    pub clock: Clock,
    /// The policy in force, once it is stored.
    pub policy: watch::Receiver<Arc<FleetPolicy>>,
    /// One change of the policy at a time.
    pub changing: Arc<Mutex<()>>,
    /// What join tokens say.
    pub join: Arc<JoinFacts>,
    /// How operators come to the dashboard.
    pub login: Arc<Login>,
    /// Where exports of the store are written.
    pub exports: PathBuf,
    /// Where the journal is.
    pub journal: PathBuf,
    /// One preview of a policy at a time.
    pub previewing: Arc<Mutex<()>>,
}

/// How operators come to the dashboard.
#[derive(Debug)]
pub struct Login {
    /// The address of its log-in page; null when there is no dashboard.
    pub page: Option<String>,
    /// Links that wait to be opened.
    pub logins: Arc<Logins>,
}

/// The parts of a join token that are the same in all.
#[derive(Debug, Clone)]
pub struct JoinFacts {
    /// The address of the control listener.
    pub control: String,
    /// The fleet's authority.
    pub ca: CaPin,
    /// The fleet's root keys.
    pub roots: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u32,
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_join_token(
        &self,
        request: Request<pb::CreateJoinTokenRequest>,
    ) -> Result<Response<pb::CreateJoinTokenResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let life = wanted_span("lifetime", request.lifetime, JOIN_LIFE, JOIN_LIFE_MAX)?;
        let host = Some(request.host).filter(|it| !it.is_empty()).map(|it| HostId::new(&it)).transpose();
        let host = host.map_err(|error| error::invalid("host", error))?;
        let (secret, grant) = self.enrolments.permit(host, &by, self.clock.now(), life).await?;
        let JoinFacts { control, ca, roots, threshold } = (*self.join).clone();
        let token = JoinToken { fleet: self.fleet.clone(), control, secret, ca, roots, threshold };
        let text = token.to_text().map_err(|error| error::internal("making the token", &error))?;
        Ok(Response::new(pb::CreateJoinTokenResponse {
            token: text.to_string(),
            expire_time: convert::time(grant.expires_at),
            command: format!("prunella agent --config agent.toml --join {}", text.as_str()),
        }))
    }

    async fn create_operator_token(
        &self,
        request: Request<pb::CreateOperatorTokenRequest>,
    ) -> Result<Response<pb::CreateOperatorTokenResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let name = OperatorName::new(&request.name).map_err(|error| error::invalid("name", error))?;
        let role: Role = request.role.parse().map_err(|error| error::invalid("role", error))?;
        let life = wanted_span("lifetime", request.lifetime, OPERATOR_TOKEN_LIFE, OPERATOR_TOKEN_LIFE_MAX)?;
        let now = self.clock.now();
        let token = self.operators.permit(name, role, &by, now, life).await.map_err(|error| match &error {
            GrantError::TooMany => error::refused("TOO_MANY_TOKENS", error.to_string()),
            GrantError::Store(_) | GrantError::Random(_) => error::internal("making the token", &error),
        })?;
        let expire_time = convert::time(now.after(life));
        Ok(Response::new(pb::CreateOperatorTokenResponse { token: token.to_text().to_string(), expire_time }))
    }

    async fn create_login_link(
        &self,
        request: Request<pb::CreateLoginLinkRequest>,
    ) -> Result<Response<pb::CreateLoginLinkResponse>, Status> {
        let Some(&Caller::Operator { ref name, role: own }) = request.extensions().get::<Caller>() else {
            return Err(error::unauthenticated("NO_CREDENTIALS", "only operators log in"));
        };
        let name = name.clone();
        let wanted = request.into_inner().role;
        let role = if wanted.is_empty() {
            own
        } else {
            wanted.parse::<Role>().map_err(|error| error::invalid("role", error))?
        };
        if role > own {
            return Err(error::invalid("role", format!("{role} is more than {name} is, which is {own}")));
        }
        let Some(page) = &self.login.page else {
            let why = "this server has no dashboard; start it with --http, or set http under [listen] in server.toml";
            return Err(error::refused("NO_DASHBOARD", why));
        };
        let now = self.clock.now();
        let code = self.login.logins.invite(name, role, now);
        let code = code.map_err(|error| error::internal("making the link", &error))?;
        Ok(Response::new(pb::CreateLoginLinkResponse {
            url: format!("{page}?code={code}"),
            expire_time: convert::time(now.after(LINK_LIFE)),
        }))
    }

    async fn get_policy(&self, _: Request<pb::GetPolicyRequest>) -> Result<Response<pb::Policy>, Status> {
        let policy = Arc::clone(&self.policy.borrow());
        view(&policy, false).map(Response::new)
    }

    async fn update_policy(&self, request: Request<pb::UpdatePolicyRequest>) -> Result<Response<pb::Policy>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        if request.toml.len() > POLICY_MAX {
            return Err(error::invalid("toml", format!("has more than {POLICY_MAX} bytes")));
        }
        let mut wanted = policy::parse("policy.toml", &request.toml).map_err(|error| error::invalid("toml", error))?;
        let _turn = self.changing.lock().await;
        let current = Arc::clone(&self.policy.borrow());
        if !request.etag.is_empty() && request.etag != policy::etag(&current) {
            let why = "the policy has changed since it was read; read it again and repeat the change";
            return Err(error::status(tonic::Code::Aborted, "ETAG_MISMATCH", why, &[]));
        }
        wanted.version = self.next_version(&current).await?;
        if request.validate_only {
            return view(&wanted, false).map(Response::new);
        }
        let actor = format!("operator/{by}");
        let (policy, rolling_out) = self.put_in_force(actor, by, wanted, request.at_once).await?;
        view(&policy, rolling_out).map(Response::new)
    }

    async fn preview_policy(
        &self,
        request: Request<pb::PreviewPolicyRequest>,
    ) -> Result<Response<pb::PreviewPolicyResponse>, Status> {
        preview::preview_policy(self, request).await
    }

    async fn get_policy_rollout(
        &self,
        _: Request<pb::GetPolicyRolloutRequest>,
    ) -> Result<Response<pb::PolicyRollout>, Status> {
        let view = |engine: &prunella_engine::Engine, now| {
            convert::rollout(engine.rollout(now).as_ref(), engine.last_rollout())
        };
        Ok(Response::new(self.inbox.query(view).await?))
    }

    async fn stop_policy_rollout(
        &self,
        request: Request<pb::StopPolicyRolloutRequest>,
    ) -> Result<Response<pb::StopPolicyRolloutResponse>, Status> {
        let by = operator(&request)?;
        let why = super::text("why", request.into_inner().why)?;
        if why.is_empty() {
            return Err(error::invalid("why", "must say in a line why"));
        }
        let asked = super::ask(&self.inbox, by, prunella_engine::Request::StopRollout { why }).await?;
        let (_, message) = super::answer(asked)?;
        Ok(Response::new(pb::StopPolicyRolloutResponse { message }))
    }

    async fn verify_audit(
        &self,
        _: Request<pb::VerifyAuditRequest>,
    ) -> Result<Response<pb::VerifyAuditResponse>, Status> {
        self.audit.verify().await.map(Response::new)
    }

    async fn list_audit_entries(
        &self,
        request: Request<pb::ListAuditEntriesRequest>,
    ) -> Result<Response<pb::ListAuditEntriesResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let before = page::after("audit", &request.page_token)?
            .map(|it| it.parse().map_err(|_| error::invalid("page_token", "is not one that this listing gave out")))
            .transpose()?;
        let mut found = self.audit.entries(before, size + 1).await?;
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|(number, _)| page::token("audit", &number.to_string())).unwrap_or_default();
        let entries = found.iter().map(|(number, it)| convert::audit_entry(*number, it)).collect();
        Ok(Response::new(pb::ListAuditEntriesResponse { entries, next_page_token }))
    }

    async fn set_log_level(
        &self,
        request: Request<pb::SetLogLevelRequest>,
    ) -> Result<Response<pb::SetLogLevelResponse>, Status> {
        upkeep::set_log_level(self, request).await
    }

    async fn export_store(
        &self,
        request: Request<pb::ExportStoreRequest>,
    ) -> Result<Response<pb::ExportStoreResponse>, Status> {
        upkeep::export_store(self, request).await
    }
}

impl Admin {
    /// Rolls a policy out, one version after the present one, unless it is in force already. Null when it is.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub(crate) async fn replace(&self, actor: String, wanted: FleetPolicy) -> Result<Option<Arc<FleetPolicy>>, Status> {
        let _turn = self.changing.lock().await;
        let current = Arc::clone(&self.policy.borrow());
        if (FleetPolicy { version: current.version, ..wanted.clone() }) == *current {
            return Ok(None);
        }
        let wanted = FleetPolicy { version: self.next_version(&current).await?, ..wanted };
        let by = OperatorName::of("policy-file");
        self.put_in_force(actor, by, wanted, false).await.map(|(policy, _)| Some(policy))
    }

    /// The version after the one in force and the one on its way.
    async fn next_version(&self, current: &FleetPolicy) -> Result<u64, Status> {
        let on_its_way = self.inbox.query(|engine, now| engine.rollout(now).map(|it| it.version)).await?;
        Ok(current.version.max(on_its_way.unwrap_or(0)) + 1)
    }

    /// Audits a policy, gives it to the engine, and waits until it is stored: in force, or at the beginning of its way there,
    /// which the answer says. The caller holds `changing`.
    async fn put_in_force(
        &self,
        actor: String,
        by: OperatorName,
        wanted: FleetPolicy,
        at_once: bool,
    ) -> Result<(Arc<FleetPolicy>, bool), Status> {
        let said = if at_once { ", at once instead of in stages" } else { "" };
        let audit = AuditEntry {
            at: self.clock.now(),
            actor,
            action: "policy_updated".to_owned(),
            subject: "policy".to_owned(),
            incident: None,
            detail: format!("version {}, {}{said}", wanted.version, policy::etag(&wanted)),
        };
        let stored = async { self.repository.commit(&[], &[audit])?.await };
        stored.await.map_err(|error| error::internal("auditing the policy", &error))?;
        let slow = || error::status(tonic::Code::DeadlineExceeded, "SLOW_STORE", "the policy is not stored yet", &[]);
        let (version, wanted) = (wanted.version, Arc::new(wanted));
        let changed = Arc::clone(&wanted);
        let event = if at_once { Event::Policy(changed) } else { Event::Proposed { policy: changed, by } };
        self.inbox.put(Input::Event(event)).await?;
        let on_its_way =
            move |engine: &prunella_engine::Engine, now| engine.rollout(now).is_some_and(|it| it.version == version);
        if self.inbox.query(on_its_way).await? {
            tokio::time::timeout(POLICY_STORED_MAX, self.inbox.stored()).await.map_err(|_| slow())??;
            return Ok((wanted, true));
        }
        let mut policy = self.policy.clone();
        let stored = policy.wait_for(|it| it.version >= version);
        match tokio::time::timeout(POLICY_STORED_MAX, stored).await {
            Ok(Ok(policy)) => Ok((Arc::clone(&policy), false)),
            Ok(Err(_)) => Err(crate::driver::Stopped.into()),
            Err(_) => Err(slow()),
        }
    }
}

fn view(policy: &FleetPolicy, rolling_out: bool) -> Result<pb::Policy, Status> {
    let toml = toml::to_string(policy).map_err(|error| error::internal("writing the policy", &error))?;
    let warnings = prunella_engine::governance::warnings(policy);
    Ok(pb::Policy { version: policy.version, toml, etag: policy::etag(policy), rolling_out, warnings })
}
