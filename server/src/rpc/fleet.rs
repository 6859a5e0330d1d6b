//! The fleet as a whole, its hosts and targets.

use std::sync::Arc;

use prunella_engine::{Event, Request as Ask};
use prunella_model::FleetName;
use prunella_model::policy::Mode;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_server::FleetService;
use tonic::{Request, Response, Status};

use super::{answer, ask, convert, error, name, operator, page, topology, wanted_time};
use crate::clock::Clock;
use crate::driver::{Inbox, Input};
use crate::enrolment::Enrolments;
use crate::sessions::Sessions;

/// Serves `FleetService`.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The fleet's name.
    pub name: FleetName,
    /// The way to the driver.
    pub inbox: Inbox,
    /// Who is a member.
    pub enrolments: Arc<Enrolments>,
    /// Connected agents.
    pub sessions: Arc<Sessions>,
    /// The time.
    pub clock: Clock,
    /// Promises that do not hold for this fleet.
    pub caveats: Arc<Vec<String>>,
}

#[tonic::async_trait]
impl FleetService for Fleet {
    async fn get_fleet(&self, _: Request<pb::GetFleetRequest>) -> Result<Response<pb::Fleet>, Status> {
        let (fleet, caveats) = (self.name.clone(), Arc::clone(&self.caveats));
        let view = move |engine: &prunella_engine::Engine, now| {
            convert::fleet(&fleet, &engine.fleet(now), engine.policy(), &caveats)
        };
        Ok(Response::new(self.inbox.query(view).await?))
    }

    async fn list_hosts(
        &self,
        request: Request<pb::ListHostsRequest>,
    ) -> Result<Response<pb::ListHostsResponse>, Status> {
        let request = request.into_inner();
        let (size, after) = (page::size(request.page_size)?, page::after("hosts", &request.page_token)?);
        let all = self.inbox.query(|engine, now| engine.hosts(now)).await?;
        let total_size = i32::try_from(all.len()).unwrap_or(i32::MAX);
        let (hosts, next_page_token) = page::cut("hosts", all, after.as_deref(), size, |it| it.host.to_string());
        let hosts = hosts.iter().map(convert::host).collect();
        Ok(Response::new(pb::ListHostsResponse { hosts, next_page_token, total_size }))
    }

    async fn get_host(&self, request: Request<pb::GetHostRequest>) -> Result<Response<pb::Host>, Status> {
        let host = name::host("name", &request.get_ref().name)?;
        let view = self.inbox.query(move |engine, now| engine.host(now, &host)).await?;
        let view = view.ok_or_else(|| error::not_found(&request.get_ref().name))?;
        Ok(Response::new(convert::host(&view)))
    }

    async fn delete_host(
        &self,
        request: Request<pb::DeleteHostRequest>,
    ) -> Result<Response<pb::DeleteHostResponse>, Status> {
        let by = operator(&request)?;
        let host = name::host("name", &request.get_ref().name)?;
        let known = {
            let host = host.clone();
            self.inbox.query(move |engine, now| engine.host(now, &host).is_some()).await?
        };
        // Banned first: from here on neither a stream nor a renewal passes the gate.
        let banned = self.enrolments.remove(&host, &by, self.clock.now()).await?;
        if !known && !banned {
            return Err(error::not_found(&request.get_ref().name));
        }
        self.sessions.kill(&host);
        self.inbox.put(Input::Event(Event::Forget { host, by })).await?;
        Ok(Response::new(pb::DeleteHostResponse {}))
    }

    async fn list_targets(
        &self,
        request: Request<pb::ListTargetsRequest>,
    ) -> Result<Response<pb::ListTargetsResponse>, Status> {
        let request = request.into_inner();
        let (size, after) = (page::size(request.page_size)?, page::after("targets", &request.page_token)?);
        let one = match request.parent.as_str() {
            "" | "hosts/-" => None,
            parent => Some(name::host("parent", parent)?),
        };
        let parent = request.parent;
        let all = self
            .inbox
            .query(move |engine, now| match one {
                Some(host) => engine.host(now, &host).map(|_| engine.targets(now, &host)),
                None => Some(engine.hosts(now).iter().flat_map(|it| engine.targets(now, &it.host)).collect()),
            })
            .await?
            .ok_or_else(|| error::not_found(&parent))?;
        let total_size = i32::try_from(all.len()).unwrap_or(i32::MAX);
        let (targets, next_page_token) =
            page::cut("targets", all, after.as_deref(), size, |it| name::of_target(&it.target));
        let targets = targets.iter().map(convert::target).collect();
        Ok(Response::new(pb::ListTargetsResponse { targets, next_page_token, total_size }))
    }

    async fn get_target(&self, request: Request<pb::GetTargetRequest>) -> Result<Response<pb::Target>, Status> {
        let target = name::target("name", &request.get_ref().name)?;
        let view = self.inbox.query(move |engine, now| engine.target(now, &target)).await?;
        let view = view.ok_or_else(|| error::not_found(&request.get_ref().name))?;
        Ok(Response::new(convert::target(&view)))
    }

