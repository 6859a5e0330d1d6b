//! A relay that counts what passes through it: TLS as it is, without what TCP and IP add.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The most that is read at once.
const PART: usize = 16 * 1024;

/// Counts both directions. It relays until the runtime ends.
#[derive(Debug, Clone)]
pub struct Meter {
    address: SocketAddr,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Meter {
    /// Begins to relay to `to`. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a port for the meter")?;
        let meter = Self { address: listener.local_addr()?, up: Arc::default(), down: Arc::default() };
        let (up, down) = (Arc::clone(&meter.up), Arc::clone(&meter.down));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(to).await else { continue };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(relay(near_in, far_out, Arc::clone(&up)));
                tokio::spawn(relay(far_in, near_out, Arc::clone(&down)));
            }
        });
        Ok(meter)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes went to the far end, and how many came back.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passed: Arc<AtomicU64>) {
    let mut part = vec![0; PART];
    while let Ok(count @ 1..) = from.read(&mut part).await {
        if to.write_all(part.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_passes_is_counted_in_each_direction() {
        let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let meter = Meter::start(far.local_addr().unwrap()).await.unwrap();
        let mut near = TcpStream::connect(meter.address()).await.unwrap();
        let mut served = far.accept().await.unwrap().0;
        near.write_all(b"twelve bytes").await.unwrap();
        let mut got = [0; 12];
        served.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"twelve bytes");
        served.write_all(b"five!").await.unwrap();
        drop(served);
        let mut back = Vec::new();
        near.read_to_end(&mut back).await.unwrap();
        assert_eq!((back.as_slice(), meter.bytes()), (&b"five!"[..], (12, 5)));
    }
}
