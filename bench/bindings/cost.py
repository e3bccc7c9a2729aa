import sys
import time

from mullama import Context, ContextParams, Model, SamplerParams

CALLS = 1_000_000
context = Context(Model.load(sys.argv[1]), ContextParams(n_ctx=512))
rate = 0.0
for _ in range(3):
    context.clear()
    stream = context.generate_stream("Once upon a time", 100, sampler=SamplerParams.greedy(), ignore_end_of_generation=True)
    next(stream)
    start = time.perf_counter()
    tokens = sum(1 for _ in stream)
    rate = max(rate, tokens / (time.perf_counter() - start))


def calls():
    start = time.perf_counter()
    for _ in range(CALLS):
        context.token_count
    return time.perf_counter() - start


print(f"python call_ns {calls() / CALLS * 1e9:.2f} tokens_per_second {rate:.2f}")
