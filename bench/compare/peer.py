"""llama.cpp as a peer: the prebuilt libraries of its npm package, and a small program on their C API."""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "3.22.1"  # of node-llama-cpp; the headers come from the same package


class PeerError(Exception):
    pass


def _run(command, what):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise PeerError(f"{what} failed:\n{done.stdout[-2000:]}")


class Peer:
    """Installed below `folder` on first use."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.libraries = self.folder / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
        self.sources = self.folder / "llama.cpp"
        self.program = self.folder / "peer"

    def install(self):
        for tool in ("npm", "git", "g++"):
            if shutil.which(tool) is None:
                raise PeerError(f"'{tool}' is needed to install the peer; scripts/packages.sh lists its package")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.libraries.exists():
            print(f"installing llama.cpp (node-llama-cpp {VERSION}) into {self.folder}", file=sys.stderr)
            _run(["npm", "install", "--prefix", str(self.folder), "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional",
                  f"node-llama-cpp@{VERSION}", f"@node-llama-cpp/linux-x64@{VERSION}"], "npm install")
        if not self.sources.exists():
            bundle = self.folder / "node_modules/node-llama-cpp/llama/gitRelease.bundle"
            _run(["git", "clone", "-q", str(bundle), str(self.sources)], "unpacking the peer's headers")
        source = HERE / "peer.cpp"
        if not self.program.exists() or self.program.stat().st_mtime < source.stat().st_mtime:
            libraries = sorted(self.libraries.glob("libllama.v*.so")) + sorted(self.libraries.glob("libggml.v*.so"))
            libraries.append(self.libraries / "libggml-base.so")
            _run(["g++", "-std=c++20", "-O2", f"-I{self.sources}/include", f"-I{self.sources}/ggml/include", str(source), "-o",
                  str(self.program), f"-L{self.libraries}", *[f"-l:{path.name}" for path in libraries],
                  f"-Wl,-rpath,{self.libraries}", "-Wl,--allow-shlib-undefined"], "building the peer's driver")
        return self

    def backend(self, isa):
        """The folder, from which llama.cpp chooses the best library for this CPU, or the one library of `isa`."""
        if not isa:
            return self.libraries
        library = self.libraries / f"libggml-cpu-{isa}.so"
        if not library.exists():
            known = sorted(path.name[len("libggml-cpu-"):-len(".so")] for path in self.libraries.glob("libggml-cpu-*.so"))
            raise PeerError(f"the peer has no CPU library '{isa}'; there are {', '.join(known)}")
        return library

    def describe(self):
        return f"llama.cpp as prebuilt in npm's node-llama-cpp {VERSION}"
