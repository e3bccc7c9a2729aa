#!/usr/bin/env python3
"""What Python's jinja2 makes of templates, with the settings Hugging Face transformers uses for chat templates.

Needs jinja2 (Debian: python3-jinja2) and nothing else.

    templates.py cases < cases.json > results.json
        cases.json is a list of {"template": TEXT, "variables": OBJECT}; each result is {"text": TEXT} or
        {"error": MESSAGE, "type": PYTHON_CLASS, "line": LINE}.
    templates.py snippets > tests/text/jinja/snippets.json
        The corpus of template_snippets.py with what jinja2 makes of it, which the C++ test reads.
"""

import datetime
import json
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

# What strftime_now() prints in every golden result; the C++ tests set the same clock.
CLOCK = datetime.datetime(2025, 3, 9, 14, 5, 6)


class Generation(jinja2.ext.Extension):
    """The {% generation %} tag, which marks text of the assistant and prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    """Refuses names that begin with an underscore."""

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(
                f"Chat templates cannot store underscore-prefixed attributes on a namespace, but got {name!r}. "
                "Please rename the attribute."
            )


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: CLOCK.strftime(format)
    env.globals["namespace"] = Namespace
    return env


def line_of(error):
    """The line of the template that an exception points to."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    line = 0
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def render(env, template, variables, compiled={}):
    try:
        if template not in compiled:
            compiled[template] = env.from_string(template)
        return {"text": compiled[template].render(**variables)}
    except Exception as error:
        return {"error": str(error), "type": type(error).__name__, "line": line_of(error)}


def snippets():
    from template_snippets import SNIPPETS

    env = environment()
    corpus = []
    for name, template, variables in SNIPPETS:
        corpus.append({"name": name, "template": template, "variables": variables, **render(env, template, variables)})
    return corpus


def main():
    if sys.argv[1:] == ["cases"]:
        env = environment()
        results = [render(env, case["template"], case["variables"]) for case in json.load(sys.stdin)]
    elif sys.argv[1:] == ["snippets"]:
        results = snippets()
    else:
        sys.exit(__doc__)
    json.dump(results, sys.stdout, indent=1, ensure_ascii=True)
    print()


if __name__ == "__main__":
    main()
