"""The checks, each in an environment of its own: ``nox``, or ``nox -s lint`` for one of them."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "docs", "site", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
AIOSQLITE_TESTS = ("tests/stores/test_lifecycle.py", "tests/faults/test_cancel.py")
PARALLEL = ("-n", "auto", "--dist", "worksteal")
REST = "faults or browser or engines or slow"
LEFT_OUT = "faults or browser or frameworks"  # of what coverage is measured by
DOCS = ("tests/docs/test_docs.py", "tests/docs/test_examples.py")


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def install_wheel(session: nox.Session) -> None:
    """Install what a user would get: the built wheel, not this folder."""
    folder = Path(session.create_tmp())
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run(
        "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), ".", silent=True
    )
    (wheel,) = folder.glob("selectools_observe-*.whl")
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(f"{wheel}[selectools]")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the default tests against the built wheel, on every Python that the classifiers name."""
    install_wheel(session)
    session.install(*group("test"), *group("page"))
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session
def rest(session: nox.Session) -> None:
    """Run what the default leaves out: faults, the browser, servers and the slow forms."""
    install_wheel(session)
    session.install(*group("test"), *group("page"))
    session.run("pytest", *PARALLEL, "-m", REST, *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the property tests with all their examples; the default tries a few."""
    install_wheel(session)
    session.install(*group("test"))
    session.env["SELECTOOLS_OBSERVE_TESTS"] = "ci"
    session.run("pytest", *PARALLEL, "-m", "hypothesis", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run default, slow and servers' tests with every example; coverage has a floor."""
    session.install("-e", ".[selectools]", *group("test"))
    session.env["SELECTOOLS_OBSERVE_TESTS"] = "ci"
    session.run("pytest", *PARALLEL, "-m", f"not ({LEFT_OUT})", "--cov", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the fault tests in their long form.

    With SELECTOOLS_OBSERVE_FAULT_REPORT=path they write what they counted there.
    """
    install_wheel(session)
    session.install(*group("test"), *group("faults"))
    session.env["SELECTOOLS_OBSERVE_TESTS"] = "long"
    session.run("pytest", "--timeout=3600", "tests/faults", "tests/capture", *session.posargs)


@nox.session
def frameworks(session: nox.Session) -> None:
    """Play a script with each framework, in environments of their own; compare what is stored.

    ``nox -s frameworks -- --write`` writes down what was found and makes the manual's table.
    """
    session.install("-e", ".[otel,prices]", "pytest", "pytest-asyncio", "pytest-timeout")
    folder = Path(session.create_tmp()) / "frameworks"
    folder.mkdir(exist_ok=True)
    session.run("python", "tests/frameworks/environments.py", str(folder))
    session.run("python", "tests/frameworks/resolution.py")
    session.env["SELECTOOLS_OBSERVE_FRAMEWORKS"] = str(folder)
    if "--write" in session.posargs:
        session.env["SELECTOOLS_OBSERVE_FRAMEWORKS_WRITE"] = "1"
    session.run("pytest", "-m", "frameworks", "tests/frameworks")
    if "--write" in session.posargs:
        session.run("python", "tests/frameworks/framework_table.py")


@nox.session
def busy(session: nox.Session) -> None:
    """Run the default tests twenty times beside a machine kept busy: ``nox -s busy -- 20``."""
    install_wheel(session)
    session.install(*group("test"), *group("page"))
    session.run("python", "tests/helpers/busy_runs.py", *session.posargs)


@nox.session
def dropin(session: nox.Session) -> None:
    """Run selectools' own published tests of its trace and trace store against ours."""
    install_wheel(session)
    session.install("pytest", "pytest-asyncio")
    session.run("python", "tests/dropin/selectools_suite.py", session.create_tmp())


@nox.session
@nox.parametrize("version", ["0.20.0", "0.21.0", "0.22.1"])
def aiosqlite(session: nox.Session, version: str) -> None:
    """Run what depends on aiosqlite's insides with the oldest and the newest version allowed."""
    install_wheel(session)
    session.install(*group("test"), *group("faults"), f"aiosqlite=={version}")
    session.run("pytest", *AIOSQLITE_TESTS, *session.posargs)


@nox.session
@nox.parametrize("version", ["1.0.1", "1.1.0", "1.2.0"])
def selectools(session: nox.Session, version: str) -> None:
    """Run the tests of its observers with the releases of selectools before the newest."""
    install_wheel(session)
    session.install(*group("test"), f"selectools=={version}")
    tests = ("test_selectools.py", "test_selectools_record.py", "test_serve.py")
    session.run("pytest", *(f"tests/integrations/{name}" for name in tests), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code's style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, and what a type checker sees of the public names."""
    session.install("-e", ".[selectools]", *group("types"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the snippets of the README and of docs/, and the examples."""
    install_wheel(session)
    session.install(*group("test"))
    session.run("pytest", *DOCS, *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Build the docs site into docs/_build/html; a warning is an error."""
    session.install(
        "-e", ".[cli,langchain,otel,pandas,selectools,server]", *group("docs"), "pytest"
    )
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")


def install_what_ships(session: nox.Session) -> None:
    """Install the package with all extras that users install beside it, and nothing else."""
    session.install(".[cli,langchain,otel,pandas,polars,server]")


@nox.session
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of what the package requires, and check the licences.

    It fails for packages that the advisory database could not be asked about; where there is no
    network, ``nox -s audit -- offline`` only says so.
    """
    install_what_ships(session)
    frozen = Path(session.create_tmp()) / "requirements.txt"
    session.install("pip-audit", "pip-licenses")
    session.run("python", ".ci/supply_chain.py", "licences")
    session.run("python", ".ci/supply_chain.py", "audit", str(frozen), *session.posargs)


@nox.session
def sbom(session: nox.Session) -> None:
    """Write the software bill of materials, CycloneDX JSON: ``nox -s sbom -- FILE``."""
    install_what_ships(session)
    (target,) = session.posargs or ["dist/selectools-observe.cdx.json"]
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    python = str(Path(session.virtualenv.bin) / "python")
    tools = Path(session.create_tmp()) / "cyclonedx"
    session.run("python", "-m", "venv", str(tools))
    tool = str(tools / "bin" / "python")
    session.run(tool, "-m", "pip", "install", "--quiet", "cyclonedx-bom>=5", external=True)
    session.run(
        tool, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of", "JSON",
        "-o", target, python, external=True,
    )  # fmt: skip


@nox.session
def bench(session: nox.Session) -> None:
    """Measure this package beside its peers: ``nox -s bench -- --quick`` for a short run."""
    session.install(".", "-r", "benchmarks/requirements.txt")
    apart = Path(session.create_tmp()) / "openai-agents"  # its requirements clash with the others'
    session.run("python", "-m", "venv", str(apart))
    python = str(apart / "bin" / "python")
    requirements = "benchmarks/requirements-openai-agents.txt"
    session.run(python, "-m", "pip", "install", "--quiet", "-r", requirements, external=True)
    session.run("python", "-m", "benchmarks", f"--python=openai_agents={python}", *session.posargs)
