//! Loads, soaks and simulations, in one program: each is linked with a whole KDC, and that takes its time.
//!
//! ```text
//! tests/load/NAME [SIZE]
//! ```

mod borders;
mod churn;
mod comeback;
mod hosts;
mod members;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = arguments.get(1).map(String::as_str);
    match arguments.first().map(String::as_str) {
        Some("enroll") => hosts::run(size),
        Some("groups") => members::run(size),
        Some("recovery") => comeback::run(size),
        Some("soak") => churn::run(size),
        Some("zones") => borders::run(size),
        _ => {
            eprintln!("load enroll|groups|recovery|soak|zones [SIZE]");
            ExitCode::from(2)
        }
    }
}
