"""What goes beyond the guide: streams, asyncio, signals, threads, arrays, templates, the plan."""

import asyncio
import gc
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from conftest import measures_memory, proc_status

import mullama
from mullama import Batch, Context, ContextParams, Model, MullamaError, SamplerChain, SamplerParams

GREEDY = {"sampler": SamplerParams.greedy(), "ignore_end_of_generation": True}


def test_streams_give_what_generate_gives(tiny):
    whole = Context(tiny, ContextParams(n_ctx=256)).generate_result("abc", 20, **GREEDY)
    context = Context(tiny, ContextParams(n_ctx=256))
    stream = context.generate_stream("abc", 20, **GREEDY)
    tokens = list(stream)
    assert "".join(token.text for token in tokens) == whole.text
    assert [token.id for token in tokens if token.id >= 0] == whole.tokens == stream.result.tokens
    assert stream.result.finish_reason == "length"
    assert all(token.logprob <= 0 for token in tokens)


def test_a_stream_left_early_frees_its_context(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    for number, _ in enumerate(context.generate_stream("abc", **GREEDY)):
        if number == 4:
            break
    assert mullama.live_objects()["streams"] == 0
    rest = context.generate_result("", 5, **GREEDY).tokens
    whole = Context(tiny, ContextParams(n_ctx=256)).generate_result("abc", 10, **GREEDY).tokens
    assert rest == whole[5:]

    stream = context.generate_stream("abc", **GREEDY)
    next(stream)
    with pytest.raises(MullamaError, match="generating"):
        context.generate("d")
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert stream.result.finish_reason == "canceled"


def test_closing_a_context_ends_its_stream(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    stream = context.generate_stream("abc", **GREEDY)
    next(stream)
    context.close()
    assert mullama.live_objects()["contexts"] == 0
    with pytest.raises(MullamaError):
        next(stream)


def test_asyncio_keeps_its_loop_turning(tiny):
    async def main():
        context = Context(tiny, ContextParams(n_ctx=1024))
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        # A busy machine may take one answer's time from the loop; what holds the loop up shows beside every answer.
        for _ in range(5):
            context.clear()
            ticks = 0
            text = await context.generate_async("abc", 100, **GREEDY)
            if ticks > 5:
                break
        assert ticks > 5
        ticking.cancel()
        context.clear()
        pieces = [token.text async for token in context.generate_stream_async("abc", 100, **GREEDY)]
        assert "".join(pieces) == text

    asyncio.run(main())


def test_cancelling_a_task_stops_its_answer(tiny):
    async def main():
        # The whole answer would take many seconds.
        context = Context(tiny, ContextParams(n_ctx=16384))
        task = asyncio.ensure_future(context.generate_async("abc", **GREEDY))
        while context.token_count < 10 and not task.done():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0 < context.token_count < 16384
        context.clear()
        assert await context.generate_async("abc", 3, **GREEDY) is not None

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["prompt", "answer"])
def test_ctrl_c_stops_a_generation(real_path, phase):
    context = Context(Model.load(real_path), ContextParams(n_ctx=4096, n_batch=4096))
    prompt = [1] * 4000 if phase == "prompt" else "Once upon a time"
    # A prompt's tokens are counted as soon as their work begins, an answer's once they are there.
    begun, most = (4000, 4000) if phase == "prompt" else (20, 4095)
    over = threading.Event()
    sent = []

    def interrupt():
        while context.token_count < begun:
            if over.wait(0.01):
                return
        if not over.wait(0.1):
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    # A shell that starts tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupter.start()
            try:
                context.generate(prompt, **GREEDY)
            finally:
                over.set()
                interrupter.join()
        assert time.monotonic() - sent[0] < 4.5
        assert context.token_count <= most
    finally:
        signal.signal(signal.SIGINT, before)
    context.clear()
    assert context.generate_result("Once", 2, **GREEDY).generated_tokens == 2


def test_G06_four_threads_four_contexts_one_model(tiny):
    def answer(prompt):
        return Context(tiny, ContextParams(n_ctx=256)).generate(prompt, 40, **GREEDY)

    prompts = [f"prompt {i}" for i in range(4)]
    expected = [answer(prompt) for prompt in prompts]
    got = [[] for _ in prompts]
    threads = [threading.Thread(target=lambda i=i: got[i].extend(answer(prompts[i]) for _ in range(5))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [[text] * 5 for text in expected]


def test_one_context_serves_one_thread(tiny):
    # The whole answer would take many seconds.
    context = Context(tiny, ContextParams(n_ctx=16384))
    results = []
    thread = threading.Thread(target=lambda: results.append(context.generate_result("abc", **GREEDY)))
    thread.start()
    while context.token_count < 10 and thread.is_alive():
        time.sleep(0.001)
    with pytest.raises(MullamaError, match="another thread"):
        context.generate("abc")
    info = context.memory_info()
    assert info.token_count >= 10
    context.cancel()
    thread.join()
    assert [result.finish_reason for result in results] == ["canceled"]


def test_logits_and_embeddings_are_not_copied(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    logits = context.evaluate(tiny.tokenize("abc"))
    assert logits.shape == (tiny.vocab_size,) and logits.dtype == np.float32 and not logits.flags.owndata
    assert not logits.flags.writeable
    again = context.evaluate([5])
    assert again.ctypes.data == logits.ctypes.data, "the row of the library itself"
    chain = SamplerChain(tiny, SamplerParams.greedy())
    assert chain.sample(again) == int(np.argmax(again))
    chain.accept(3)
    context.close()
    assert np.isfinite(again).all(), "the array keeps its memory"
    assert mullama.live_objects()["contexts"] == 1
    del logits, again
    assert mullama.live_objects()["contexts"] == 0
    row = Context(tiny, ContextParams(n_ctx=256)).embed("some text")
    assert row.shape == (tiny.n_embd,) and abs(float(np.linalg.norm(row)) - 1) < 1e-5


def test_batches_count(tiny):
    batch = Batch(tiny.tokenize("abc"))
    batch.add(7)
    assert list(batch)[-1] == 7 and len(batch) == len(tiny.tokenize("abc")) + 1
    assert mullama.live_objects()["batches"] == 1
    assert Context(tiny, ContextParams(n_ctx=64)).generate(batch, 2, **GREEDY) is not None
    del batch
    assert mullama.live_objects()["batches"] == 0


def test_texts_and_templates(tiny):
    assert tiny.detokenize(tiny.tokenize("Grüße, 世界", add_special=False)) == "Grüße, 世界"
    messages = [{"role": "user", "content": "Hi"}]
    assert tiny.apply_chat_template(messages) == "user: Hi\nassistant: "
    assert tiny.apply_chat_template(messages, False, variables={"mood": "good"}) == "mood: good\nuser: Hi\n"
    context = Context(tiny, ContextParams(n_ctx=256))
    first = context.chat_result(messages, 4, **GREEDY)
    more = [*messages, {"role": "user", "content": "And now?"}]
    assert context.chat_result(more, 4, **GREEDY).prompt_evaluated < first.prompt_tokens + len("assistant: user: And now?")
    assert tiny.metadata["general.architecture"] == tiny.architecture == "llama"
    with pytest.raises(MullamaError):
        tiny.token_piece(10**6)


def test_chat_variables_reach_the_template(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    messages = [{"role": "user", "content": "Hi"}]
    plain = context.chat_result(messages, 1, **GREEDY)
    moody = context.chat_result(messages, 1, chat_variables={"mood": "good"}, **GREEDY)
    assert moody.prompt_tokens > plain.prompt_tokens
    with pytest.raises(MullamaError, match="object"):
        context.chat(messages, 1, chat_variables=[1])


def test_grow_lets_an_answer_outgrow_its_context(tiny_path):
    heard = []
    model = Model.load_with_params(tiny_path, mullama.ModelParams(on_warning=heard.append))
    cut = Context(model, ContextParams(n_ctx=64)).generate_result("abc", 150, **GREEDY)
    assert (cut.finish_reason, cut.receipt.context_growths, heard) == ("context_full", 0, [])
    context = Context(model, ContextParams(n_ctx=64, grow=True))
    whole = context.generate_result("abc", 150, **GREEDY)
    assert (whole.generated_tokens, whole.receipt.kv_demotions) == (150, 0)
    assert len(heard) == whole.receipt.context_growths >= 1 and context.context_size > 150
    streaming = Context(model, ContextParams(n_ctx=64, grow=True))
    assert [token.id for token in streaming.generate_stream("abc", 150, **GREEDY) if token.id >= 0] == whole.tokens
    assert len(heard) == 2 * whole.receipt.context_growths


def test_memory_info_tells_what_is_resident(tiny):
    context = Context(tiny, ContextParams(n_ctx=256))
    context.generate("abc", 3, **GREEDY)
    info = context.memory_info()
    kv = next(pool for pool in info.pools if pool.pool == "kv")
    assert kv.planned == kv.bytes
    assert 0 < kv.residency.anonymous <= kv.residency.resident <= kv.residency.mapped
    assert info.residency.resident > kv.residency.resident and info.beyond_pools > 0
    assert (info.unaccounted, info.lock_asked, info.lock_achieved) == (0, 0, 0)


def test_plan_is_what_the_ledger_then_holds(tiny_path):
    planned = mullama.plan(tiny_path, context_params=ContextParams(n_ctx=512, kv_cache_type="q8_0"))
    context = Context(Model.load(tiny_path), ContextParams(n_ctx=512, kv_cache_type="q8_0"))
    kv = sum(row.bytes for row in planned.rows if row.pool == "kv")
    assert kv == context.memory_info().kv_cache_size and planned.fits and planned.recommended >= planned.total


def test_bad_arguments_are_python_errors(tiny):
    context = Context(tiny, ContextParams(n_ctx=64))
    for call in (lambda: context.generate(5), lambda: context.generate("a", max_tokens="many"), lambda: context.generate("a", colour=1)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(MullamaError, match="context"):
        context.generate("a" * 1000)
    with pytest.raises(MullamaError):
        context.evaluate([-1])
    with pytest.raises(TypeError):
        Model()


@measures_memory
def test_B2_loads_and_drops_leave_nothing(tiny_path):
    def cycle():
        model = Model.load(tiny_path)
        context = Context(model, ContextParams(n_ctx=64))
        context.generate("a", 1, **GREEDY)
        try:
            context.generate("a" * 1000)
        except MullamaError:
            pass
        try:
            Model.load("no such file")
        except MullamaError:
            pass

    for _ in range(30):
        cycle()
    # The allocator may take a little more now and then; a leak shows in every series.
    drifts = []
    while len(drifts) < 3 and not any(drift < 2 << 20 for drift in drifts):
        gc.collect()
        before = proc_status("VmRSS")
        for _ in range(200):
            cycle()
        gc.collect()
        drifts.append(proc_status("VmRSS") - before)
        assert not any(mullama.live_objects().values())
    print(f"B2 python drift {drifts} bytes")
    assert min(drifts) < 2 << 20
