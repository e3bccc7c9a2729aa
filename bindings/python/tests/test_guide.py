"""The guide's samples, letter for letter, on a real model; then each row of the contract about them."""

import builtins
import os
import resource
import subprocess
import sys

import pytest
from conftest import SAMPLES, is_mapped, measures_memory, proc_status

import mullama
from mullama import Context, ContextParams, GpuMemoryError, Model, ModelParams, MullamaError, SamplerParams

GREEDY = {"sampler": SamplerParams.greedy()}


def run_sample(name, **names):
    """Executes a sample; the names it leaves."""
    source = (SAMPLES / f"{name}.py").read_text()
    exec(compile(source, f"{name}.py", "exec"), names)  # noqa: S102
    return names


@pytest.mark.filterwarnings("ignore::mullama.MullamaWarning")
class TestSamples:
    def test_P05_P06_P07_raii(self, in_guide_folder):
        names = run_sample("01_raii")
        assert isinstance(names["process_query"]("Once upon a time"), str)
        assert isinstance(names["explicit_cleanup"]("Once upon a time"), str)

    def test_P11_shared_model(self, in_guide_folder):
        names = run_sample("02_shared_model")
        assert [names[f"context{i}"].context_size for i in (1, 2, 3)] == [2048] * 3

    def test_P13_P14_P15_G02_kv_cache_types(self, in_guide_folder):
        names = run_sample("03_kv_cache_type")
        f16, q8, q4 = (names[f"context_{kind}"].memory_info().kv_cache_size for kind in ("f16", "q8", "q4"))
        assert 0.50 <= q8 / f16 <= 0.55  # real blocks carry a scale (X02)
        assert 0.25 <= q4 / f16 <= 0.30

    def test_P17_P18_mapped_loading(self, in_guide_folder):
        names = run_sample("04_mapped_loading")
        assert isinstance(names["model"], Model) and isinstance(names["locked_model"], Model)

    def test_P19_context_size(self, in_guide_folder):
        names = run_sample("05_context_size", Context=Context, ContextParams=ContextParams, model=Model.load("./model.gguf"))
        sizes = {n: names[f"{n}_context"].memory_info().kv_cache_size for n in ("short", "chat", "long")}
        assert sizes["chat"] == 8 * sizes["short"] and sizes["long"] == 64 * sizes["short"]

    def test_P20_batch_size(self, in_guide_folder):
        names = run_sample("06_batch_size", Context=Context, ContextParams=ContextParams, model=Model.load("./model.gguf"))
        assert isinstance(names["fast_context"], Context)

    def test_P21_T30_monitoring(self, in_guide_folder, capsys):
        info = run_sample("07_monitoring")["info"]
        total = round(info.total_allocated / 1e7)
        assert capsys.readouterr().out.splitlines() == [
            "Model size: 0.10 GB",
            "KV cache: 94 MB",
            "Context usage: 0/4096 tokens",
            f"Total allocated: {total // 100}.{total % 100:02} GB",
        ]

    def test_P22_small_context(self, in_guide_folder):
        names = run_sample("08_small_context", Context=Context, ContextParams=ContextParams, model=Model.load("./model.gguf"))
        info = names["context"].memory_info()
        assert (info.context_size, info.key_type, info.value_type) == (512, "q4_0", "q4_0")

    def test_P23_partial_offload(self, in_guide_folder):
        assert isinstance(run_sample("09_partial_offload", Model=Model, ModelParams=ModelParams)["model"], Model)

    def test_P25_reuse(self, in_guide_folder, capsys):
        run_sample("10_reuse", Context=Context, ContextParams=ContextParams, model=Model.load("./model.gguf"), prompts=["A cat", "A dog"])
        assert capsys.readouterr().out

    def test_P26_P28_G39_out_of_memory_falls_back(self, in_guide_folder, monkeypatch, capsys):
        load_with_fallback = run_sample("11_out_of_memory")["load_with_fallback"]
        mullama.set_memory_budget("16MiB")
        printed = []

        def lift_budget(*args, **kwargs):
            # The first try has failed by now; the budget stands in for a device that holds 20 layers, but not all.
            printed.append(args)
            mullama.set_memory_budget("")

        monkeypatch.setattr(builtins, "print", lift_budget)
        model = load_with_fallback("./model.gguf")
        assert isinstance(model, Model)
        assert printed == [("Full GPU offload failed, trying partial...",)]

    def test_P27_other_errors_are_raised_again(self, in_guide_folder, monkeypatch, capsys):
        load_with_fallback = run_sample("11_out_of_memory")["load_with_fallback"]
        (in_guide_folder / "bad.gguf").write_bytes(b"GGUF but no more")
        for path in ("missing.gguf", "bad.gguf"):
            with pytest.raises(MullamaError) as raised:
                load_with_fallback(str(path))
            assert "out of memory" not in str(raised.value).lower()
        assert capsys.readouterr().out == ""