    async fn list_brakes(&self, _: Request<pb::ListBrakesRequest>) -> Result<Response<pb::ListBrakesResponse>, Status> {
        let brakes = self.inbox.query(|engine, now| engine.brakes(now)).await?;
        Ok(Response::new(pb::ListBrakesResponse { brakes: brakes.iter().map(convert::brake).collect() }))
    }

    async fn get_topology(&self, request: Request<pb::GetTopologyRequest>) -> Result<Response<pb::Topology>, Status> {
        let view = self.inbox.query(|engine, now| engine.topology(now)).await?;
        Ok(Response::new(topology::topology(&view, request.get_ref().edges)))
    }

    async fn list_groups(&self, _: Request<pb::ListGroupsRequest>) -> Result<Response<pb::ListGroupsResponse>, Status> {
        let groups = self.inbox.query(|engine, now| engine.groups(now)).await?;
        Ok(Response::new(pb::ListGroupsResponse { groups: groups.iter().map(convert::group).collect() }))
    }

    async fn set_mode(&self, request: Request<pb::SetModeRequest>) -> Result<Response<pb::SetModeResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let scope = name::scope("name", &request.name)?;
        let mode = match request.mode() {
            pb::Mode::Unspecified if request.mode != 0 => return Err(error::invalid("mode", "is none that is known")),
            pb::Mode::Unspecified => None,
            pb::Mode::Aggressive => Some(Mode::Aggressive),
            pb::Mode::Balanced => Some(Mode::Balanced),
            pb::Mode::Conservative => Some(Mode::Conservative),
            pb::Mode::Disabled => Some(Mode::Disabled),
        };
        let why = reason(request.why)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::SetMode { scope, mode, why }).await?)?;
        Ok(Response::new(pb::SetModeResponse { message }))
    }

    async fn list_maintenances(
        &self,
        _: Request<pb::ListMaintenancesRequest>,
    ) -> Result<Response<pb::ListMaintenancesResponse>, Status> {
        let all = self.inbox.query(|engine, now| engine.maintenances(now)).await?;
        let maintenances = all.iter().map(convert::maintenance).collect();
        Ok(Response::new(pb::ListMaintenancesResponse { maintenances }))
    }

    async fn create_maintenance(
        &self,
        request: Request<pb::CreateMaintenanceRequest>,
    ) -> Result<Response<pb::CreateMaintenanceResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let name = name::maintenance("name", &request.name)?;
        let scope = name::scope("scope", &request.scope)?;
        let from = wanted_time("start_time", request.start_time)?.unwrap_or_else(|| self.clock.now());
        let until = wanted_time("expire_time", request.expire_time)?;
        let why = reason(request.why)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::Maintain { name, scope, why, from, until }).await?)?;
        Ok(Response::new(pb::CreateMaintenanceResponse { message }))
    }

    async fn delete_maintenance(
        &self,
        request: Request<pb::DeleteMaintenanceRequest>,
    ) -> Result<Response<pb::DeleteMaintenanceResponse>, Status> {
        let by = operator(&request)?;
        let name = name::maintenance("name", &request.get_ref().name)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::EndMaintenance { name }).await?)?;
        Ok(Response::new(pb::DeleteMaintenanceResponse { message }))
    }

    async fn list_rules(&self, _: Request<pb::ListRulesRequest>) -> Result<Response<pb::ListRulesResponse>, Status> {
        let rules = self.inbox.query(|engine, _| engine.rules()).await?;
        Ok(Response::new(pb::ListRulesResponse { rules: rules.iter().map(convert::rule).collect() }))
    }

    async fn pause(&self, request: Request<pb::PauseRequest>) -> Result<Response<pb::PauseResponse>, Status> {
        let by = operator(&request)?;
        let request = request.into_inner();
        let scope = name::scope("name", &request.name)?;
        let until = wanted_time("expire_time", request.expire_time)?;
        if until.is_some_and(|until| until <= self.clock.now()) {
            return Err(error::invalid("expire_time", "must lie in the future"));
        }
        let why = reason(request.why)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::Pause { scope, why, until }).await?)?;
        Ok(Response::new(pb::PauseResponse { message }))
    }

    async fn resume(&self, request: Request<pb::ResumeRequest>) -> Result<Response<pb::ResumeResponse>, Status> {
        let by = operator(&request)?;
        let scope = name::scope("name", &request.get_ref().name)?;
        let (_, message) = answer(ask(&self.inbox, by, Ask::Resume { scope }).await?)?;
        Ok(Response::new(pb::ResumeResponse { message }))
    }
}

/// Why something is ordered: a line for whoever finds it so.
fn reason(text: String) -> Result<String, Status> {
    let why = super::text("why", text)?;
    if why.is_empty() {
        return Err(error::invalid("why", "must say in a line why, for whoever finds it paused"));
    }
    Ok(why)
}
