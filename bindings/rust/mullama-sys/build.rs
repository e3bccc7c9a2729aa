//! Finds libmullama.so, or builds it: `MULLAMA_DIR` names the prefix of an installed Mullama, else the repository that this crate lies
//! in builds it with CMake.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn library_folder(prefix: &Path) -> Option<PathBuf> {
    ["lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"]
        .iter()
        .map(|folder| prefix.join(folder))
        .find(|folder| folder.join("libmullama.so").exists())
}

fn main() {
    println!("cargo:rerun-if-env-changed=MULLAMA_DIR");
    let given = env::var_os("MULLAMA_DIR").filter(|prefix| !prefix.is_empty());
    let prefix = match given {
        Some(prefix) => PathBuf::from(prefix),
        None => build(),
    };
    let folder = library_folder(&prefix)
        .unwrap_or_else(|| panic!("there is no libmullama.so under {}; MULLAMA_DIR should name the prefix of an installed Mullama", prefix.display()));
    println!("cargo:rerun-if-changed={}", folder.join("libmullama.so").display());
    // Cargo lets tests and doctests find libraries below its target folder only: a copy lies there.
    let copies = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("copies");
    fs::create_dir_all(&copies).expect("the folder of build output is writable");
    for name in ["libmullama.so", "libmullama.so.0"] {
        fs::copy(folder.join(name), copies.join(name)).expect("the library can be copied");
    }
    println!("cargo:rustc-link-search=native={}", copies.display());
    println!("cargo:rustc-link-lib=dylib=mullama");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    // For crates that depend on this one: their programs need the folder at run time.
    println!("cargo:folder={}", folder.display());
    println!("cargo:include={}", prefix.join("include").display());
}

fn build() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let script = repository.join("cmake/build_library.cmake");
    assert!(script.exists(), "set MULLAMA_DIR to the prefix of an installed Mullama, or build inside its repository");
    for part in ["CMakeLists.txt", "include", "src", "cmake"] {
        println!("cargo:rerun-if-changed={}", repository.join(part).display());
    }
    let built = Command::new("cmake").arg("-P").arg(script).status().expect("CMake 3.25 is installed");
    assert!(built.success(), "the library could not be built: see above");
    fs::canonicalize(repository.join("build-library/install")).expect("the library was just installed")
}
