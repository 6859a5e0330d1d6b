//! Errors that programs can tell apart and people can act on: a status, a stable reason, and what to do.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::driver::Stopped;

/// Who gives out the reasons.
pub const DOMAIN: &str = "prunella";

/// A status with a reason in capitals. `facts` are for programs.
#[must_use]
pub fn status(code: Code, reason: &str, message: impl Into<String>, facts: &[(&str, &str)]) -> Status {
    let facts: HashMap<String, String> = facts.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, facts))
}

/// A field of the request is wrong.
#[must_use]
pub fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    let mut details = ErrorDetails::with_bad_request_violation(field, why.to_string());
    details.set_error_info("INVALID_ARGUMENT", DOMAIN, HashMap::from([("field".to_owned(), field.to_owned())]));
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {why}"), details)
}

/// There is no such thing.
#[must_use]
pub fn not_found(name: &str) -> Status {
    let message = format!("there is no {name}");
    let mut details = ErrorDetails::with_resource_info("", name, "", &message);
    details.set_error_info("NOT_FOUND", DOMAIN, HashMap::from([("name".to_owned(), name.to_owned())]));
    Status::with_error_details(Code::NotFound, message, details)
}

/// It would be wrong to do it now.
#[must_use]
pub fn refused(reason: &str, message: impl Into<String>) -> Status {
    status(Code::FailedPrecondition, reason, message, &[])
}

/// The caller is not known, or not any more.
#[must_use]
pub fn unauthenticated(reason: &str, message: impl Into<String>) -> Status {
    status(Code::Unauthenticated, reason, message, &[])
}

/// Something failed that is no fault of the caller's. The log says what; the caller learns no more than it must.
#[must_use]
pub fn internal(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(target: "prunella::rpc", what, error, "a request failed");
    status(Code::Internal, "INTERNAL", format!("{what} failed; the server's log says why"), &[])
}

impl From<Stopped> for Status {
    fn from(stopped: Stopped) -> Self {
        status(Code::Unavailable, "STOPPING", format!("{stopped}; try again in a few seconds"), &[])
    }
}
