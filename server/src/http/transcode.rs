//! JSON to protobuf and back, by the protocol's own descriptors.
//!
//! Every call goes through the gate and the services of the control listener, as if it had come by gRPC: there is one
//! table of who may do what, one check of every field, and one audit.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut as _, Bytes};
use http::HeaderValue;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::service::Routes;
use tonic::{Code, Request, Status, Streaming};

use crate::rpc::error;
use crate::rpc::gate::{Gated, Vouched};
use crate::rpc::learning::MESSAGE_MAX as LEARNING_MESSAGE_MAX;
use crate::rpc::listen::ANSWER_MAX;
use crate::rpc::repeat::{self, Repeated};

/// How long a call may take: storing a policy on a slow disk takes longest.
const CALL_MAX: Duration = Duration::from_secs(40);

/// The package whose services have a JSON form. What agents and joining hosts say has none.
pub(crate) const PACKAGE: &str = "prunella.control.v1";

/// The services of the control listener, behind its gate.
pub(crate) type Services = Gated<Repeated<Routes>>;

/// Who asks, in the terms of the gate.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// Nobody in particular.
    None,
    /// The `authorization` field of the request, and what names the call, so that a repetition is the same call.
    Bearer(HeaderValue, Option<HeaderValue>),
    /// Somebody who has logged in.
    Session(Vouched),
}

impl Credentials {
    /// The same for several calls, of which each has a name of its own or none.
    pub(crate) fn for_several(self) -> Self {
        match self {
            Self::Bearer(value, _) => Self::Bearer(value, None),
            Self::None | Self::Session(_) => self,
        }
    }

    /// A request in this name.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        match self {
            Self::None => {}
            Self::Bearer(value, once) => {
                // A field that is no plain text stays away, and the gate sees nobody.
                if let Ok(value) = MetadataValue::try_from(value.as_bytes()) {
                    request.metadata_mut().insert("authorization", value);
                }
                if let Some(Ok(once)) = once.as_ref().map(|it| MetadataValue::try_from(it.as_bytes())) {
                    request.metadata_mut().insert(repeat::HEADER, once);
                }
            }
            Self::Session(vouched) => {
                request.extensions_mut().insert(vouched.clone());
            }
        }
        request
    }
}

/// Calls methods by their descriptors.
#[derive(Debug, Clone)]
pub(crate) struct Transcoder {
    methods: Arc<Vec<MethodDescriptor>>,
    services: Services,
}

impl Transcoder {
    /// Over the methods of the control protocol.
    pub(crate) fn new(services: Services) -> Self {
        // The set is compiled in and a test reads it; without it, there are no methods rather than no server.
        let pool = DescriptorPool::decode(prunella_proto::DESCRIPTOR_SET).unwrap_or_default();
        let methods = pool
            .services()
            .filter(|it| it.parent_file().package_name() == PACKAGE)
            .flat_map(|it| it.methods().collect::<Vec<_>>())
            .collect();
        Self { methods: Arc::new(methods), services }
    }

    /// The services, for callers who speak protobuf themselves.
    pub(crate) fn services(&self) -> Services {
        self.services.clone()
    }

    /// All methods that have a JSON form.
    pub(crate) fn methods(&self) -> &[MethodDescriptor] {
        &self.methods
    }

    /// The method of a service by the names of both, without the package.
    pub(crate) fn method(&self, service: &str, method: &str) -> Option<&MethodDescriptor> {
        self.methods.iter().find(|it| it.parent_service().name() == service && it.name() == method)
    }

    /// Calls a method that answers once.
    ///
    /// # Errors
    /// The status that the service, the gate or the time limit gives.
    pub(crate) async fn call(
        &self,
        method: &MethodDescriptor,
        request: &DynamicMessage,
        who: &Credentials,
    ) -> Result<Value, Status> {
        let mut client = self.client().await?;
        let called = client.unary(who.request(request.encode_to_vec()), path(method)?, Raw);
        let late = || error::status(Code::DeadlineExceeded, "SLOW", "the server did not answer in time", &[]);
        let answer = tokio::time::timeout(CALL_MAX, called).await.map_err(|_| late())??;
        to_json(method, answer.into_inner())
    }

    /// Calls a method that answers again and again.
    ///
    /// # Errors
    /// The status that the service or the gate gives.
    pub(crate) async fn watch(
        &self,
        method: &MethodDescriptor,
        request: &DynamicMessage,
        who: &Credentials,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut client = self.client().await?;
        let answer = client.server_streaming(who.request(request.encode_to_vec()), path(method)?, Raw).await?;
        Ok(answer.into_inner())
    }

    async fn client(&self) -> Result<Grpc<Services>, Status> {
        let mut client = Grpc::new(self.services.clone())
            .max_decoding_message_size(ANSWER_MAX)
            .max_encoding_message_size(LEARNING_MESSAGE_MAX);
        match client.ready().await {
            Ok(()) => Ok(client),
            Err(never) => match never {},
        }
    }
}

/// The message that a method takes, from its canonical JSON form.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn from_json(method: &MethodDescriptor, json: &[u8]) -> Result<DynamicMessage, Status> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    DynamicMessage::deserialize(method.input(), &mut reader)
        .and_then(|it| reader.end().map(|()| it))
        .map_err(|wrong| bad_json(method, &wrong.to_string()))
}

/// The message that a method takes, from a JSON value.
///
/// # Errors
/// What is wrong.
pub(crate) fn from_value(method: &MethodDescriptor, value: Value) -> Result<DynamicMessage, Status> {
    DynamicMessage::deserialize(method.input(), value).map_err(|wrong| bad_json(method, &wrong.to_string()))
}

fn bad_json(method: &MethodDescriptor, wrong: &str) -> Status {
    let input = method.input();
    let fields: Vec<String> = input.fields().map(|it| it.json_name().to_owned()).collect();
    let fields = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
    error::invalid("body", format!("is no {}: {wrong} (its fields: {fields})", input.name()))
}

/// An answer of a method in its canonical JSON form. What has no value is left out; nothing is made up for it.
///
/// # Errors
/// When the bytes are no such message, which would be a defect.
pub(crate) fn to_json(method: &MethodDescriptor, answer: Bytes) -> Result<Value, Status> {
    let message = DynamicMessage::decode(method.output(), answer)
        .map_err(|wrong| error::internal("reading the service's answer", &wrong))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|wrong| error::internal("writing the answer", &wrong))
}

fn path(method: &MethodDescriptor) -> Result<PathAndQuery, Status> {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
        .parse()
        .map_err(|wrong: http::uri::InvalidUri| error::internal("naming the method", &wrong))
}

/// Messages stay bytes: the descriptors read and write them.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}
