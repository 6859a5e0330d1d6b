//! The `prunella` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    prunella::main()
}
