#!/usr/bin/env python3
"""Unmodified client libraries against a server with a real model.

    run_clients.py BUILD_FOLDER SUITE...

Suites: ollama.mjs, openai.mjs, anthropic.mjs, langchain.mjs, ai.mjs, page.mjs (npm, pinned in package.json), ollama, openai, anthropic,
litellm (PyPI, pinned below). They are installed into the build folder once. MULLAMA_BINARY and MULLAMA_MODELS_DIR say what is served. Exit
code 77 if the packages or the model cannot be had.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]
import python_packages  # noqa: E402
import support  # noqa: E402

MODEL = "smollm2:135m"
REQUIREMENTS = ("ollama==0.6.3", "openai==2.3.0", "anthropic==0.69.0", "litellm==1.77.7")
SKIPPED = 77


def install_npm(folder):
    """node_modules beside copies of the suites, or False."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("skipped: node and npm are not installed")
        return False
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_text()
    done = folder / ".installed"
    for suite in [*HERE.glob("*.mjs"), HERE / "package.json"]:
        shutil.copy(suite, folder)
    if done.exists() and done.read_text() == wanted:
        return True
    problem = python_packages.install(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
    if problem:
        print(f"skipped: npm cannot install the clients: {problem}")
        return False
    done.write_text(wanted)
    return True


class Server:
    """`mullama serve` on loopback, with a home and a models folder of its own, which clients may change."""

    def __init__(self, folder):
        self.models = folder / "models"
        shutil.rmtree(self.models, ignore_errors=True)
        shutil.copytree(os.environ["MULLAMA_MODELS_DIR"], self.models, copy_function=os.link)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OLLAMA_")}
        environment.update(HOME=str(folder), MULLAMA_MODELS_DIR=str(self.models))
        log_path = folder / "server.log"
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen([os.environ["MULLAMA_BINARY"], "serve", "--model", MODEL, "--port", "0", "--ctx-size", "2048"],
                                            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.url = f"http://127.0.0.1:{support.wait_for_port(self.process, log_path)}"
        except RuntimeError:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)


def main():
    build = pathlib.Path(sys.argv[1])
    suites = sys.argv[2:]
    if not (pathlib.Path(os.environ["MULLAMA_MODELS_DIR"]) / "manifests").is_dir():
        print(f"skipped: {MODEL} is not in the models folder")
        return SKIPPED
    if subprocess.run([os.environ["MULLAMA_BINARY"], "serve", "--help"], capture_output=True, check=False).returncode != 0:
        print("skipped: this build of the program has no serve command")
        return SKIPPED
    node, python = build / "clients" / "node", build / "clients" / "python"
    if any(suite.endswith(".mjs") for suite in suites) and not install_npm(node):
        return SKIPPED
    if any(not suite.endswith(".mjs") for suite in suites) and not python_packages.use(python, *REQUIREMENTS):
        return SKIPPED
    home = build / "clients" / f"home-{re.sub('[^a-z]', '-', suites[0])}"
    home.mkdir(parents=True, exist_ok=True)
    failed = []
    with Server(home) as server:
        environment = {**os.environ, "MULLAMA_URL": server.url, "MULLAMA_MODEL": MODEL, "HOME": str(home), "PYTHONPATH": str(python)}
        for suite in suites:
            command = ["node", suite] if suite.endswith(".mjs") else [sys.executable, str(HERE / "python_clients.py"), suite]
            begun = time.monotonic()
            done = subprocess.run(command, cwd=node if suite.endswith(".mjs") else home, env=environment, check=False, timeout=800)
            print(f"{suite}: {'ok' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - begun:.1f} s", flush=True)
            if done.returncode != 0:
                failed.append(suite)
    return 1 if failed else 0


sys.exit(main())
