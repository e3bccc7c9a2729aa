"""A local LLM runtime that knows where every byte is.

    from mullama import Model, Context

    model = Model.load("model.gguf")
    with Context(model) as context:
        print(context.generate("Once upon a time", max_tokens=50))
"""

from ._api import Context, Model, SamplerChain, TokenStream, plan
from ._errors import GpuMemoryError, HostMemoryError, InvalidArgumentError, MullamaError, MullamaWarning
from ._mullama import Batch, StreamToken, live_objects, set_memory_budget, version
from ._params import ContextParams, GenerateOptions, GenerateResult, KvCacheType, MemoryInfo, MemoryPlan, ModelParams
from ._params import PlanAlternative, PlanRow, PoolUsage, Receipt, Residency, SamplerParams

__version__ = version()

__all__ = [
    "Batch", "Context", "ContextParams", "GenerateOptions", "GenerateResult", "GpuMemoryError", "HostMemoryError",
    "InvalidArgumentError", "KvCacheType", "MemoryInfo", "MemoryPlan", "Model", "ModelParams", "MullamaError", "MullamaWarning",
    "PlanAlternative", "PlanRow", "PoolUsage", "Receipt", "Residency", "SamplerChain", "SamplerParams", "StreamToken", "TokenStream",
    "live_objects", "plan", "set_memory_budget", "version",
]  # fmt: skip