def test_P01_P02_P03_P04_imports():
    assert issubclass(MullamaError, Exception)
    assert issubclass(GpuMemoryError, MullamaError)
    for name in ("Model", "Context", "ModelParams", "ContextParams", "KvCacheType", "MemoryInfo", "SamplerParams"):
        assert hasattr(mullama, name)


def test_P07_max_tokens_holds(tiny):
    context = Context(tiny, ContextParams(n_ctx=512))
    context.generate("abc", max_tokens=0)
    before = context.token_count
    context.generate("def", max_tokens=25)
    assert context.token_count - before - len(tiny.tokenize("def", add_special=False)) <= 25


def test_P08_freed_with_the_last_reference(tiny_path):
    model = Model.load(tiny_path)
    context = Context(model)
    assert mullama.live_objects()["contexts"] == 1
    del context, model
    assert not any(mullama.live_objects().values())
    assert not is_mapped(tiny_path)


@measures_memory
def test_P09_G04_with_frees_at_its_end(real_path):
    model = Model.load(real_path)
    before = proc_status("RssAnon")
    with Context(model, ContextParams(n_ctx=8192, kv_cache_type="f32")) as context:
        assert isinstance(context, Context)
        context.generate([1] * 2000, max_tokens=1)
        used = proc_status("RssAnon") - before
        assert used > 60e6, "2,000 tokens of 30 layers in f32 take more"
    assert proc_status("RssAnon") - before < used / 2
    assert mullama.live_objects()["contexts"] == 0
    for use in (lambda: context.generate("a"), context.clear, context.memory_info, lambda: context.token_count):
        with pytest.raises(MullamaError, match="closed"):
            use()
    context.close()


def test_P10_with_frees_on_exceptions_and_hides_none(tiny):
    with pytest.raises(RuntimeError, match="mine"):
        with Context(tiny):
            raise RuntimeError("mine")
    assert mullama.live_objects()["contexts"] == 0


def test_P11_P12_contexts_share_and_keep_the_model(tiny_path):
    model = Model.load(tiny_path)
    contexts = [Context(model, ContextParams(n_ctx=2048)) for _ in range(3)]
    assert mullama.live_objects()["models"] == 1
    del model
    del contexts[0]
    assert contexts[1].generate("abc", max_tokens=3, ignore_end_of_generation=True, **GREEDY)
    assert mullama.live_objects()["models"] == 1


def test_P13_P16_kv_cache_types(tiny):
    def size(**params):
        return Context(tiny, ContextParams(n_ctx=256, **params)).memory_info().kv_cache_size

    assert size() == size(kv_cache_type="f16") == size(kv_cache_type="bf16") == size(kv_cache_type=mullama.KvCacheType.F16)
    assert size(kv_cache_type="f32") == 2 * size()
    with pytest.raises(MullamaError, match="f32, f16, bf16, q8_0, q4_0"):
        ContextParams(kv_cache_type="q5_0")
    assert ContextParams().n_batch == 512  # G25


def test_P17_loading_defaults(tiny_path):
    assert "use_mmap=True, use_mlock=False" in repr(ModelParams())
    model = Model.load(tiny_path)
    assert is_mapped(tiny_path) and proc_status("VmLck") == 0
    del model
    model = Model.load_with_params(tiny_path, ModelParams(use_mmap=False))
    assert not is_mapped(tiny_path)
    assert model.size_bytes > 0


@measures_memory
def test_P18_locked_pages(real_path):
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    heard = []
    model = Model.load_with_params(real_path, ModelParams(use_mmap=True, use_mlock=True, on_warning=heard.append))
    # Root may lock beyond the limit; others hear how to raise it.
    assert proc_status("VmLck") >= model.size_bytes or any("ulimit -l" in line for line in heard), (soft, heard)


