"""Transcripts of Claude Code and Codex, run against `scripted_models`: no key, no network.

`npm install @anthropic-ai/claude-code @openai/codex`, then
`python make_coding_agents.py FOLDER node_modules/.bin`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripted_models import scripted_models

_LONGEST_TEXT = 600  # of what the tools tell the model about themselves
_UNREAD = {
    "attachment": "attachment",
    "api-request": "params",
    "api-request-blob": "message",
    "api-request-shape": "shape",
}  # what a line of this type tells again that nothing reads, or of the machine
NOTE = "one two three\nfour five six\nseven eight nine\n"


def run_claude(program: Path, home: Path, project: Path, url: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "scripted",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    question = "How many lines and words has notes.txt?"
    options = ["--output-format", "json", "--model", "claude-sonnet-4-5-20250929"]
    return run([program, "-p", question, *options, "--allowedTools", "Bash,Agent"], env, project)


def run_codex(program: Path, home: Path, project: Path, url: str) -> str:
    settings = home / ".codex"
    settings.mkdir()
    (settings / "config.toml").write_text(
        'model = "gpt-5.1-codex"\nmodel_provider = "scripted"\n'
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{url}/v1"\n'
        'wire_api = "responses"\n'
    )
    options = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return run([program, "exec", *options, "How many lines has notes.txt?"], env, project)


def run(command: list[str | Path], env: dict[str, str], project: Path) -> str:
    done = subprocess.run(
        command, env=env, cwd=project, check=True, capture_output=True, text=True,
        timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def shortened(value: Any) -> Any:
    """The value with its long texts cut: instructions, which nothing is read from."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}…"
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    return value


def kept_of(line: dict[str, Any]) -> dict[str, Any]:
    unread = _UNREAD.get(str(line.get("type")))
    if isinstance(line.get(unread), dict):
        line[unread] = {
            name: line[unread][name] for name in ("type", "model") if name in line[unread]
        }
    return shortened(line)


def keep(source: Path, target: Path, project: Path) -> None:
    """Copy a transcript with its long texts cut and without the place it was made in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(kept_of(json.loads(line))) for line in source.read_text().splitlines()]
    text = "\n".join(lines).replace(str(project), "/home/ada/notes")
    text = text.replace(str(project.parent / "home"), "/home/ada")
    target.write_text(text.replace(platform.release(), "6.1.0") + "\n")


def main(folder: Path, programs: Path) -> None:
    with tempfile.TemporaryDirectory() as there, scripted_models() as url:
        home, project = Path(there) / "home", Path(there) / "project"
        home.mkdir()
        project.mkdir()
        (project / "notes.txt").write_text(NOTE)
        claude, codex = folder / "claude_code", folder / "codex"
        for kept in (claude, codex):
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
        reported = run_claude(programs.resolve() / "claude", home, project, url)
        (claude / "reported.json").write_text(json.dumps(json.loads(reported), indent=1))
        projects = next((home / ".claude/projects").iterdir())
        for path in projects.rglob("*.jsonl"):
            keep(path, claude / path.relative_to(projects), project)
        reported = run_codex(programs.resolve() / "codex", home, project, url)
        (codex / "reported.jsonl").write_text(reported)
        (path,) = (home / ".codex/sessions").rglob("*.jsonl")
        keep(path, codex / "rollout.jsonl", project)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
