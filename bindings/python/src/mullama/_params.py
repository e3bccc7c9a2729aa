"""Parameters and what calls report, as plain data."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from . import _mullama

__all__ = [
    "KvCacheType", "ModelParams", "ContextParams", "SamplerParams", "GenerateOptions", "MemoryInfo", "PoolUsage", "Residency",
    "Receipt", "GenerateResult", "MemoryPlan", "PlanAlternative", "PlanRow",
]  # fmt: skip


class KvCacheType(str, enum.Enum):
    """How keys and values of past tokens are kept."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"

    def __str__(self) -> str:
        return self.value


@dataclass
class ModelParams:
    """How a model is loaded."""

    use_mmap: bool = True
    """Map the file; else copy the weights into memory of the process."""
    use_mlock: bool = False
    """Lock weights and KV cache in memory, as far as the limit allows."""
    n_gpu_layers: int = 0
    """Layers to offload; -1 is all. Without a GPU backend: a warning, then the CPU."""
    mlock_required: bool = False
    """Fail the load if not everything can be locked."""
    n_threads: int = 0
    """0: as many as the process may use."""
    isa: str = ""
    """"scalar", "avx2", ...; empty: the fastest that runs here."""
    pre_tokenizer: str = ""
    """Overrides the file's own."""
    vocab_only: bool = False
    """Tokenizer and metadata without weights."""
    on_warning: Optional[Callable[[str], None]] = field(default=None, repr=False)
    """Receives one line a warning; None: Python's warnings, as MullamaWarning."""


@dataclass
class ContextParams:
    """The size and kind of a context's memory."""

    n_ctx: int = 0
    """Tokens it holds; 0: 4096, or what the model was trained for if that is less."""
    n_batch: int = 512
    """Tokens computed at once while reading a prompt."""
    kv_cache_type: Union[str, KvCacheType] = KvCacheType.F16
    kv_cache_type_v: Union[str, KvCacheType, None] = None
    """For values, if not as for keys."""
    kv_rotate: bool = True
    """Rotate before quantizing to q8_0 or q4_0, which keeps more of the precision."""
    lookup: int = 0
    """Tokens that a step may guess from the text so far; answers are the same, and sooner where they repeat."""
    grow: bool = False
    """Whether an answer that fills the context goes on in a larger one, as far as the budget reaches; the receipt counts how often."""

    def __post_init__(self) -> None:
        self.kv_cache_type = KvCacheType(_mullama._kv_cache_type(self.kv_cache_type))
        if self.kv_cache_type_v is not None:
            self.kv_cache_type_v = KvCacheType(_mullama._kv_cache_type(self.kv_cache_type_v))


@dataclass
class SamplerParams:
    """How the next token is chosen."""

    temperature: float = 0.8
    """0: always the most likely token."""
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: Optional[int] = None
    """None: a random one, which the result tells."""
    typical_p: float = 1.0
    dynamic_temperature_range: float = 0.0
    dynamic_temperature_exponent: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: List[str] = field(default_factory=lambda: ["\n", ":", '"', "*"])
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: Dict[int, float] = field(default_factory=dict)
    order: str = ""
    """As in "penalties;dry;top_k;typical_p;top_p;min_p;xtc;temperature"; empty: the default order."""

    @classmethod
    def greedy(cls) -> SamplerParams:
        """Always the most likely token."""
        return cls(temperature=0.0)


@dataclass
class GenerateOptions:
    """What an answer may be; the keyword arguments of the generating methods."""

    max_tokens: int = -1
    """-1: until the model stops or the context is full."""
    sampler: SamplerParams = field(default_factory=SamplerParams)
    stop: List[str] = field(default_factory=list)
    ignore_end_of_generation: bool = False
    parse_special: bool = True
    render_special: bool = False
    grammar: str = ""
    json_schema: str = ""
    chat_variables: Mapping[str, Any] = field(default_factory=dict)
    """For conversations: further variables of the template, such as ``{"enable_thinking": False}``."""

    @property
    def _chat_variables_json(self) -> str:
        return json.dumps(self.chat_variables) if self.chat_variables else ""


@dataclass(frozen=True)
class Residency:
    """What backs memory at this moment, as the operating system says, in bytes; zeros where it does not."""

    mapped: int
    """Address space."""
    resident: int
    """In memory: a share of the process's RSS."""
    clean: int
    """Resident pages equal to their file, given back without a write."""
    anonymous: int
    """Resident pages of no file: only swap could take them."""
    locked: int
    """Resident pages of locked mappings: achieved, not asked."""
    swapped: int


@dataclass(frozen=True)
class PoolUsage:
    device: str
    pool: str
    bytes: int
    peak: int
    planned: int
    """What the plan said before the bytes were taken."""
    residency: Residency
    """Of host memory."""


@dataclass(frozen=True)
class MemoryInfo:
    """Memory behind one context, in bytes, but for ``token_count`` and ``context_size``."""

    model_size: int
    kv_cache_size: int
    token_count: int
    context_size: int
    total_allocated: int
    kv_cache_used: int
    scratch_size: int
    output_size: int
    tokenizer_size: int
    key_type: str
    value_type: str
    lock_asked: int
    """What ``use_mlock`` was to lock of weights and KV cache,"""
    lock_achieved: int
    """and did; KV pages are locked as they come into use."""
    pools: Sequence[PoolUsage]
    """The account book of the whole process."""
    residency: Residency
    """The whole process."""
    unaccounted: int
    """Sum over pools of the differences between ``bytes`` and ``planned``: 0 while nothing loads."""
    beyond_pools: int
    """Resident bytes in no pool: program code, heap, stacks."""


@dataclass(frozen=True)
class Receipt:
    """What one request took."""

    kv_bytes: int
    peak_scratch: int
    prefix_bytes_reused: int
    pages_evicted: int
    tokens_cut: int
    context_growths: int
    """Times that a larger context took over,"""
    kv_demotions: int
    """and of them those with keys or values in a smaller type."""


@dataclass(frozen=True)
class GenerateResult:
    """An answer and what it took; ``finish_reason`` is "stop", "length", "canceled" or "context_full"."""

    text: str
    tokens: List[int]
    finish_reason: str
    seed: int
    prompt_tokens: int
    prompt_evaluated: int
    generated_tokens: int
    drafted_tokens: int
    """Guessed by lookup,"""
    accepted_tokens: int
    """and of them those that were right."""
    prompt_seconds: float
    generate_seconds: float
    receipt: Receipt


@dataclass(frozen=True)
class PlanRow:
    device: str
    pool: str
    bytes: int
    why: str


@dataclass(frozen=True)
class PlanAlternative:
    """A way to run the same model in less memory."""

    flags: str
    """What to change, in the words of the command line."""
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """Every byte that a model and one context on it will take."""

    context_size: int
    sequences: int
    batch_size: int
    key_type: str
    value_type: str
    rows: Sequence[PlanRow]
    total: int
    recommended: int
    """A fifth more than calculated."""
    available: int
    limited_by: str
    """By what: "the system", or a cgroup's folder."""
    budget: Optional[int]
    fits: bool
    weights_are_streamed: bool
    """Mapped weights will be read from disk again and again."""
    alternatives: Sequence[PlanAlternative]
    """What would fit, if it does not."""
