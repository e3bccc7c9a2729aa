#!/usr/bin/env python3
"""Lets 50 JSON Schemas restrict answers and has each one parsed and judged by the PyPI package `jsonschema`.

    check_schemas.py SAMPLES_BINARY PACKAGES_FOLDER MODEL TOKENS [random]

MODEL is a GGUF file (a vocabulary alone is enough) or a name in the models folder. `random`: random logits even
where there are weights. Exit code 77 if the model or the package cannot be had.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import python_packages  # noqa: E402

SCHEMAS = pathlib.Path(__file__).with_name("schemas.json")
# What a mask may cost on average, in processor time: 5 % of a decode step of a model with 1 billion parameters at 4 bits.
MOST_MASK_MILLISECONDS = 1.0


def main():
    samples, packages, model, tokens = sys.argv[1:5]
    if not python_packages.use(packages, "jsonschema==4.25.1", "rfc3339-validator==0.1.4"):
        return 77
    import jsonschema

    environment = dict(os.environ)
    if "random" in sys.argv[5:]:
        environment["MULLAMA_RANDOM_LOGITS"] = "1"
    done = subprocess.run([samples, model, SCHEMAS, tokens], capture_output=True, encoding="utf-8", env=environment, check=False)
    if done.returncode != 0 and "not found" in done.stderr:
        print(f"skipped: {done.stderr.strip()}")
        return 77
    if done.returncode != 0:
        print(done.stderr)
        return 1
    schemas = json.loads(SCHEMAS.read_text())
    validators = [jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER) for schema in schemas]
    *answers, figures = map(json.loads, done.stdout.splitlines())
    problems = []
    whole = collections.Counter()
    for answer in answers:
        if not answer["complete"]:
            continue
        whole[answer["schema"]] += 1
        try:
            value = json.loads(answer["text"])
        except json.JSONDecodeError as error:
            problems.append(f"schema {answer['schema']}, seed {answer['seed']}: {error}: {answer['text']}")
            continue
        for error in validators[answer["schema"]].iter_errors(value):
            problems.append(f"schema {answer['schema']}, seed {answer['seed']}: {error.message}: {answer['text']}")
    never = [index for index in range(len(schemas)) if whole[index] == 0]
    print(json.dumps(figures))
    print(f"{len(answers)} answers to {len(schemas)} schemas, {sum(whole.values())} whole, {len(problems)} not valid; "
          f"schemas that were never finished: {never}")
    print("\n".join(problems[:20]))
    if figures["mask_ms_mean"] > MOST_MASK_MILLISECONDS:
        problems.append("masks are too slow")
        print(problems[-1])
    # Few schemas can only be met by answers longer than the limit; most must have been finished.
    return 1 if problems or len(never) > len(schemas) // 5 else 0


sys.exit(main())
