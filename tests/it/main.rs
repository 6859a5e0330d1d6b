//! Tests with real processes, real sockets and real TLS: one binary, so that they link once.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that meets the unexpected fails")]

mod backup;
mod bench;
mod book;
mod browser;
mod clients;
mod crashes;
mod demo;
mod deploy;
mod features;
mod gates;
mod hostile;
mod lab;
mod logs;
mod mistakes;
mod operators;
mod orders;
mod stalls;
mod support;
mod tidy;
