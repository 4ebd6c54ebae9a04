//! What finds the bugs of `mutants` finds nothing where there is none.

use std::io;
use std::path::{Path, PathBuf};

use cache_proof::{Fault, Mode, Mutant, plan_of_hunts, run};

const WORKER: &str = env!("CARGO_BIN_EXE_cache-proof-worker");

fn mutants() -> Vec<Mutant> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let files = folder
        .read_dir()
        .and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let files = files.expect("the folder is read");
    let files = files.into_iter().map(|file| file.path());
    let patches = files.filter(|file| file.extension().is_some_and(|kind| kind == "patch"));
    let read = |patch: PathBuf| Mutant::read(&patch).expect("its header is right");
    patches.map(read).collect()
}

#[test]
#[ignore = "run by ./scripts/check-mutants"]
fn nothing_is_found_where_there_is_no_bug() {
    let mutants = mutants();
    for mode in [Mode::Tracking, Mode::PubSub, Mode::NoBus, Mode::Redis] {
        let of_mode = mutants.iter().filter(|mutant| mutant.mode == mode);
        let faults: Vec<Fault> = of_mode.flat_map(|mutant| mutant.faults.clone()).collect();
        let _alone = crate::alone();
        run(&plan_of_hunts(WORKER.as_ref(), mode, &faults)).assert_no_violation();
    }
}
