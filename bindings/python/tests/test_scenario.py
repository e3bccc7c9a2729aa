"""Replays tests/scenario.json: the lines must be those of C++ (B7)."""

import json
import os
import pathlib

from conftest import ROOT, from_environment

import mullama
from mullama import Context, ContextParams, Model, MullamaError, SamplerParams


class Player:
    def __init__(self, path):
        self.path = path
        self.model = None
        self.context = None

    def options(self, step):
        sampler = SamplerParams(temperature=step.get("temperature", 0.0), seed=step.get("seed"))
        return {"max_tokens": step["max_tokens"], "sampler": sampler, "ignore_end_of_generation": True}

    def line(self, result):
        return (
            f"text={result.text.encode().hex()} tokens={','.join(map(str, result.tokens))} finish={result.finish_reason} "
            f"prompt_tokens={result.prompt_tokens} prompt_evaluated={result.prompt_evaluated} token_count={self.context.token_count}"
        )

    def params(self, step):
        return ContextParams(n_ctx=step["n_ctx"], n_batch=step.get("n_batch", 512), kv_cache_type=step["kv_cache_type"])

    def plan(self, step):
        plan = mullama.plan(self.path, context_params=self.params(step))
        kv = sum(row.bytes for row in plan.rows if row.pool == "kv")
        return f"context_size={plan.context_size} key_type={plan.key_type} total={plan.total} kv={kv} fits={str(plan.fits).lower()}"

    def load(self, step):
        self.model = model = Model.load(step.get("path", self.path))
        return f"architecture={model.architecture} vocab_size={model.vocab_size} n_layer={model.n_layer} size_bytes={model.size_bytes}"

    def context_(self, step):
        self.context = Context(self.model, self.params(step))
        return f"context_size={self.context.context_size}"

    def generate(self, step):
        return self.line(self.context.generate_result(step["prompt"] * step.get("repeat", 1), **self.options(step)))

    def chat(self, step):
        return self.line(self.context.chat_result(step["messages"], **self.options(step)))

    def stream(self, step):
        pieces = []
        with self.context.generate_stream(step["prompt"], **self.options(step)) as stream:
            while len(pieces) != step.get("take", -1):
                token = next(stream, None)
                if token is None:
                    break
                pieces.append(token.text.encode().hex() + "|")
        return f"pieces={''.join(pieces)} {self.line(stream.result)}"

    def memory(self, step):
        info = self.context.memory_info()
        fields = ("token_count", "context_size", "model_size", "kv_cache_size", "total_allocated", "kv_cache_used", "key_type")
        return " ".join(f"{name}={getattr(info, name)}" for name in fields)

    def clear(self, step):
        self.context.clear()
        return f"token_count={self.context.token_count}"

    def budget(self, step):
        mullama.set_memory_budget(step["budget"])
        return "set"

    def tell(self, step):
        name = step["op"]
        try:
            return getattr(self, "context_" if name == "context" else name)(step)
        except MullamaError as error:
            return f"error={error.status} message={str(error).encode().hex()}"


def test_B7_the_scenario(tiny_path):
    steps = json.loads((ROOT / "tests" / "scenario.json").read_text(encoding="utf-8"))["steps"]
    player = Player(os.fspath(tiny_path))
    told = [f"{step['op']} {player.tell(step)}" for step in steps]
    expected = pathlib.Path(from_environment("MULLAMA_TEST_SCENARIO", "the lines of C++")).read_text(encoding="utf-8").splitlines()
    assert told == expected
