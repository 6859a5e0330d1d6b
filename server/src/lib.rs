//! The central server: loop, store, sessions, control services.

pub mod archive;
pub mod audit;
pub mod authority;
pub mod clock;
pub mod closed;
pub mod config;
pub mod denials;
pub mod driver;
pub mod effects;
pub mod enrolment;
pub mod feed;
pub mod files;
pub mod fleet_dir;
pub mod history;
pub mod http;
pub mod journal;
pub mod logs;
pub mod notes;
pub mod notify;
pub mod operators;
pub mod policy;
pub mod preview;
pub mod questions;
mod records;
mod reload;
pub mod rpc;
pub mod serve;
pub mod sessions;
mod startup;
pub mod store;
pub mod traces;
mod voice;
mod wiring;

use std::path::PathBuf;

pub use config::Config;
pub use fleet_dir::FleetDir;
pub use serve::{Addresses, ServeError, serve};

/// How many threads serve. The loop is one task; the other thread does TLS meanwhile.
const WORKERS: usize = 2;

/// What the server's command line says.
#[derive(Debug, Clone)]
pub struct ServeArgs {
    /// The configuration file.
    pub config: PathBuf,
    /// Where to serve JSON and the dashboard, instead of what the file says.
    pub http: Option<config::HttpListen>,
}

/// Runs the server until SIGINT or SIGTERM: what `prunella-server` and `prunella server` do.
///
/// # Errors
/// Whatever kept the server from starting or ended it, with what to do about it.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    logs::init();
    let mut config = Config::load(&args.config)?;
    if let Some(http) = args.http {
        config.listen.http = http;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    Ok(runtime.block_on(serve(config, serve::signalled(), |_| {}))?)
}
