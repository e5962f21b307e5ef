//! The binary `keycell`: the KDC and the administrator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    keycell_kdc::cli::main()
}