def test_P20_batch_memory_grows(tiny_path):
    sizes = []
    for n_batch in (128, 512, 2048):
        model = Model.load(tiny_path)
        sizes.append(Context(model, ContextParams(n_ctx=2048, n_batch=n_batch)).memory_info().scratch_size)
        del model
    assert sizes == sorted(set(sizes))


def test_P21_memory_info(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    info = context.memory_info()
    for name in ("model_size", "kv_cache_size", "token_count", "context_size", "total_allocated"):
        assert type(getattr(info, name)) is int
    assert info.total_allocated >= info.model_size + info.kv_cache_size  # G28
    context.evaluate(tiny.tokenize("abcdef"))
    assert context.memory_info().token_count == context.token_count == len(tiny.tokenize("abcdef"))  # G27
    context.clear()
    assert context.memory_info().token_count == 0


@pytest.mark.parametrize("row, layers", [("P23", 20), ("P24", -1)])
def test_P23_P24_gpu_layers_without_a_gpu(tiny_path, row, layers):
    with pytest.warns(mullama.MullamaWarning, match="CPU"):
        model = Model.load_with_params(tiny_path, ModelParams(n_gpu_layers=layers))
    assert Context(model, ContextParams(n_ctx=64)).generate("a", max_tokens=1, ignore_end_of_generation=True) is not None


def test_P25_clear_starts_over(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    first = context.generate_result("abc", 12, **GREEDY).tokens
    context.generate("more", max_tokens=5)
    kept = context.memory_info().total_allocated
    context.clear()
    assert context.token_count == 0
    assert context.generate_result("abc", 12, **GREEDY).tokens == first
    assert context.memory_info().total_allocated == kept


def test_P26_G34_budget_errors(tiny_path):
    mullama.set_memory_budget("64KiB")
    for _ in range(100):  # G33
        with pytest.raises(MullamaError) as raised:
            Model.load(tiny_path)
    assert "out of memory" in str(raised.value).lower() and "insufficient memory" in str(raised.value)
    assert raised.value.status == "budget_exceeded" and isinstance(raised.value, mullama.HostMemoryError)
    mullama.set_memory_budget("")
    assert not any(mullama.live_objects().values())
    Model.load(tiny_path)


def test_P26_budget_of_the_environment(tiny_path):
    code = f"import mullama\ntry: mullama.Model.load({tiny_path!r})\nexcept mullama.HostMemoryError as e: print('refused')"
    for budget, expected in (("64KiB", "refused\n"), ("", ""), ("2GiB", "")):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MULLAMA_MEMORY_BUDGET": budget}, capture_output=True, text=True, check=True)
        assert done.stdout == expected


def test_P27_errors_name_their_kind(tmp_path):
    with pytest.raises(MullamaError) as raised:
        Model.load(tmp_path / "missing.gguf")
    assert raised.value.status == "not_found" and "missing.gguf" in str(raised.value)
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(MullamaError) as raised:
        Model.load(tmp_path / "bad.gguf")
    assert raised.value.status in ("corrupt_file", "unsupported")


def test_P29_mypy_accepts_the_samples(tmp_path):
    pytest.importorskip("mypy")
    before = {
        "05_context_size": "from mullama import Context, ContextParams, Model\nmodel = Model.load('x')\n",
        "06_batch_size": "from mullama import Context, ContextParams, Model\nmodel = Model.load('x')\n",
        "08_small_context": "from mullama import Context, ContextParams, Model\nmodel = Model.load('x')\n",
        "09_partial_offload": "from mullama import Model, ModelParams\n",
        "10_reuse": "from mullama import Context, ContextParams, Model\nmodel = Model.load('x')\nprompts = ['a']\n",
    }
    files = []
    for sample in sorted(SAMPLES.glob("*.py")):
        file = tmp_path / f"sample_{sample.name}"
        file.write_text(before.get(sample.stem, "") + sample.read_text())
        files.append(str(file))
    assert len(files) == 11
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from mullama import Model\nnumber: int = Model.load('x')\n")
    check = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*check, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = subprocess.run([*check, str(wrong)], capture_output=True, text=True, check=False)
    assert "Incompatible types in assignment" in done.stdout, "the package's types are not seen"
