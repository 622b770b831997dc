"""Objects that fail when they are looked at: what user code may hand to a framework's hooks."""

from __future__ import annotations

from hypothesis import strategies as st


class UnspeakableError(Exception):
    """An error whose own text fails."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


ERRORS = (ValueError, RecursionError, MemoryError, KeyError, UnspeakableError)

_WAYS = (
    "__str__", "__repr__", "__eq__", "__bool__", "__len__", "__iter__", "__hash__", "items", "keys",
    "model_dump", "__getattribute__", "__class__", "__dict__", "to_dict",
)  # fmt: skip


def hostile_type(base: type, way: str, error: type[Exception]) -> type:
    """A class that raises when it is looked at in a way."""

    def fail(*_: object, **__: object) -> None:
        raise error("keep out")

    if way in {"__class__", "__dict__", "trace", "message"}:
        return type("Hostile", (base,), {way: property(fail)})
    return type("Hostile", (base,), {way: fail})


def _of(base: type, way: str, error: type[Exception], content: object) -> object:
    made = hostile_type(base, way, error)
    return made() if base is object else made(content)


def _huge():
    return 10**5000  # Python does not even write it


def _long():
    return "x" * 2_000_000


def _generator(items):
    return (item for item in items)


def _cycle(value):
    loop = {"within": value}
    loop["itself"] = [loop]
    return loop


def _deep(value):
    for _ in range(2000):
        value = [value]
    return value


def _hostile(base, content):
    ways, errors = st.sampled_from(_WAYS), st.sampled_from(ERRORS)
    return st.builds(_of, st.just(base), ways, errors, st.just(content))


hostile_objects = _hostile(object, None)
hostile_containers = st.one_of(
    _hostile(dict, {"a": 1}), _hostile(list, [1, "b"]), _hostile(str, "text")
)
_plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.builds(_huge), st.builds(_long),
    st.sampled_from(["\ud800", b"\xff", float("nan"), object, len]),
)  # fmt: skip
_leaves = _plain | hostile_objects | hostile_containers


class Wrapped:
    """Keeps Hypothesis from looking at a value, which is in ``it``."""

    def __init__(self, it: object) -> None:
        self.it = it

    def __repr__(self) -> str:
        return f"Wrapped({_shown(self.it)})"


def _shown(value: object) -> str:
    try:
        return repr(value)[:300]
    except Exception:
        return type(value).__bases__[0].__name__


hostile_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=3),
        st.builds(_cycle, inner),
        st.builds(_deep, inner),
        st.builds(_generator, st.lists(inner, max_size=2)),
    ),
    max_leaves=6,
).map(Wrapped)
"""Any value, `Wrapped`, most of them with something in it that fails when it is looked at."""
