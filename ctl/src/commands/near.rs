//! Did you mean? When the server does not know a name, the nearest one that it does know.

use prunella_proto::control::v1 as pb;
use tonic::{Code, Response, Status};

use super::pages;
use crate::client::{Client, Failure};
use crate::names::{advice, short};

/// The answer about the host or target `name`; a refusal for want of it names the nearest one that there is.
pub(super) async fn found<T>(client: &Client, name: &str, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    let status = match answer {
        Ok(answer) => return Ok(answer.into_inner()),
        Err(status) => status,
    };
    if status.code() != Code::NotFound {
        return Err(status.into());
    }
    // What keeps the names from being listed is of no interest: the first failure is.
    let known = known(client, name).await.unwrap_or_default();
    Err(Failure::NotFound(format!("there is no {}{}", short(name), advice(&short(name), &known))))
}

/// The names that could have been meant: targets of a host that exists, otherwise hosts; groups for a group.
async fn known(client: &Client, name: &str) -> Result<Vec<String>, Failure> {
    let groups = async || -> Result<Vec<String>, Failure> {
        let all = client.fleet().list_groups(pb::ListGroupsRequest {}).await?.into_inner();
        Ok(all.groups.into_iter().map(|it| it.name).collect())
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        ["hosts", host, "targets", _] => {
            // All of them: it may be the host that was misspelt.
            let targets = targets(client).await?;
            let of_host: Vec<String> =
                targets.iter().filter(|it| it.starts_with(&format!("{host}/"))).cloned().collect();
            Ok(if of_host.is_empty() { targets } else { of_host })
        }
        ["hosts", _] => hosts(client).await,
        ["groups", _] => groups().await,
        _ => Ok(Vec::new()),
    }
}

async fn hosts(client: &Client) -> Result<Vec<String>, Failure> {
    pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListHostsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_hosts(request).await?.into_inner();
            Ok((page.hosts.iter().map(|it| short(&it.name)).collect(), page.next_page_token))
        }
    })
    .await
}

async fn targets(client: &Client) -> Result<Vec<String>, Failure> {
    pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListTargetsRequest { parent: String::new(), page_size: pages::PAGE, page_token };
            let page = service.list_targets(request).await?.into_inner();
            Ok((page.targets.iter().map(|it| short(&it.name)).collect(), page.next_page_token))
        }
    })
    .await
}
