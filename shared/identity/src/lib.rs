//! Fleet certificates: authority, requests, join tokens, peer identity.
