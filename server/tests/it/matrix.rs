//! Every RPC × every identity, generated from the descriptors: who may call is what the protocol's comments promise.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prunella_identity::Role;
use prunella_server::rpc::gate::{Access, TABLE};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::fixture::{Fleet, Member};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    BadToken,
    Agent,
    Token(Role),
    AdminCertificate,
}

const EVERYBODY: [Who; 8] = [
    Who::Nobody,
    Who::BadToken,
    Who::Agent,
    Who::Token(Role::Viewer),
    Who::Token(Role::Operator),
    Who::Token(Role::Approver),
    Who::Token(Role::Admin),
    Who::AdminCertificate,
];

fn expected(access: Access, who: Who) -> bool {
    let least = |role: Role| match who {
        Who::Nobody | Who::BadToken | Who::Agent => false,
        Who::Token(has) => has >= role,
        Who::AdminCertificate => true,
    };
    match access {
        Access::Open | Access::JoinToken => true,
        Access::Agent | Access::RenewingAgent => who == Who::Agent,
        Access::Viewer => least(Role::Viewer),
        Access::Operator => least(Role::Operator),
        Access::Approver => least(Role::Approver),
        Access::Admin => least(Role::Admin),
    }
}

/// The paths of every method in the descriptors.
fn methods() -> Vec<String> {
    let sets = [prunella_proto::DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let mut paths = Vec::new();
    for file in sets.iter().flat_map(|set| FileDescriptorSet::decode(*set).unwrap().file) {
        for service in &file.service {
            let methods = service.method.iter().map(|it| it.name().to_owned());
            paths.extend(methods.map(|it| format!("/{}.{}/{it}", file.package(), service.name())));
        }
    }
    for version in ["v1", "v1alpha"] {
        paths.push(format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    }
    paths
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let mut methods = methods();
    let mut rows: Vec<String> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
    methods.sort();
    rows.sort();
    assert_eq!(rows, methods);
}

/// The table says what the protocol's own comments promise: "Needs a viewer.", "Needs an admin.", ….
#[test]
fn the_table_keeps_the_promises_of_the_protocol() {
    // See the numbers of `service` and `method` in descriptor.proto.
    let (service_field, method_field) = (6, 2);
    let words = [
        ("Needs a viewer", Access::Viewer),
        ("Needs an operator", Access::Operator),
        ("Needs an approver", Access::Approver),
        ("Needs an admin", Access::Admin),
    ];
    let mut promised = Vec::new();
    for file in FileDescriptorSet::decode(prunella_proto::DESCRIPTOR_SET).unwrap().file {
        for place in file.source_code_info.iter().flat_map(|it| &it.location) {
            let [field, service, inner, method] = place.path[..] else { continue };
            if (field, inner) != (service_field, method_field) {
                continue;
            }
            let service = &file.service[service as usize];
            let path = format!("/{}.{}/{}", file.package(), service.name(), service.method[method as usize].name());
            let access = words.iter().find(|(word, _)| place.leading_comments().contains(word));
            promised.extend(access.map(|(_, access)| (path, *access)));
        }
    }
    promised.sort_by(|a, b| a.0.cmp(&b.0));
    let control = TABLE.iter().filter(|(path, _)| path.contains(".control."));
    let mut rows: Vec<(String, Access)> = control.map(|(path, access)| ((*path).to_owned(), *access)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(rows, promised);
}

/// Whether the gate lets a call through. Whatever the service then says about an empty message is no matter here.
async fn passes(channel: Channel, path: &str, token: Option<&str>) -> bool {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(()));
    // These must not make anybody of anyone.
    for (field, value) in [("x-forwarded-user", "admin"), ("x-prunella-role", "admin"), ("x-remote-user", "admin")] {
        request.metadata_mut().insert(field, value.parse().unwrap());
    }
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = http::uri::PathAndQuery::try_from(path).unwrap();
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let denied = |status: &Status| matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied);
    let answered = match grpc.streaming(request, path.clone(), codec).await {
        Ok(response) => {
            // The first message or the end: a stream that goes on has passed.
            let mut stream = response.into_inner();
            let next = tokio::time::timeout(std::time::Duration::from_millis(300), stream.message()).await;
            next.map_or(Ok(()), |it| it.map(drop))
        }
        Err(status) => Err(status),
    };
    match answered {
        Ok(()) => true,
        Err(status) => {
            assert!(status.code() != Code::Unimplemented, "{path}: {status}");
            !denied(&status)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_identity_may_call_what_the_table_says_and_nothing_else() {
    let fleet = Fleet::start().await;
    let member: Member = fleet.member("h1").await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, fleet.operator_token(role).await));
    }
    let (nobody, admin, agent) =
        (fleet.nobody().await, fleet.admin().await, fleet.agent_control_channel(&member).await);
    let mut surprises = Vec::new();
    // Served by the other listener alone.
    for (path, access) in TABLE.iter().filter(|(path, _)| !path.contains("AgentService")) {
        for who in EVERYBODY {
            let (channel, token) = match who {
                Who::Nobody => (&nobody, None),
                Who::BadToken => (&nobody, Some("prunella-token-1.AAAA")),
                Who::Agent => (&agent, None),
                Who::Token(role) => (&nobody, tokens.iter().find(|(it, _)| *it == role).map(|(_, text)| text.as_str())),
                Who::AdminCertificate => (&admin, None),
            };
            let passed = passes(channel.clone(), path, token).await;
            if passed != expected(*access, who) {
                surprises.push(format!("{path} ({access:?}) by {who:?}: passed = {passed}"));
            }
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    // The agents' listener serves agents, and nobody else gets through its handshake.
    let streams = fleet.agent_channel(&member).await;
    assert!(passes(streams.clone(), "/prunella.agent.v1.AgentService/Stream", None).await);
    let mut grpc = Grpc::new(streams);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/prunella.control.v1.AdminService/CreateJoinToken");
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let status = grpc.streaming(Request::new(tokio_stream::once(())), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}
