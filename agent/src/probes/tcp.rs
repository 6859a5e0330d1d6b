//! An address that must accept a connection.

use std::io;
use std::time::Duration;

use prunella_model::observation::Finding;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::board::Look;
use crate::config::HostPort;

/// See the module.
pub(super) struct Tcp {
    address: HostPort,
    timeout: Duration,
}

impl Tcp {
    pub(super) fn new(address: &HostPort, timeout: Duration) -> Self {
        Self { address: address.clone(), timeout }
    }

    pub(super) async fn look(&mut self) -> Look {
        let begun = Instant::now();
        match timeout(self.timeout, connect(&self.address)).await {
            Ok(Ok(_stream)) => Look::up(Finding::Answered { latency: begun.elapsed() }),
            Ok(Err(error)) => not_connected(&error),
            Err(_) => Look::down(Finding::NoAnswer { waited: self.timeout }),
        }
    }
}

pub(super) async fn connect(address: &HostPort) -> io::Result<TcpStream> {
    match address {
        HostPort::Address(address) => TcpStream::connect(address).await,
        HostPort::Name(name) => TcpStream::connect(name).await,
    }
}

/// What a failed connect says: of the target when its host answered or cannot be reached, of this host otherwise.
pub(super) fn not_connected(error: &io::Error) -> Look {
    use rustix::io::Errno;
    let own =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL, Errno::ACCESS, Errno::PERM];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) if own.contains(&errno) => Look::broken(format!("no connection can be made from here: {error}")),
        Some(_) => Look::down(Finding::Unreachable { why: error.to_string() }),
        // Without an error of the system it was the look-up of the name that failed.
        None => Look::broken(format!("the name cannot be looked up: {error}")),
    }
}
