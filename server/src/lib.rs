//! The central server: loop, store, sessions, control services.

pub mod store;
