"""Two logs of one evaluation by Inspect, with its own `mockllm` model: `pip install inspect_ai`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, ToolError, tool


@tool
def lookup() -> Tool:
    async def execute(city: str) -> str:
        """The temperature of a city.

        Args:
            city: Its name.
        """
        if city == "Atlantis":
            raise ToolError("there is no such city")
        return f"12 degrees in {city}"

    return execute


def outputs() -> list[ModelOutput]:
    """Two samples: one is answered, the other's tool fails."""
    found = []
    for number, city in enumerate(("Oslo", "Atlantis")):
        call = ModelOutput.for_tool_call("mockllm/model", "lookup", {"city": city})
        call.usage = ModelUsage(input_tokens=40 + number, output_tokens=9, total_tokens=49 + number)
        answer = ModelOutput.from_content("mockllm/model", f"It is 12 degrees in {city}.")
        answer.usage = ModelUsage(
            input_tokens=60, output_tokens=11, total_tokens=91, input_tokens_cache_read=20
        )
        found += [call, answer]
    return found


@task
def weather() -> Task:
    samples = [
        Sample(id=city, input=f"How warm is {city}?", target="12", metadata={"number": number})
        for number, city in enumerate(("Oslo", "Atlantis"))
    ]
    return Task(dataset=samples, solver=[use_tools(lookup()), generate()], scorer=includes())


def main(folder: Path) -> None:
    model = get_model("mockllm/model", custom_outputs=outputs())
    (log,) = evaluate(
        weather(), model=model, log_dir=str(folder / "logs"), log_format="eval", max_samples=1,
        max_connections=1, display="none", epochs=1,
    )  # fmt: skip
    whole = read_eval_log(log.location)
    write_eval_log(whole, str(folder / "weather.eval"), format="eval")
    write_eval_log(whole, str(folder / "weather.json"), format="json")
    assert whole.samples is not None
    reported = [
        {
            "id": sample.id,
            "usage": {name: usage.model_dump() for name, usage in sample.model_usage.items()},
            "total_time": sample.total_time,
            "messages": len(sample.messages),
            "scores": {name: score.value for name, score in (sample.scores or {}).items()},
        }
        for sample in whole.samples
    ]
    (folder / "weather.reported.json").write_text(json.dumps(reported, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
