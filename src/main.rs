//! The `windlass` program: arguments → run → exit code.
//!
//! A re-exec of Windlass for one of its own parts (`windlass internal PART …`)
//! is told apart before anything else is set up: those parts stay
//! single-threaded and small.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == "internal") {
        return internal(&arguments[2..]);
    }
    windlass::cli::main(&arguments)
}

/// One part of Windlass in a process of its own. Never called by users.
fn internal(arguments: &[OsString]) -> ExitCode {
    let part = arguments.first().and_then(|part| part.to_str()).unwrap_or_default();
    match part {
        "exec" => windlass::shim::enter::main(&arguments[1..]),
        "judge" => windlass::gitops::judge::main(),
        "shim" => windlass::shim::main(&arguments[1..]),
        "name-server" => windlass::network::name_server::main(&arguments[1..]),
        "forward" => windlass::network::forwarder::main(&arguments[1..]),
        "kvm-probe" => windlass::engine::qemu::kvm_probe::main(),
        "virtiofsd" => windlass::engine::qemu::virtiofsd::main(&arguments[1..]),
        _ => ExitCode::from(2),
    }
}
