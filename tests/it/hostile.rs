//! Clients that mean no good, or know no better, disturb nobody else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{kill, wait, with_lab};

/// How many clients at once say nothing.
const SILENT: usize = 50;

#[test]
fn garbage_and_silence_on_both_ports_do_not_keep_a_service_from_being_healed() {
    with_lab(async |lab, service| {
        let addresses = *lab.fleet.addresses();
        let connect = |at: SocketAddr| TcpStream::connect(at).unwrap();
        let mut held = Vec::new();
        for at in [addresses.control, addresses.agents] {
            for _ in 0..SILENT {
                held.push(connect(at));
            }
            for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 65_536], b"\x16\x03\x01\xff\xff", b"\x16"] {
                let mut stream = connect(at);
                // The server may end the connection before everything is said; that is its good right.
                let _ = stream.write_all(garbage);
                stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                let _ = stream.read(&mut [0; 1024]);
                held.push(stream);
            }
        }
        kill(&service, Signal::KILL);
        wait("the service is healed", async || lab.records.first("repair_verified").is_some()).await;
        lab.fleet.must_run().unwrap();
        assert_eq!(service.runs().len(), 2);
        drop(held);
    });
}
