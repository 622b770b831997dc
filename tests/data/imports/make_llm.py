"""A database of simonw's `llm`, logged by itself for a scripted model: `pip install llm`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import llm
import sqlite_utils
from llm.migrations import migrate


class Scripted(llm.Model):
    """Asks for a tool once, then answers."""

    model_id = "scripted"
    can_stream = True
    supports_tools = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,  # noqa: FBT001 - as llm calls it
        response: llm.Response,
        conversation: object,
    ) -> Iterator[str]:
        if prompt.tools and not prompt.tool_results:
            arguments = {"city": "Atlantis" if "Atlantis" in prompt.prompt else "Oslo"}
            response.add_tool_call(
                llm.ToolCall(name="lookup", arguments=arguments, tool_call_id="call-1")
            )
        else:
            yield "It is "
            yield "12 degrees."
        response.set_usage(input=30 + len(prompt.prompt or ""), output=7, details={"cached": 4})


def lookup(city: str) -> str:
    """The temperature of a city."""
    if city == "Atlantis":
        raise ValueError("there is no such city")
    return f"12 degrees in {city}"


def main(folder: Path) -> None:
    path = folder / "logs.db"
    path.unlink(missing_ok=True)
    database = sqlite_utils.Database(path)
    migrate(database)
    model = Scripted()
    chat = model.conversation()
    for text in ("How warm is Oslo?", "And Atlantis?"):
        for response in chat.chain(text, tools=[lookup], system="Be brief.").responses():
            response.text()
            response.log_to_db(database)
    alone = model.prompt("Hello", system="Be brief.")
    alone.text()
    alone.log_to_db(database)
    database.execute("PRAGMA page_size = 512")  # most of its tables are empty
    database.vacuum()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
