"""PostgreSQL and ClickHouse beside SQLite, bare drivers and peers on the same servers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings

_KINDS = {"postgres": "PostgreSQL", "clickhouse": "ClickHouse", "sqlite": "SQLite"}
_IN_ALL = 1_000_000  # runs; more are put into ClickHouse alone
_MANY = 10_000
_QUESTIONS = {
    "list": "list(50)",
    "page": "a page of 50 in the middle",
    "user": "one user's 50 runs, another user each time",
    "common": "env=development, 50",
    "language": "tool:get_user_details steps>=2, 50",
    "order": "the 50 longest",
    "text": "a phrase that all have, 50",
    "rare": "a word that none has",
    "count": "count of env=development",
    "models": "statistics by day and model",
    "tools": "statistics by day, model and tool",
    "groups": "groups by user, 50",
    "facets": "facets of all",
}
_TARGETS = {
    ("postgres", "list"): 2.0,
    ("postgres", "page"): 2.0,
    ("postgres", "user"): 5.0,
    ("clickhouse", "models"): 200.0,
}


def _groups(settings: Settings) -> tuple[Group, ...]:
    quick = settings.quick
    at_once = {"batch": 256 if quick else 1_024}
    many = {"size": 1_000 if quick else _MANY, "kind": "clickhouse"}
    return (
        Group(
            "saves, 64 at a time",
            (
                *_ours("save", "save:asynchronous", at_once),
                Probe(
                    "engine-save-bare-postgres",
                    "bare_psycopg",
                    "engines:saves_in_lists",
                    {"kind": "postgres", "size": 64, **at_once},
                ),
                _of_langgraph("save", "save:asynchronous"),
            ),
        ),
        Group(
            "loads, 64 at a time",
            (
                *_ours("load", "load:asynchronous", at_once),
                Probe(
                    "engine-load-bare-postgres",
                    "bare_psycopg",
                    "load:many",
                    {"kind": "postgres", **at_once},
                ),
                _of_langgraph("load", "load:asynchronous"),
            ),
        ),
        Group(
            f"lists of {many['size']:,} saved",
            (
                Probe("engine-many-clickhouse", "ours", "engines:saves_in_lists", many),
                Probe(
                    "engine-many-bare-clickhouse",
                    "bare_clickhouse",
                    "engines:saves_in_lists",
                    many,
                ),
            ),
        ),
        Group(
            "one at a time, PostgreSQL",
            tuple(
                Probe(
                    f"engine-single-{peer}",
                    peer,
                    "engines:one_at_a_time",
                    {"kind": "postgres", "stored": 50 if quick else 500, "calls": 5},
                )
                for peer in ("ours", "mlflow")
            ),
        ),
        Group(
            f"questions of {settings.engine_runs:,} runs",
            tuple(
                Probe(f"engine-ask-{kind}", "ours", "engines:questions", {"kind": kind})
                for kind in _KINDS
                if settings.engine_runs <= _IN_ALL or kind == "clickhouse"
            ),
        ),
    )


def _ours(what: str, function: str, options: dict[str, int]) -> Iterator[Probe]:
    for kind in _KINDS:
        yield Probe(f"engine-{what}-{kind}", "ours", function, {"kind": kind, **options})


def _of_langgraph(what: str, function: str) -> Probe:
    options = {"kind": "postgres", "batch": 192}
    return Probe(f"engine-{what}-langgraph", "langgraph_postgres", function, options)


def _rows(settings: Settings) -> tuple[Row, ...]:
    rates = (*_rate_rows("save", 0.6), *_rate_rows("load", None), _MANY_ROW)
    return (*rates, *_beside_mlflow(), *_asked(settings))


def _rate_rows(what: str, of_bare: float | None) -> Iterator[Row]:
    ours = Metric(f"engine-{what}-postgres", "per_s")
    for key, label, target in (
        ("bare-postgres", "bare psycopg, ready-made rows, a pipeline and commit for 64", of_bare),
        ("langgraph", "LangGraph AsyncPostgresSaver", 5.0),
        ("sqlite", "ours, SQLite", None),
        ("clickhouse", "ours, ClickHouse", None),
    ):
        yield Row(
            "15",
            f"async {what}, 64 at a time, PostgreSQL",
            "/s",
            "higher",
            ours,
            Metric(f"engine-{what}-{key}", "per_s"),
            label,
            target,
        )


_MANY_ROW = Row(
    "15",
    "save_many of 10,000, ClickHouse",
    "/s",
    "higher",
    Metric("engine-many-clickhouse", "per_s"),
    Metric("engine-many-bare-clickhouse", "per_s"),
    "the same bytes, ready-made, in one insert",
)


def _beside_mlflow() -> Iterator[Row]:
    for key, title in (
        ("save", "a save"),
        ("load", "a load"),
        ("list", "the newest 50"),
        ("user", "one user's"),
        ("text", "a word, 50"),
    ):
        yield Row(
            "15",
            f"{title}, one call at a time, PostgreSQL",
            "ms",
            "lower",
            Metric("engine-single-ours", f"{key}_ms"),
            Metric("engine-single-mlflow", f"{key}_ms"),
            "MLflow tracing on PostgreSQL",
        )


def _asked(settings: Settings) -> Iterator[Row]:
    of = f"of {settings.engine_runs:,}"
    for key, title in _QUESTIONS.items():
        metric = {kind: Metric(f"engine-ask-{kind}", f"{key}_ms") for kind in _KINDS}
        for kind in ("postgres", "clickhouse"):
            target = _TARGETS.get((kind, key))
            yield Row(
                "15" if target else "ref",
                f"{title} {of}, {_KINDS[kind]}",
                "ms",
                "limit" if target else "lower",
                metric[kind],
                metric["sqlite"],
                "ours, SQLite",
                target,
                sized=target is not None,
            )


FAMILY = Family("engines", "Engines", _groups, _rows, Picture())
