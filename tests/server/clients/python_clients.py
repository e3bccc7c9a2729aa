"""The PyPI packages ollama, openai, anthropic and litellm against a running server: MULLAMA_URL, MULLAMA_MODEL.

    python_clients.py ollama|openai|anthropic|litellm
"""

import json
import os
import sys
import traceback

BASE = os.environ["MULLAMA_URL"]
MODEL = os.environ["MULLAMA_MODEL"]
QUESTION = "Name the capital of France in one sentence. Answer in one short sentence."
MESSAGES = [{"role": "user", "content": QUESTION}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": WEATHER}}]
GREEDY = {"model": MODEL, "temperature": 0, "max_tokens": 30}
LONGER = {**GREEDY, "max_tokens": 200}
CHECKS = []


def check(run):
    CHECKS.append(run)
    return run


def expect(condition, what):
    if not condition:
        raise AssertionError(f"expected {what}")


def is_person(text):
    person = json.loads(text)
    expect(isinstance(person["name"], str) and 0 <= person["age"] <= 150, f"a person, not {text}")


def is_weather(arguments):
    expect(isinstance(arguments["city"], str) and 1 <= arguments["days"] <= 7, f"arguments, not {arguments}")


def raises(kind, run):
    try:
        run()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind}")


def ollama_suite():
    import ollama

    client = ollama.Client(host=BASE)
    greedy = {"temperature": 0, "num_predict": 30}
    longer = {"temperature": 0, "num_predict": 200}

    def joined(stream, text_of):
        parts = list(stream)
        expect(parts[-1].done and parts[-1].eval_count > 0, "an end with figures")
        return "".join(text_of(part) or "" for part in parts)

    @check
    def chat_whole_and_streamed():
        whole = client.chat(MODEL, MESSAGES, options=greedy)
        text = whole.message.content
        expect("Paris" in text and whole.done_reason == "stop" and whole.prompt_eval_count > 0, f"Paris in {text!r}")
        streamed = joined(client.chat(MODEL, MESSAGES, options=greedy, stream=True), lambda part: part.message.content)
        expect(streamed == text, f"{text!r}, not {streamed!r}")
        generated = client.generate(MODEL, QUESTION, options=greedy)
        expect(generated.response == text, f"the same from generate, not {generated.response!r}")
        expect(joined(client.generate(MODEL, QUESTION, options=greedy, stream=True), lambda part: part.response) == text, "and from its stream")

    @check
    def options_typed_and_seeded():
        options = ollama.Options(temperature=1.5, seed=7, num_predict=8, top_k=30, top_p=0.95, repeat_penalty=1.1, stop=["zzz"], num_ctx=1024)
        texts = {client.generate(MODEL, "Once upon", options=options).response for _ in range(2)}
        expect(len(texts) == 1, "the same text from the same seed")

    @check
    def context_raw_system_template():
        first = client.generate(MODEL, "My name is Ada.", options=greedy)
        second = client.generate(MODEL, "What is my name?", context=first.context, options=greedy)
        expect(list(second.context[: len(first.context)]) == list(first.context), "the same beginning")
        short = {"temperature": 0, "num_predict": 6}
        raw = client.generate(MODEL, "The capital of France is", raw=True, options=short)
        expect("Paris" in raw.response and raw.context is None, f"Paris in {raw.response!r}")
        own = client.generate(MODEL, "The capital of France is", template="{{ .Prompt }}", options=short)
        expect(own.response == raw.response, f"{raw.response!r}, not {own.response!r}")
        hook = client.generate(MODEL, "Who are you?", system="You are Captain Hook, a pirate.", options=greedy).response
        expect(hook != client.generate(MODEL, "Who are you?", options=greedy).response, "another answer for another system message")

    @check
    def structured_output():
        is_person(client.chat(MODEL, [{"role": "user", "content": "Bob is 30 years old."}], format=SCHEMA, options=longer).message.content)
        is_person(client.generate(MODEL, "Bob is 30 years old.", format=SCHEMA, options=longer).response)
        whole = client.generate(MODEL, "Describe Bob as JSON.", format="json", options={"temperature": 0, "num_predict": 400})
        if whole.done_reason == "stop":
            json.loads(whole.response)

    @check
    def tools_of_functions():
        def get_weather(city: str, days: int) -> str:
            """
            Weather of a city

            Args:
              city: The city
              days: How many days
            """
            return f"sunny in {city} for {days} days"

        def call(city, days):
            return {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": city, "days": days}}}]}

        talk = []
        for city, days in (("Rome", 2), ("Oslo", 4), ("Lima", 5)):
            talk += [{"role": "user", "content": f"Weather in {city} for {days} days?"}, call(city, days)]
        talk.append({"role": "user", "content": "Weather in Paris for 3 days?"})
        reply = client.chat(MODEL, talk, tools=[get_weather], options={"temperature": 0, "num_predict": 80})
        expect(reply.message.tool_calls, f"a call, not {reply.message}")
        made = reply.message.tool_calls[0].function
        expect(made.name == "get_weather", made.name)
        is_weather(made.arguments)
        talk += [reply.message, {"role": "tool", "tool_name": made.name, "content": get_weather(**made.arguments)}]
        client.chat(MODEL, talk, tools=[get_weather], options=greedy)

    @check
    def think():
        error = raises(ollama.ResponseError, lambda: client.chat(MODEL, MESSAGES, think=True))
        expect(error.status_code == 400 and "does not support thinking" in error.error, f"a refusal, not {error}")
        expect(client.chat(MODEL, MESSAGES, think=False, options=greedy).message.thinking is None, "no thought")

    @check
    def embeddings():
        made = client.embed(MODEL, ["a cat", "a dog"])
        expect(len(made.embeddings) == 2 and made.prompt_eval_count > 0, "two vectors")
        expect(list(client.embeddings(MODEL, "a cat").embedding) == list(made.embeddings[0]), "the same vector the old way")

    @check
    def list_show_ps_keep_alive():
        listed = {entry.model: entry for entry in client.list().models}
        expect(listed[MODEL].details.family == "llama" and listed[MODEL].size > 0, "the model with its details")
        shown = client.show(MODEL)
        expect(shown.modelinfo["general.architecture"] == "llama" and "completion" in shown.capabilities, "its description")
        client.generate(MODEL, "", keep_alive="10m")
        expect(client.ps().models[0].model == MODEL and client.ps().models[0].expires_at, "a running model")
        client.generate(MODEL, "", keep_alive=0)
        expect(not client.ps().models, "nothing in memory")

    @check
    def copy_create_delete_pull():
        expect(client.copy(MODEL, "py-twin").status == "success", "a copy")
        states = [part.status for part in client.create("py-pirate", from_=MODEL, system="You are a pirate.", stream=True)]
        expect(states[-1] == "success", f"success, not {states}")
        for name in ("py-twin", "py-pirate"):
            expect(client.delete(name).status == "success", "a deletion")
        expect(raises(ollama.ResponseError, lambda: client.delete("py-twin")).status_code == 404, "a 404")
        error = raises(ollama.ResponseError, lambda: list(client.pull("localhost:1/library/nothing", stream=True)))
        expect("/models" not in error.error, f"a reason without our folders, not {error}")

    @check
    def errors():
        for run in (lambda: client.chat("no-such-model", MESSAGES), lambda: list(client.generate("no-such-model", "x", stream=True)), lambda: client.show("no-such-model")):
            error = raises(ollama.ResponseError, run)
            expect(error.status_code == 404 and error.error == "model 'no-such-model' not found", f"a 404, not {error}")
        for bad in ({"format": {"type": "strange"}}, {"options": {"temperature": "hot"}}, {"logprobs": True, "top_logprobs": 21}):
            expect(raises(ollama.ResponseError, lambda: client.chat(MODEL, MESSAGES, **bad)).status_code == 400, f"a 400 for {bad}")


def openai_suite():
    import openai
    from pydantic import BaseModel

    client = openai.OpenAI(base_url=f"{BASE}/v1", api_key="unused", max_retries=0)
    chat = client.chat.completions

    @check
    def chat_whole_and_streamed():
        whole = chat.create(**GREEDY, messages=MESSAGES)
        text = whole.choices[0].message.content
        expect("Paris" in text and whole.choices[0].finish_reason == "stop" and whole.usage.total_tokens > 0, f"Paris in {text!r}")
        pieces = list(chat.create(**GREEDY, messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
        streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        expect(streamed == text and pieces[-1].usage.completion_tokens == whole.usage.completion_tokens, f"{text!r}, not {streamed!r}")

    @check
    def structured_output():
        class Person(BaseModel):
            name: str
            age: int

        ask = [{"role": "user", "content": "Bob is 30 years old."}]
        reply = chat.create(**LONGER, messages=ask, response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}})
        is_person(reply.choices[0].message.content)
        parsed = chat.parse(**{**LONGER, "max_tokens": 400}, messages=ask, response_format=Person)
        expect(isinstance(parsed.choices[0].message.parsed, Person), "a parsed person")

    @check
    def tools():
        ask = {**LONGER, "messages": [{"role": "user", "content": "Weather in Ulm?"}], "tools": TOOLS, "tool_choice": "required"}
        reply = chat.create(**ask).choices[0]
        expect(reply.finish_reason == "tool_calls", "a call")
        is_weather(json.loads(reply.message.tool_calls[0].function.arguments))
        with chat.stream(**ask) as stream:
            final = stream.get_final_completion().choices[0]
        is_weather(json.loads(final.message.tool_calls[0].function.arguments))

    @check
    def completions_responses_models():
        text = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=5, temperature=0).choices[0].text
        expect("Paris" in text, f"Paris in {text!r}")
        response = client.responses.create(model=MODEL, input=QUESTION, temperature=0, max_output_tokens=30)
        expect(response.output_text, "a text")
        with client.responses.stream(model=MODEL, input=QUESTION, temperature=0, max_output_tokens=30) as stream:
            for _ in stream:
                pass
            expect(stream.get_final_response().output_text == response.output_text, "the same text streamed")
        expect(MODEL in [model.id for model in client.models.list()], MODEL)

    @check
    def embeddings():
        coded = client.embeddings.create(model=MODEL, input=["a cat", "a dog"])
        plain = client.embeddings.create(model=MODEL, input=["a cat", "a dog"], encoding_format="float")
        for one, other in zip(coded.data, plain.data):
            expect(max(abs(a - b) for a, b in zip(one.embedding, other.embedding)) < 1e-6, "the same numbers")

    @check
    def errors():
        error = raises(openai.NotFoundError, lambda: chat.create(**{**GREEDY, "model": "no-such-model"}, messages=MESSAGES))
        expect(error.type == "not_found_error", "not_found_error")
        error = raises(openai.BadRequestError, lambda: chat.create(**GREEDY, messages=[]))
        expect(error.type == "invalid_request_error", "invalid_request_error")


