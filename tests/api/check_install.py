"""Installs the build into a folder of its own, and builds and runs a project against it by CMake and by pkg-config.

    check_install.py BUILD_DIR CONSUMER_DIR WRITE_TINY_MODEL CMAKE
"""
import os
import pathlib
import subprocess
import sys
import tempfile

build, consumer, write_tiny_model, cmake = sys.argv[1:]


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        sys.exit(f"{command} failed:\n{result.stdout}\n{result.stderr}")
    return result.stdout


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    prefix = folder / "prefix"
    run(cmake, "--install", build, "--prefix", prefix)
    model = folder / "tiny.gguf"
    run(write_tiny_model, model)

    run(cmake, "-S", consumer, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run(cmake, "--build", folder / "build")
    from_cpp = run(folder / "build" / "from_cpp", model)
    from_c = run(folder / "build" / "from_c", model)
    if not from_cpp or from_cpp != from_c:
        sys.exit(f"C++ and C gave different answers: {from_cpp!r}, {from_c!r}")

    files = list(prefix.rglob("mullama.pc"))
    if len(files) != 1:
        sys.exit(f"expected one mullama.pc, found {files}")
    environment = dict(os.environ, PKG_CONFIG_PATH=str(files[0].parent))
    flags = run("pkg-config", "--cflags", "--libs", "mullama", env=environment).split()
    libraries = files[0].parent.parent
    run("cc", "-o", folder / "by_pkg_config", pathlib.Path(consumer) / "from_c.c", *flags, f"-Wl,-rpath,{libraries}")
    if run(folder / "by_pkg_config", model) != from_c:
        sys.exit("the program built by pkg-config answers otherwise")

    texts = [path for path in prefix.rglob("*") if path.suffix in (".cmake", ".pc", ".hpp", ".h")]
    leaks = [str(path) for path in texts if build in path.read_text(encoding="utf-8")]
    if leaks:
        sys.exit(f"installed files name the build folder: {leaks}")
print(f"answered {from_c!r} three times")
