//! The model of random weights that tests run on.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// The file that MULLAMA_TEST_TINY names; else write_tiny_model is built from the sources around, and writes one.
pub fn tiny_model() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = env::var_os("MULLAMA_TEST_TINY") {
        return PathBuf::from(path);
    }
    MADE.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let build = folder.join("write_tiny_model");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let configure = ["-DCMAKE_BUILD_TYPE=Release", "-DMULLAMA_BUILD_TESTS=ON", "-G", "Ninja"];
        run(Command::new("cmake").args(configure).arg("-S").arg(repository).arg("-B").arg(&build));
        run(Command::new("cmake").arg("--build").arg(&build).args(["--target", "write_tiny_model"]));
        let path = folder.join("tiny.gguf");
        run(Command::new(build.join("bin/write_tiny_model")).arg(&path));
        path
    })
    .clone()
}