def anthropic_suite():
    import anthropic

    client = anthropic.Anthropic(base_url=BASE, api_key="unused", max_retries=0)
    tools = [{"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER}]

    @check
    def messages_whole_and_streamed():
        whole = client.messages.create(**GREEDY, messages=MESSAGES, system="Be brief.")
        expect(whole.content[0].text and whole.stop_reason in ("end_turn", "max_tokens"), "an answer")
        with client.messages.stream(**GREEDY, messages=MESSAGES, system="Be brief.") as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        expect(text == whole.content[0].text and final.usage.output_tokens == whole.usage.output_tokens, "the same text streamed")

    @check
    def tools_and_results():
        ask = {**LONGER, "messages": [{"role": "user", "content": "Weather in Ulm?"}], "tools": tools, "tool_choice": {"type": "any"}}
        reply = client.messages.create(**ask)
        use = next(block for block in reply.content if block.type == "tool_use")
        is_weather(use.input)
        with client.messages.stream(**ask) as stream:
            is_weather(next(block for block in stream.get_final_message().content if block.type == "tool_use").input)
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}
        client.messages.create(**GREEDY, tools=tools, messages=[*ask["messages"], {"role": "assistant", "content": reply.content}, result])

    @check
    def counting():
        expect(client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens > 10, "a count")

    @check
    def errors():
        raises(anthropic.NotFoundError, lambda: client.messages.create(**{**GREEDY, "model": "no-such-model"}, messages=MESSAGES))
        raises(anthropic.BadRequestError, lambda: client.messages.create(**GREEDY, messages=[]))


def litellm_suite():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    through = {
        "openai": {"model": f"openai/{MODEL}", "api_base": f"{BASE}/v1", "api_key": "unused"},
        "ollama_chat": {"model": f"ollama_chat/{MODEL}", "api_base": BASE},
        "anthropic": {"model": f"anthropic/{MODEL}", "api_base": BASE, "api_key": "unused"},
    }

    def suite(name, where):
        options = {"temperature": 0, "max_tokens": 30, "num_retries": 0, **where}

        def chat_whole_and_streamed():
            whole = litellm.completion(messages=MESSAGES, **options)
            text = whole.choices[0].message.content
            expect("Paris" in text and whole.usage.completion_tokens > 0, f"Paris in {text!r}")
            pieces = [piece.choices[0].delta.content or "" for piece in litellm.completion(messages=MESSAGES, stream=True, **options) if piece.choices]
            expect("".join(pieces) == text, f"{text!r}, not {''.join(pieces)!r}")

        chat_whole_and_streamed.__name__ = f"{name}_chat_whole_and_streamed"
        check(chat_whole_and_streamed)

        def errors():
            raises(litellm.exceptions.NotFoundError if name != "ollama_chat" else Exception,
                   lambda: litellm.completion(messages=MESSAGES, **{**options, "model": options["model"].replace(MODEL, "no-such-model")}))

        errors.__name__ = f"{name}_errors"
        check(errors)

    for name, where in through.items():
        suite(name, where)

    @check
    def tools_and_structured_output():
        where = {**through["openai"], "temperature": 0, "max_tokens": 200}
        reply = litellm.completion(messages=[{"role": "user", "content": "Weather in Ulm?"}], tools=TOOLS, tool_choice="required", **where)
        is_weather(json.loads(reply.choices[0].message.tool_calls[0].function.arguments))
        reply = litellm.completion(messages=[{"role": "user", "content": "Bob is 30."}],
                                   response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}, **where)
        is_person(reply.choices[0].message.content)

    @check
    def embeddings():
        reply = litellm.embedding(input=["a cat", "a dog"], encoding_format="float", **through["openai"])
        expect(len(reply.data) == 2, "two vectors")


def main():
    {"ollama": ollama_suite, "openai": openai_suite, "anthropic": anthropic_suite, "litellm": litellm_suite}[sys.argv[1]]()
    failed = 0
    for run in CHECKS:
        try:
            run()
            print(f"ok {run.__name__}")
        except Exception:  # noqa: BLE001 - told, and counted
            failed += 1
            print(f"FAILED {run.__name__}: {traceback.format_exc()}")
    sys.exit(1 if failed else 0)


main()
