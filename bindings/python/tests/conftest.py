import os
import pathlib

import mullama
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "tests" / "guide" / "samples"


# AddressSanitizer keeps freed memory for a while, shadows all of it, and locks none.
measures_memory = pytest.mark.skipif("MULLAMA_TEST_SANITIZED" in os.environ, reason="a sanitizer's memory is not the library's")


def from_environment(name, what):
    path = os.environ.get(name)
    if not path or not os.path.exists(path):
        pytest.skip(f"{name} does not name {what}")
    return path


@pytest.fixture(scope="session")
def tiny_path():
    """A model of random weights: fast, its answers mean nothing."""
    return from_environment("MULLAMA_TEST_TINY", "the file of write_tiny_model")


@pytest.fixture(scope="session")
def real_path():
    """A small real model."""
    return from_environment("MULLAMA_TEST_MODEL", "a real model")


@pytest.fixture()
def tiny(tiny_path):
    return mullama.Model.load(tiny_path)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Every test drops what it made, and leaves no budget."""
    yield
    mullama.set_memory_budget("")


@pytest.fixture()
def in_guide_folder(tmp_path, monkeypatch, real_path):
    """A folder with ./model.gguf, as the guide's samples have it."""
    (tmp_path / "model.gguf").symlink_to(real_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proc_status(field):
    """A size in bytes from /proc/self/status."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def is_mapped(path):
    return os.path.realpath(path) in pathlib.Path("/proc/self/maps").read_text()
