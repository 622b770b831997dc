"""The script played through Google's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capturing import URL
from client_loop import SCHEMAS, run_agent
from google import genai
from google.genai import types
from script import GEMINI, QUESTION, SYSTEM


def run(provider: Any) -> None:
    """Play it."""
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=URL))
    tools = types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name=name, parameters_json_schema=schema)
            for name, schema in SCHEMAS.items()
        ]
    )
    config = types.GenerateContentConfig(system_instruction=SYSTEM, tools=[tools])
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]

    def step(call: Callable[..., str]) -> bool:
        said = client.models.generate_content(model=GEMINI, contents=contents, config=config)
        contents.append(said.candidates[0].content)
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=each.id,
                    name=each.name,
                    response={"result": call(each.id, each.name, dict(each.args))},
                )
            )
            for each in said.function_calls or ()
        ]
        contents.append(types.Content(role="user", parts=parts))
        return not parts

    run_agent(provider, step)
