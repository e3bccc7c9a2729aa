"""One API in three languages: the names of tests/names.json, which every language's suite checks against its own."""

import dataclasses
import json

from conftest import ROOT

import mullama


def public(names):
    return {name for name in names if not name.startswith("_")}


def names_of(owner):
    """What the package has under an owner of the table."""
    if owner in ("functions", "types"):
        return {name for name in mullama.__all__ if name.islower() == (owner == "functions")}
    if owner == "LiveObjects":
        return set(mullama.live_objects())
    kind = getattr(mullama, owner)
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    if owner == "KvCacheType":
        return set(kind.__members__)
    return public(dir(kind))


def test_G38_names_are_those_of_the_table():
    table = json.loads((ROOT / "tests" / "names.json").read_text(encoding="utf-8"))
    for owner, languages in table.items():
        wanted = {name for whose, names in languages.items() if whose == "all" or "python" in whose.split() for name in names}
        assert names_of(owner) == wanted, owner
    assert public(vars(mullama)) >= set(mullama.__all__)
