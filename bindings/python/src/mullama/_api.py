"""Models and contexts."""

from __future__ import annotations

import asyncio
import json
import os
from types import TracebackType
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar, Union

from . import _mullama
from ._mullama import Batch, StreamToken
from ._params import ContextParams, GenerateOptions, GenerateResult, MemoryInfo, MemoryPlan, ModelParams
from ._params import PlanAlternative, PlanRow, PoolUsage, Receipt, Residency, SamplerParams

__all__ = ["Model", "Context", "TokenStream", "SamplerChain", "plan"]

Messages = Sequence[Mapping[str, Any]]
Prompt = Union[str, Sequence[int], Batch]
T = TypeVar("T")


def _result(fields: Dict[str, Any]) -> GenerateResult:
    fields["receipt"] = Receipt(**fields["receipt"])
    return GenerateResult(**fields)


class Model:
    """A loaded model, shared by the contexts made from it, which keep it alive."""

    __slots__ = ("_native", "__weakref__")
    _native: _mullama.Model

    def __init__(self) -> None:
        raise TypeError("use Model.load(path) or Model.load_with_params(path, params)")

    @classmethod
    def load(cls, path: Union[str, "os.PathLike[str]"]) -> Model:
        """Loads a GGUF file with the default parameters."""
        return cls.load_with_params(path, ModelParams())

    @classmethod
    def load_with_params(cls, path: Union[str, "os.PathLike[str]"], params: ModelParams) -> Model:
        """Loads a GGUF file."""
        model = cls.__new__(cls)
        model._native = _mullama.Model._load(os.fspath(path), params)
        return model

    def close(self) -> None:
        """Drops this reference. The memory goes with the last context."""
        self._native.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._native.closed

    def tokenize(self, text: str, add_special: bool = True, parse_special: bool = False) -> List[int]:
        return self._native.tokenize(text, add_special, parse_special)

    def detokenize(self, tokens: Sequence[int], render_special: bool = False) -> str:
        return self._native.detokenize(tokens, render_special)

    def token_piece(self, token: int, render_special: bool = True) -> bytes:
        """The bytes of one token, which may be a part of a character."""
        return self._native.token_piece(token, render_special)

    def apply_chat_template(
        self,
        messages: Messages,
        add_generation_prompt: bool = True,
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        variables: Optional[Mapping[str, Any]] = None,
    ) -> str:
        """The prompt of a conversation, by the template in the model's file; ``variables`` are further ones of the template."""
        return self._native._apply_chat_template(
            json.dumps(messages),
            add_generation_prompt,
            json.dumps(tools) if tools else "",
            json.dumps(variables) if variables else "",
        )

    def is_end_of_generation(self, token: int) -> bool:
        return self._native.is_end_of_generation(token)

    @property
    def architecture(self) -> str:
        return self._native.architecture

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def vocab_size(self) -> int:
        return self._native.vocab_size

    @property
    def n_layer(self) -> int:
        return self._native.n_layer

    @property
    def n_embd(self) -> int:
        return self._native.n_embd

    @property
    def n_ctx_train(self) -> int:
        return self._native.n_ctx_train

    @property
    def parameter_count(self) -> int:
        return self._native.parameter_count

    @property
    def size_bytes(self) -> int:
        return self._native.size_bytes

    @property
    def bos(self) -> Optional[int]:
        return self._native.bos

    @property
    def eos(self) -> Optional[int]:
        return self._native.eos

    @property
    def metadata(self) -> Dict[str, str]:
        """All metadata of the file, as text."""
        return self._native.metadata

    def __repr__(self) -> str:
        return "Model(closed)" if self.closed else f"Model({self.name!r}, {self.architecture}, {self.size_bytes} bytes)"


class TokenStream(Iterator[StreamToken]):
    """An answer under way: an iterator over its tokens. ``close()``, or dropping it, stops the answer, and the context keeps
    exactly what was given."""

    __slots__ = ("_native",)

    def __init__(self, native: _mullama.NativeStream) -> None:
        self._native = native

    def __iter__(self) -> TokenStream:
        return self

    def __next__(self) -> StreamToken:
        token = self._native.next()
        if token is None:
            raise StopIteration
        return token

    def close(self) -> None:
        self._native.close()

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def result(self) -> GenerateResult:
        """What the answer took, once it has ended."""
        return _result(self._native.result())


