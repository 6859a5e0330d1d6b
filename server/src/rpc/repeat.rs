//! A call that is made again is the same call: its `request_id` says so, or the header `idempotency-key` for requests that
//! have no such field.
//!
//! One layer for all methods that change something. The first answer is kept, as bytes, for whoever called; a
//! repetition gets it again, waits for it while the first call runs, and is refused when it asks for something else.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::error;
use super::gate::Caller;
use super::learning::MESSAGE_MAX;
use crate::http::{PACKAGE, only_reads};

/// How many answers are kept: far more than any caller retries at the same time.
const REMEMBERED: usize = 4_096;

/// The longest answer that is kept, in bytes. What changes something says little.
const ANSWER_MAX: usize = 64 * 1024;

/// The longest request id, in bytes: a UUID has 36.
const REQUEST_ID_MAX: usize = 128;

/// What precedes a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The header field that names a call.
pub(crate) const HEADER: &str = "idempotency-key";

/// What is told once and never kept: tokens, and links that log in.
const SECRETS: [&str; 3] = ["CreateJoinToken", "CreateOperatorToken", "CreateLoginLink"];

/// Who called what, with which id.
type Key = (String, String, String);

/// An answer that was given.
#[derive(Debug, Clone)]
struct Kept {
    request: [u8; 32],
    head: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Kept {
    fn response(&self) -> Response<Body> {
        let trailers = self.trailers.clone();
        let body = Full::new(self.body.clone()).with_trailers(std::future::ready(trailers.map(Ok)));
        let mut response = Response::new(Body::new(body));
        *response.headers_mut() = self.head.clone();
        response
    }
}

type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// Answers by caller, method and request id.
#[derive(Debug)]
struct Repeats {
    methods: BTreeMap<String, MethodDescriptor>,
    kept: Mutex<(BTreeMap<Key, Place>, VecDeque<Key>)>,
}

impl Default for Repeats {
    fn default() -> Self {
        // The set is compiled in and a test reads it.
        let pool = DescriptorPool::decode(prunella_proto::DESCRIPTOR_SET).unwrap_or_default();
        let methods = pool
            .services()
            .filter(|it| it.parent_file().package_name() == PACKAGE)
            .flat_map(|it| it.methods().collect::<Vec<_>>())
            .filter(|it| !only_reads(it) && !SECRETS.contains(&it.name()))
            .map(|it| (format!("/{}/{}", it.parent_service().full_name(), it.name()), it))
            .collect();
        Self { methods, kept: Mutex::default() }
    }
}

impl Repeats {
    /// The place for the answer to a call. The oldest gives way to a new one.
    fn place(&self, key: Key) -> Place {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (places, order) = &mut *kept;
        if let Some(place) = places.get(&key) {
            return Arc::clone(place);
        }
        if order.len() >= REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            places.remove(&oldest);
        }
        order.push_back(key.clone());
        Arc::clone(places.entry(key).or_default())
    }
}

/// Puts this before the services of a listener, behind its gate.
#[derive(Debug, Clone, Default)]
pub struct RepeatLayer(Arc<Repeats>);

impl<S> Layer<S> for RepeatLayer {
    type Service = Repeated<S>;
    fn layer(&self, inner: S) -> Repeated<S> {
        Repeated { repeats: Arc::clone(&self.0), inner }
    }
}

/// Services of which a repeated call is the same call.
#[derive(Debug, Clone)]
pub struct Repeated<S> {
    repeats: Arc<Repeats>,
    inner: S,
}

impl<S> Service<Request<Body>> for Repeated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = request.extensions().get::<Caller>().map(Caller::actor);
        let method = self.repeats.methods.get(request.uri().path());
        let (Some(method), Some(caller)) = (method.cloned(), caller) else {
            return Box::pin(self.inner.call(request));
        };
        // The service that was ready is the one to call; a clone of it takes its place.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let repeats = Arc::clone(&self.repeats);
        Box::pin(async move {
            let called = once(inner, request, &method, caller, &repeats).await;
            Ok(called.unwrap_or_else(Status::into_http))
        })
    }
}

async fn once<S>(
    mut inner: S,
    request: Request<Body>,
    method: &MethodDescriptor,
    caller: String,
    repeats: &Repeats,
) -> Result<Response<Body>, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, MESSAGE_MAX + PREFIX).collect().await;
    let body =
        limited.map_err(|error| Status::out_of_range(format!("the request cannot be read: {error}")))?.to_bytes();
    let named = head.headers.get(HEADER).and_then(|it| it.to_str().ok()).filter(|it| !it.is_empty());
    let id = request_id(method, &body).or_else(|| named.map(str::to_owned));
    let path = head.uri.path().to_owned();
    let request = Request::from_parts(head, Body::new(Full::new(body.clone())));
    let Some(id) = id else {
        let Ok(response) = inner.call(request).await;
        return Ok(response);
    };
    if id.len() > REQUEST_ID_MAX {
        return Err(error::invalid("request_id", format!("or {HEADER} must have at most {REQUEST_ID_MAX} bytes")));
    }
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let place = repeats.place((caller, path, id));
    let mut kept = place.lock().await;
    if let Some(kept) = kept.as_ref() {
        return match kept.request == digest {
            true => Ok(kept.response()),
            false => Err(error::invalid("request_id", "was used for another request; take a new one")),
        };
    }
    let Ok(response) = inner.call(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let answer = Kept { request: digest, head: head.headers, body: body.to_bytes(), trailers };
    let response = answer.response();
    // What failed may be tried again: only a call that did something is remembered.
    let done = answer.trailers.as_ref().and_then(|it| it.get("grpc-status")).is_some_and(|it| it == "0");
    if done && answer.body.len() <= ANSWER_MAX {
        *kept = Some(answer);
    }
    Ok(response)
}

/// The request id in a body of gRPC, unless there is none or the body is no such message, which its service will say.
fn request_id(method: &MethodDescriptor, body: &Bytes) -> Option<String> {
    method.input().get_field_by_name("request_id")?;
    let (prefix, message) = body.split_at_checked(PREFIX)?;
    let mut length = BytesMut::with_capacity(4);
    length.put_slice(prefix.get(1..)?);
    let plain = prefix.first() == Some(&0) && u32::from_be_bytes(length[..].try_into().ok()?) as usize == message.len();
    if !plain {
        return None;
    }
    let message = DynamicMessage::decode(method.input(), message).ok()?;
    let id = message.get_field_by_name("request_id")?.as_str().map(str::to_owned)?;
    Some(id).filter(|it| !it.is_empty())
}
