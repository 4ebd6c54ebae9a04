//! Looks for the bug of a patch in a worker that was built with it, and fails if it is not found.

use std::path::PathBuf;
use std::process::ExitCode;

use cache_proof::Mutant;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [patch, worker] = &arguments[..] else {
        eprintln!("usage: cache-proof-hunt PATCH WORKER");
        return ExitCode::from(2);
    };
    let mutant = match Mutant::read(patch) {
        Ok(mutant) => mutant,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match mutant.hunt(worker) {
        Some((after, found)) => {
            let after = after.as_secs_f64();
            println!("{}: found after {after:.1} s by {found:?}", mutant.name);
            ExitCode::SUCCESS
        }
        None => {
            println!("{}: not found", mutant.name);
            ExitCode::FAILURE
        }
    }
}