class Context(_mullama.Context):
    """One conversation's state: its tokens and their KV cache. Without :meth:`clear`, the next answer continues the text.

    A context serves one thread at a time; another that calls it meanwhile gets an error. ``cancel()``, ``token_count``,
    ``context_size`` and ``memory_info()`` may be used from any thread.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, model: Model, params: Optional[ContextParams] = None) -> None:
        super().__init__(model._native, ContextParams() if params is None else params)

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def generate(self, prompt: Prompt, max_tokens: int = -1, **options: Any) -> str:
        """Continues the raw text (or the token ids) ``prompt``; ``options`` are the fields of GenerateOptions."""
        return self.generate_result(prompt, max_tokens, **options).text

    def generate_result(self, prompt: Prompt, max_tokens: int = -1, **options: Any) -> GenerateResult:
        """The same with all that is known about the answer."""
        return _result(self._begin(prompt, max_tokens, options).run())

    def generate_stream(self, prompt: Prompt, max_tokens: int = -1, **options: Any) -> TokenStream:
        """The same token by token, each computed when it is asked for."""
        return TokenStream(self._begin(prompt, max_tokens, options))

    def chat(self, messages: Messages, max_tokens: int = -1, **options: Any) -> str:
        """Answers a conversation, a list of ``{"role": ..., "content": ...}``, by the model's chat template."""
        return self.chat_result(messages, max_tokens, **options).text

    def chat_result(self, messages: Messages, max_tokens: int = -1, **options: Any) -> GenerateResult:
        return _result(self._begin_chat(messages, max_tokens, options).run())

    def chat_stream(self, messages: Messages, max_tokens: int = -1, **options: Any) -> TokenStream:
        return TokenStream(self._begin_chat(messages, max_tokens, options))

    async def generate_async(self, prompt: Prompt, max_tokens: int = -1, **options: Any) -> str:
        """The same without holding up the event loop; cancelling the task stops the answer."""
        return (await self._in_thread(lambda: self.generate_result(prompt, max_tokens, **options))).text

    async def chat_async(self, messages: Messages, max_tokens: int = -1, **options: Any) -> str:
        return (await self._in_thread(lambda: self.chat_result(messages, max_tokens, **options))).text

    def generate_stream_async(self, prompt: Prompt, max_tokens: int = -1, **options: Any) -> AsyncIterator[StreamToken]:
        """For ``async for``; leaving the loop with ``aclose()``, or cancelling the task, stops the answer."""
        return self._stream_in_thread(lambda: self._begin(prompt, max_tokens, options))

    def chat_stream_async(self, messages: Messages, max_tokens: int = -1, **options: Any) -> AsyncIterator[StreamToken]:
        return self._stream_in_thread(lambda: self._begin_chat(messages, max_tokens, options))

    def memory_info(self) -> MemoryInfo:
        fields = self._memory_info()
        for pool in fields["pools"]:
            pool["residency"] = Residency(**pool["residency"])
        fields["pools"] = tuple(PoolUsage(**pool) for pool in fields["pools"])
        fields["residency"] = Residency(**fields["residency"])
        return MemoryInfo(**fields)

    def __repr__(self) -> str:
        return "Context(closed)" if self.closed else f"Context({self.token_count}/{self.context_size} tokens)"

    def _begin(self, prompt: Prompt, max_tokens: int, options: Dict[str, Any]) -> _mullama.NativeStream:
        settled = GenerateOptions(max_tokens=max_tokens, **options)
        if isinstance(prompt, str):
            return self._start(prompt, settled)
        return self._start_tokens(list(prompt), settled)  # type: ignore[arg-type]

    def _begin_chat(self, messages: Messages, max_tokens: int, options: Dict[str, Any]) -> _mullama.NativeStream:
        return self._start_chat(json.dumps(messages), GenerateOptions(max_tokens=max_tokens, **options))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        running: Awaitable[T] = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait([running])  # type: ignore[type-var]
            raise

    async def _stream_in_thread(self, begin: Callable[[], _mullama.NativeStream]) -> AsyncIterator[StreamToken]:
        stream = begin()
        try:
            while True:
                token = await self._in_thread(stream.next)
                if token is None:
                    return
                yield token
        finally:
            stream.close()


class SamplerChain(_mullama.SamplerChain):
    """Chooses tokens from logits by the same chain that the generating methods use."""

    def __init__(self, model: Model, params: Optional[SamplerParams] = None) -> None:
        super().__init__(model._native, SamplerParams() if params is None else params)


def plan(
    path: Union[str, "os.PathLike[str]"], model_params: Optional[ModelParams] = None, context_params: Optional[ContextParams] = None
) -> MemoryPlan:
    """What a model and one context on it will take, from the file's header alone."""
    fields = json.loads(_mullama._plan(os.fspath(path), model_params or ModelParams(), context_params or ContextParams()))
    fields["rows"] = tuple(PlanRow(**row) for row in fields["rows"])
    fields["alternatives"] = tuple(PlanAlternative(**alternative) for alternative in fields["alternatives"])
    return MemoryPlan(**fields)
