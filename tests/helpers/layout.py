"""Counts what a newcomer meets: ``python tests/helpers/layout.py [CHECKOUT]``.

Names at the top level and imports between them, import circles, files named by a gerund, names of
files that are used twice, lines of code, and the calls that a save, a load and a query make.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAME = "selectools_observe"
# In English these are nouns; the folder says whose.
NOUNS = {
    "batching",
    "formatting",
    "listing",
    "mapping",
    "ordering",
    "paging",
    "processing",
    "testing",
    "warning",
}
ADJECTIVES = {"blocking", "delegating"}  # stores that are so
# Where a name may be used again, because the folder says which: a file is named by the command or
# the route that it is; and what each backend or each framework's package has, has one name in all.
NAMED_BY_WHAT_THEY_SERVE = {"cli.commands", "server.routes"}
ALIKE = {"backends": {"jsonl", "sqlite", "postgres", "clickhouse"}, "integrations": None}


class Layout:
    """The modules of a checkout, and what they import when they are imported."""

    def __init__(self, checkout: Path) -> None:
        self.package = checkout / NAME
        self.files = {self._dotted(path): path for path in sorted(self.package.rglob("*.py"))}
        self._found: dict[str, list[ast.Import | ast.ImportFrom]] = {}
        self.imports = {module: set(self._imports(module)) for module in self.files}

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self.package.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _imports(self, module: str) -> Iterator[str]:
        package = module if self.files[module].name == "__init__.py" else module.rpartition(".")[0]
        for node in self._statements(module):
            if isinstance(node, ast.ImportFrom):
                parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
                base = ".".join(part for part in (parent, node.module) if part)
                for alias in node.names:
                    found = f"{base}.{alias.name}"
                    target = found if found in self.files else base
                    if target in self.files and target != module:
                        yield target

    def _statements(self, module: str) -> list[ast.Import | ast.ImportFrom]:
        """The imports of a module, at its top or anywhere else."""
        if module not in self._found:
            self._found[module] = [
                node
                for node in _statements_in(ast.parse(self.files[module].read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
        return self._found[module]

    def arrows_of_modules(self) -> Iterator[tuple[str, str]]:
        """Each module with each that it imports, at its top or anywhere else."""
        return ((module, target) for module, found in self.imports.items() for target in found)

    def foreign(self, module: str) -> set[str]:
        """The packages of others that a module imports."""
        names = {
            name
            for node in self._statements(module)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""] * (node.level == 0)
            )
        }
        return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {NAME}

    def rooms(self) -> set[str]:
        """The names at the top level: packages and modules."""
        return {module.split(".")[1] for module in self.files if "." in module}

    def arrows(self) -> set[tuple[str, str]]:
        """Which of them import which."""
        return {
            (module.split(".")[1], target.split(".")[1])
            for module, targets in self.imports.items()
            for target in targets
            if "." in module and "." in target and module.split(".")[1] != target.split(".")[1]
        }

    def circles(self) -> list[list[str]]:
        """Modules that import each other, directly or through others, within packages too."""
        reached = {module: self._reached(module) for module in self.files}
        groups = {
            frozenset(other for other in reached[module] if module in reached[other])
            for module in self.files
            if module in reached[module]
        }
        return sorted(sorted(group) for group in groups)

    def _reached(self, module: str) -> set[str]:
        reached: set[str] = set()
        waiting = [module]
        while waiting:
            importing = waiting.pop()
            new = self.imports[importing] - reached
            reached |= new
            waiting += new
        return reached

    def gerunds(self) -> list[str]:
        """Files named by what somebody does."""
        names = {module: path.stem for module, path in self.files.items()}
        return [module for module, name in names.items() if _is_gerund(name)]

    def twice(self) -> dict[str, list[str]]:
        """Names of files that are used more than once."""
        by_name: dict[str, list[str]] = defaultdict(list)
        for module, path in self.files.items():
            if path.stem != "__init__":
                by_name[path.stem].append(module)
        return {name: modules for name, modules in by_name.items() if len(modules) > 1}

    def ambiguous(self) -> dict[str, list[str]]:
        """Those of them where the folder does not say which."""
        return {
            name: found for name, found in self.twice().items() if not _folder_says_which(found)
        }

    def lines(self) -> int:
        """Lines of code, comments and docstrings."""
        return sum(len(path.read_text().splitlines()) for path in self.files.values())


def _statements_in(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements at any depth, without the expressions in them."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        found = getattr(node, name, ())
        for inner in found if isinstance(found, list) else ():  # a lambda's body is an expression
            if isinstance(inner, ast.stmt):
                yield inner
            yield from _statements_in(inner)


def _folder_says_which(modules: list[str]) -> bool:
    """Whether all but one are commands or routes, or all are parts that several packages have."""
    places = {_place(module) for module in modules}
    return len(places - NAMED_BY_WHAT_THEY_SERVE) <= 1


def _place(module: str) -> str:
    """The folder of a module; for folders that are alike, what they are."""
    parts = module.split(".")[1:]
    folder = ".".join(parts[:-1])
    if len(parts) > 2 and parts[0] in ALIKE:
        alike = ALIKE[parts[0]]
        if alike is None or parts[1] in alike:
            return parts[0]
    return folder if folder in NAMED_BY_WHAT_THEY_SERVE else module


def _is_gerund(name: str) -> bool:
    word = name.rsplit("_", 1)[-1]
    return word.endswith("ing") and word not in NOUNS | ADJECTIVES | {"string", "thing"}


class Calls:
    """Counts the calls of functions of the package, in all threads."""

    def __init__(self, package: Path) -> None:
        self._package = str(package)
        self.counts: Counter[str] = Counter()
        self.is_counting = False

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if self.is_counting and event == "call" and name.startswith(self._package):
            self.counts[name] += 1

    def during(self, work: Callable[[], Any]) -> Any:
        """What the work returns, while it is counted."""
        self.counts.clear()
        self.is_counting = True
        try:
            return work()
        finally:
            self.is_counting = False

    def __str__(self) -> str:
        return f"{self.counts.total()} calls over {len(self.counts)} files"


def measure(package: Path) -> Iterator[str]:
    """The calls that each of four operations makes, after one to warm up."""
    import selectools_observe as ours

    calls = Calls(package)
    threading.setprofile(calls)
    sys.setprofile(calls)
    filters = ours.TraceFilter(metadata_match={"user": "ada"}, limit=10)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        store = ours.AsyncSQLiteTraceStore(f"{folder}/async.db")
        runner.run(store.save(_trace("warm")))
        calls.during(lambda: runner.run(store.save(_trace("one"))))
        yield f"async save: {calls}"
        runner.run(store.aclose())
        with ours.SQLiteTraceStore(f"{folder}/blocking.db") as blocking:
            blocking.save(_trace("warm"))
            calls.during(lambda: blocking.save(_trace("one")))
            yield f"blocking save: {calls}"
            blocking.load("warm")
            calls.during(lambda: blocking.load("one"))
            yield f"blocking load: {calls}"
            blocking.query(filters)
            calls.during(lambda: blocking.query(filters))
            yield f"blocking query: {calls}"
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]


def _trace(run_id: str) -> Any:
    from selectools_observe import AgentTrace, TraceStep

    steps = [
        TraceStep(type="llm_call", duration_ms=12.5, model="gpt-4o", prompt_tokens=100),
        TraceStep(type="tool_execution", duration_ms=3, tool_name="search", tool_args={"q": "x"}),
    ]
    return AgentTrace(steps=steps, run_id=run_id, metadata={"user": "ada"})


def main() -> None:
    """Print the counts."""
    checkout = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    sys.path.insert(0, str(checkout))
    layout = Layout(checkout)
    print(f"lines of code: {layout.lines()} in {len(layout.files)} files")
    print(f"names at the top level: {len(layout.rooms())}")
    print(f"arrows between them: {len(layout.arrows())}")
    print(f"circles: {layout.circles()}")
    print(f"files named by a gerund: {len(layout.gerunds())} {layout.gerunds()[:8]}")
    print(f"names used twice: {len(layout.twice())} {sorted(layout.twice())}")
    print(f"of these, where the folder does not say which: {sorted(layout.ambiguous())}")
    for line in measure(checkout / NAME):
        print(line)


if __name__ == "__main__":
    main()
