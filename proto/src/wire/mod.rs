//! The only place where protobuf types become ours and back.
//!
//! Encoding is total. Decoding trusts nothing: what is missing, malformed, unknown or too large is a
//! [`WireError`] that names the field, so that inside the program values are valid by type.

mod command;
mod error;
mod field;
mod host;
pub mod limits;
mod link;
mod observation;
mod outcome;
mod part;
mod rehearsal;
mod snapshot;
mod standing;
mod step;
mod time;

#[cfg(test)]
mod dice;
#[cfg(test)]
mod tests;

pub use command::{
    decode_delivery, decode_envelope, decode_intent, decode_signed_command, decode_trust, encode_delivery,
    encode_envelope, encode_intent, encode_signed_command, encode_trust,
};
pub use error::{WireError, Wrong};
pub use link::{decode_agent, decode_server, encode_agent, encode_server};
pub use standing::{decode_standing, encode_standing};
pub use time::{decode_span, decode_time, encode_span, encode_time};
