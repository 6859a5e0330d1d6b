//! The server over real TLS, in this process.

mod fixture;
mod membership;
