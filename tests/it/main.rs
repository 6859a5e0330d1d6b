//! Tests with real processes, real sockets and real TLS: one binary, so that they link once.

mod crashes;
mod demo;
mod hostile;
mod mistakes;
mod support;
mod tidy;
