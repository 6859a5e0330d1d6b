//! What looks by HTTP would cost if nothing but their connections were made.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

/// How many bare looks are made to find their cost.
const FLOOR_LOOKS: u32 = 100;

/// The time between them: as much as between an agent's looks, so that caches are as cold.
const FLOOR_APART: Duration = Duration::from_millis(20);

/// What `each_second` requests over connections of their own cost the one who asks, in percent of a core, with nothing
/// around them: connect, send, receive, close.
pub(super) fn floor(each_second: usize) -> anyhow::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port for bare looks")?;
    let address = listener.local_addr()?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let mut line = [0; 512];
        for _ in 0..FLOOR_LOOKS {
            let mut asked = listener.accept()?.0;
            let _ = asked.read(&mut line)?;
            asked.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        }
        Ok(())
    });
    let mut spent = Duration::ZERO;
    let mut line = [0; 512];
    for _ in 0..FLOOR_LOOKS {
        std::thread::sleep(FLOOR_APART);
        let before = own_time();
        let mut ask = TcpStream::connect(address).context("making a bare look")?;
        ask.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        let _ = ask.read(&mut line)?;
        drop(ask);
        spent += own_time().saturating_sub(before);
    }
    answering.join().map_err(|_| anyhow::anyhow!("the answering side of the bare looks ended early"))??;
    let each = (spent / FLOOR_LOOKS).as_secs_f64();
    let count = f64::from(u32::try_from(each_second).unwrap_or(u32::MAX));
    Ok((each * count * 1e6).round() / 1e4)
}

/// The processor time of this thread.
fn own_time() -> Duration {
    let it = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(it.tv_sec).unwrap_or(0), u32::try_from(it.tv_nsec).unwrap_or(0))
}
