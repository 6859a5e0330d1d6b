//! Real trouble, on request: memory that is taken and never given back, files that nobody removes.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// The most that a leak takes, so that a demonstration that is left alone does not take the machine with it.
const LEAK_MAX_MIB: usize = 512;

/// The most that is written at once.
const FILL_MAX_MIB: usize = 256;

/// How often a leak grows. Often enough that it is a slope and not a staircase to a probe that looks each second.
const LEAK_STEP: Duration = Duration::from_millis(100);

const MIB: usize = 1024 * 1024;

/// Takes `mib_per_second` until the process ends or [`LEAK_MAX_MIB`] is reached.
pub(super) async fn leak(held: Rc<RefCell<Vec<Vec<u8>>>>, mib_per_second: usize) {
    let step = mib_per_second.saturating_mul(MIB) / 10;
    let mut taken = 0;
    while taken + step <= LEAK_MAX_MIB * MIB && step > 0 {
        // Written, not only reserved: memory that nobody touches is not in use.
        held.borrow_mut().push(vec![0xA5; step]);
        taken += step;
        tokio::time::sleep(LEAK_STEP).await;
    }
}

/// Writes `mib` files of 1 MiB each into `dir`.
pub(super) fn fill(dir: &Path, mib: usize) -> io::Result<usize> {
    let mib = mib.min(FILL_MAX_MIB);
    std::fs::create_dir_all(dir)?;
    let block = vec![b'.'; MIB];
    for number in 0..mib {
        std::fs::write(dir.join(format!("cache-{number:04}.tmp")), &block)?;
    }
    Ok(mib)
}
