//! The slim server binary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

const EXAMPLE: &str = "\
Example:
  prunella-server --config /etc/prunella/server.toml";

/// Runs the central server of a fleet until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "prunella-server", version, after_help = EXAMPLE)]
struct Cli {
    /// The server's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    match prunella_server::run(prunella_server::ServeArgs { config: Cli::parse().config }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prunella-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
