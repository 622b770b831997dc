"""Completion in the shells themselves: a run id never becomes a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from command import ROOT

from selectools_observe import AgentTrace, SQLiteTraceStore

HOSTILE = [
    "run,8",
    "run$(touch pwned)", "run`touch pwned`", "run;touch pwned", "run&touch", "run|touch",
    "run>pwned",
    "run'x", 'run"x', "run\\x", "run$HOME", "run*", "run?", "run[a]", "run{a,b}", "run~", "run#x",
    "run!x", "run(x)", "run<x", "run%s", "run^x", "run=x", "run\u202ex",
]  # fmt: skip
PLAIN = ["run-1", "run_2", "run.3", "run:4", "run@5", "run/6", "run+7"]


@pytest.fixture
def folder(tmp_path):
    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        store.save_many(AgentTrace(run_id=run_id) for run_id in [*HOSTILE, *PLAIN])
    program = tmp_path / "bin" / "selectools-observe"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m selectools_observe "$@"\n')
    program.chmod(0o755)
    return tmp_path


def in_shell(folder, shell: str, script: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "SELECTOOLS_OBSERVE_STORE": str(folder / "runs.db"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [found, *(["-f"] if shell == "zsh" else []), "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout


BASH = """
eval "$(selectools-observe completion bash)"
COMP_WORDS=(selectools-observe show run); COMP_CWORD=2
_selectools_observe_completion selectools-observe
for word in "${COMPREPLY[@]}"; do eval "printf '%s\\n' $word"; done
"""
# zsh and fish would quote; nothing that needs it is offered.
FISH = """
selectools-observe completion fish | source
for word in (complete -C 'selectools-observe show run')
    eval "printf '%s\\n' "(string split \\t -- $word)[1]
end
"""
ZSH = """
autoload -U compinit; compinit -u -D
compadd() { local word; for word in "${(@P)argv[-1]}"; do eval "print -r -- $word"; done }
eval "$(selectools-observe completion zsh)"
words=(selectools-observe show run); CURRENT=3
_selectools_observe_completion
"""


@pytest.mark.slow
@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_what_a_shell_inserts_is_one_word_and_no_command(folder, shell, script):
    shown = in_shell(folder, shell, script).splitlines()
    assert not (folder / "pwned").exists()
    assert set(shown) >= set(PLAIN), shown
    assert set(shown) <= {*PLAIN, *HOSTILE}
