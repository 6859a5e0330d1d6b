//! Who is who in a fleet: its certificate authority, what a certificate says, join and operator tokens, and the TLS
//! settings of every connection.
//!
//! An identity comes from the TLS peer's certificate alone, never from a message field or a header. Times are
//! arguments; only making keys and secrets draws from the system's random source.

mod authority;
mod fleet;
mod join;
mod peer;
mod secret;
mod tls;
mod token;

pub use authority::{
    AGENT_LIFE, CA_LIFE, Credential, FleetCa, IssueError, Issued, OPERATOR_LIFE, Request, SERVER_LIFE,
};
pub use fleet::fleet_of_authority;
pub use join::{JOIN_LIFE, JoinGrant, JoinToken, JoinTokenError};
pub use peer::{CaPin, IdentityError, PeerCertificate, PeerIdentity, RENEW_GRACE, Role, UnknownRole};
pub use secret::{Secret, SecretHash};
pub use tls::{
    Listener, TlsError, client_config, explain_tls, pinned_client_config, server_config, token_client_config,
};
pub use token::{GrantRefusal, OperatorGrant, OperatorToken, OperatorTokenError};
