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
    /// Where to serve JSON and the dashboard: ADDRESS:PORT, or off [default: what the file says, else 127.0.0.1:8009]
    #[arg(long, value_name = "ADDRESS", env = "PRUNELLA_HTTP")]
    http: Option<prunella_server::config::HttpListen>,
}

fn main() -> ExitCode {
    let Cli { config, http } = Cli::parse();
    match prunella_server::run(prunella_server::ServeArgs { config, http }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prunella-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
