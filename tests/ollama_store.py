"""Writes models into a folder the way Ollama keeps them, for tests of stores that we have not written."""

import hashlib
import json
import os
import pathlib
import shutil

TYPES = {"model": "application/vnd.ollama.image.model", "template": "application/vnd.ollama.image.template"}


def weights_of(folder, name):
    """The GGUF file of NAME:TAG in such a folder."""
    model, tag = name.split(":")
    manifest = json.loads((pathlib.Path(folder) / "manifests/registry.ollama.ai/library" / model / tag).read_text())
    digest = next(layer["digest"] for layer in manifest["layers"] if layer["mediaType"] == TYPES["model"])
    return pathlib.Path(folder) / "blobs" / digest.replace(":", "-")


def add_model(folder, name, weights, template=None, config=None):
    """The model NAME:latest with a GGUF file, and a template of its own where one is given."""
    blobs = pathlib.Path(folder) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)

    def layer(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    weights = pathlib.Path(weights).resolve()
    with open(weights, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = blobs / f"sha256-{digest}"
    if not target.exists():
        try:
            os.link(weights, target)
        except OSError:  # another file system
            shutil.copyfile(weights, target)
    layers = [{"mediaType": TYPES["model"], "digest": f"sha256:{digest}", "size": target.stat().st_size}]
    if template is not None:
        layers.append(layer(TYPES["template"], template.encode()))
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": layer("application/vnd.docker.container.image.v1+json", json.dumps(config or {}).encode()), "layers": layers}
    path = pathlib.Path(folder) / "manifests/registry.ollama.ai/library" / name / "latest"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))
