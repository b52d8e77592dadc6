//! The binary; all of it is in the library, where tests and benches reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    vestibule::cli::main()
}
