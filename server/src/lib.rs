//! The central server: loop, store, sessions, control services.

pub mod archive;
pub mod audit;
pub mod history;
pub mod journal;
pub mod store;
