"""Prints the path of the weights of a stored model, or nothing.

    model_file.py MODELS_DIR NAME TAG
"""
import json
import pathlib
import sys

models, name, tag = pathlib.Path(sys.argv[1]), *sys.argv[2:]
for manifest in sorted(models.glob(f"manifests/*/*/{name}/{tag}")):
    for layer in json.loads(manifest.read_text(encoding="utf-8"))["layers"]:
        if layer["mediaType"] == "application/vnd.ollama.image.model":
            print(models.resolve() / "blobs" / layer["digest"].replace(":", "-"))
            sys.exit(0)
