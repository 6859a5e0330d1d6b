//! Sending one request, and judging what came back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::format::Post;

/// How long a receiver may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// How much of an answer is read, in bytes.
const READ_MAX: usize = 64 * 1024;

/// How much of an answer is repeated in messages for people.
const SAID_MAX: usize = 200;

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Trying again may help.
    Later(String),
    /// Trying again will not.
    Never(String),
}

impl Failed {
    /// Why, for people.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Later(why) | Self::Never(why) => why,
        }
    }
}

/// Sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Sender {
    /// Trusts what the system trusts.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub(crate) fn new() -> std::io::Result<Self> {
        let https =
            hyper_rustls::HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(https)))
    }

    /// Sends one, and gives the beginning of the answer.
    pub(crate) async fn send(&self, post: &Post) -> Result<Bytes, Failed> {
        match tokio::time::timeout(ANSWER_MAX, self.exchange(post)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed::Later(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
        }
    }

    async fn exchange(&self, post: &Post) -> Result<Bytes, Failed> {
        let mut request = Request::post(&post.url).header(header::CONTENT_TYPE, post.content_type);
        if let Some(secret) = &post.authorization {
            let mut value = HeaderValue::from_str(secret)
                .map_err(|_| Failed::Never("the secret has characters that no header can hold".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request
            .body(Full::from(post.body.to_string()))
            .map_err(|error| Failed::Never(format!("no request can be made of it: {error}")))?;
        let answer = self.0.request(request).await.map_err(|error| Failed::Later(chain(&error)))?;
        let status = answer.status();
        let body =
            Limited::new(answer.into_body(), READ_MAX).collect().await.map(|it| it.to_bytes()).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let said: String =
            String::from_utf8_lossy(&body).chars().take(SAID_MAX).filter(|it| !it.is_control()).collect();
        let why = format!("it answered {status}: {said}");
        let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Err(if again { Failed::Later(why) } else { Failed::Never(why) })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
