"""Files of the user's alone; what is no file, or not ours, is left alone."""

from __future__ import annotations

import contextlib
import os
import stat

import pytest
from command import run

from selectools_observe import AgentTrace, JSONLTraceStore, SQLiteTraceStore, StorageError
from selectools_observe.backends.files import journal_file
from selectools_observe.capture import Recorder
from selectools_observe.capture.journal.recovery import recover
from selectools_observe.errors import TraceStoreError
from selectools_observe.integrations.opentelemetry.span_journal import SpanJournal
from selectools_observe.integrations.opentelemetry.spans import SpanRecord
from selectools_observe.model.codec import encode
from selectools_observe.stores import maintenance

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")

OTHER = 12345
KINDS = {"db": SQLiteTraceStore, "jsonl": JSONLTraceStore}


@pytest.fixture(autouse=True)
def open_umask():
    """The most open of all."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def mode(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


class TestModes:
    def test_a_new_store_and_its_folders(self, tmp_path, kind):
        path = tmp_path / "new" / "deeper" / f"runs.{kind}"
        with (
            KINDS[kind](path) as store,
            Recorder(store, live=True) as recorder,
            recorder.run(),
        ):
            store.save(AgentTrace(run_id="a"))
            made = [*(tmp_path / "new").rglob("*"), tmp_path / "new"]
            assert any(each.suffix == ".record" for each in made)
            for each in made:
                assert mode(each) == (0o700 if each.is_dir() else 0o600), each

    def test_copies_backups_repairs_and_exports(self, tmp_path, kind):
        source = tmp_path / f"runs.{kind}"
        with KINDS[kind](source) as store:
            store.save(AgentTrace(run_id="a"))
            source.chmod(0o666)
            store.backup(tmp_path / "out" / f"backup.{kind}")
            store.repair(tmp_path / "out" / f"repaired.{kind}")
        maintenance.repair(source, tmp_path / "out" / f"mended.{kind}")
        assert run("-s", source, "copy", tmp_path / "out" / f"copy.{kind}").returncode == 0
        for form in ("jsonl", "csv", "html"):
            exported = tmp_path / "out" / f"export.{form}"
            result = run("-s", source, "export", "--format", form, "-o", exported)
            assert result.returncode == 0, result.stderr
        result = run("-s", source, "export", "--parquet", tmp_path / "out" / "parts")
        assert result.returncode == 0, result.stderr
        found = list((tmp_path / "out").rglob("*"))
        assert len(found) >= 10
        for each in found:
            assert mode(each) == (0o700 if each.is_dir() else 0o600), each
        assert mode(source) == 0o666  # as the user said

    def test_what_the_user_said_stays(self, tmp_path, kind):
        path = tmp_path / f"runs.{kind}"
        path.touch(0o640)
        with KINDS[kind](path) as store:
            store.save(AgentTrace(run_id="a"))
            store.save(AgentTrace(run_id="a"))
            store.compact()
        assert mode(path) == 0o640
        exported = tmp_path / "all.jsonl"
        exported.touch(0o644)
        result = run("-s", path, "export", "--format", "jsonl", "--force", "-o", exported)
        assert result.returncode == 0
        assert mode(exported) == 0o644

    def test_a_run_as_json(self, tmp_path):
        trace = AgentTrace(run_id="a")
        (tmp_path / "shared.json").touch(0o644)
        for name, expected in (("new.json", 0o600), ("shared.json", 0o644)):
            trace.to_json(tmp_path / name)
            assert mode(tmp_path / name) == expected

    def test_spans_that_wait(self, tmp_path, kind):
        path = tmp_path / f"v.{kind}"
        with KINDS[kind](path) as store:
            journal = SpanJournal(f"{path}.spans", str(path))
            journal.append([SpanRecord("t", "s")])
            (made,) = (tmp_path / f"v.{kind}.spans").iterdir()
            assert (mode(made.parent), mode(made)) == (0o700, 0o600)
            journal.close()
            assert len(store.list()) == 0


def special(path, what: str) -> None:
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        os.symlink("/dev/zero", path)
    else:
        os.symlink(path.with_name("loop"), path)
        os.symlink(path, path.with_name("loop"))


@pytest.mark.parametrize("what", ["pipe", "device", "loop"])
class TestNoFile:
    def test_a_store(self, tmp_path, kind, what):
        path = tmp_path / f"f.{kind}"
        special(path, what)
        with pytest.raises(StorageError):
            KINDS[kind](path)
        for work in (maintenance.verify, lambda each: maintenance.repair(each, tmp_path / "new")):
            with pytest.raises(TraceStoreError):
                work(path)

    def test_the_command(self, tmp_path, kind, what):
        path = tmp_path / f"f.{kind}"
        special(path, what)
        for arguments in (["list"], ["stats"], ["verify"], ["repair", tmp_path / "new"]):
            result = run("-s", path, *arguments)
            assert result.returncode not in (0, 70), (arguments, result.stderr)

    def test_beside_a_database(self, tmp_path, what):
        path = tmp_path / "f.db"
        SQLiteTraceStore(path).close()
        special(path.with_name("f.db-wal"), what)
        with pytest.raises(StorageError):
            SQLiteTraceStore(path)

    @pytest.mark.parametrize("file", ["import", "reprice", "serve", "mcp"])
    def test_files_that_are_named(self, tmp_path, what, file):
        store, path = tmp_path / "f.db", tmp_path / "x"
        SQLiteTraceStore(store).close()
        special(path, what)
        named = {
            "import": ["-s", store, "import", path],
            "reprice": ["-s", store, "reprice", "--prices", path],
            "serve": ["-s", store, "serve", "--port", "0", "--prices", path],
            "mcp": ["mcp", path],
        }
        result = run(*named[file])
        assert result.returncode in (1, 2, 3), result.stderr


OUTPUTS = {
    "export": ["export", "-o"],
    "export --force": ["export", "--force", "-o"],
    "html": ["export", "--format", "html", "-o"],
    "parquet": ["export", "--parquet"],
    "backup": ["backup"],
    "backup --force": ["backup", "--force"],
    "repair": ["repair"],
}


@pytest.mark.parametrize("what", ["pipe", "device", "loop", "link", "hard link", "folder"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_written_goes_through_no_link(tmp_path, output, what):
    store, path, theirs = tmp_path / "f.db", tmp_path / "x.out", tmp_path / "theirs"
    SQLiteTraceStore(store).close()
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    makers = {
        "link": lambda: os.symlink(theirs / "file", path),
        "hard link": lambda: os.link(theirs / "file", path),
        "folder": lambda: os.symlink(theirs, path),
    }
    makers.get(what, lambda: special(path, what))()
    result = run("-s", store, *OUTPUTS[output], path)
    assert result.returncode in (0, 1, 2, 3), result.stderr
    assert [each.read_text() for each in theirs.iterdir()] == ["theirs"]


@pytest.mark.parametrize("part", ["-wal", "-shm", "-journal"])
def test_a_hard_link_beside_a_database_is_not_written_over(tmp_path, part):
    path, theirs = tmp_path / "f.db", tmp_path / "theirs"
    SQLiteTraceStore(path).close()
    theirs.write_text("theirs")
    os.link(theirs, f"{path}{part}")
    with pytest.raises(StorageError, match="hard link"):
        SQLiteTraceStore(path)
    assert theirs.read_text() == "theirs"


def record(run_id: str = "theirs") -> bytes:
    head = encode(AgentTrace(run_id=run_id)).trace
    return journal_file.to_line(1, journal_file.BEGIN, 0, head)


NAME = "0123456789abcdef.record"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "v.db.live"
    made.mkdir()
    return made


@pytest.fixture
def store(tmp_path):
    with SQLiteTraceStore(tmp_path / "v.db") as opened:
        yield opened


class TestJournals:
    def test_one_of_ours_is_taken(self, folder, store):
        (folder / NAME).write_bytes(record("ours"))
        assert store.recover() == ["ours"]
        assert not folder.exists()

    @pytest.mark.parametrize("content", [b"", b"0", b"01234567 1 be", record()[:-1], record()[:-9]])
    def test_one_cut_short_is_removed(self, folder, store, content):
        (folder / NAME).write_bytes(content)
        store.recover()
        assert not folder.exists()

    def test_a_link_to_a_folder_is_refused(self, tmp_path, caplog):
        victim = tmp_path / "victim"
        victim.mkdir()
        for name in (NAME, "0123456789abcdef.new", "notes.new", "vinyl.record"):
            (victim / name).write_bytes(record() if name == NAME else b"")
            os.utime(victim / name, (0, 0))
        (tmp_path / "v.db.live").symlink_to(victim)
        with SQLiteTraceStore(tmp_path / "v.db") as store:
            assert store.list() == []
            assert store.recover() == []
            with (
                contextlib.suppress(OSError),
                Recorder(store, live=True) as recorder,
                recorder.run(),
            ):
                pass
        assert len(list(victim.iterdir())) == 4
        assert "link" in caplog.text

    @pytest.mark.parametrize(
        "content", [b"my vinyl records\n", b"\n", b"GIF89a", b"00000000 1 x 1 y\n"]
    )
    @pytest.mark.parametrize("name", [NAME, "vinyl.record", "notes.new", "0123456789abcdef.new"])
    def test_what_is_not_ours_stays(self, folder, store, name, content, caplog):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (0, 0))
        assert recover(store, folder) == []
        assert store.recover() == []
        assert (folder / name).read_bytes() == content

    @pytest.mark.parametrize("kind_of_link", ["symbolic", "hard"])
    def test_a_link_to_a_record_is_refused(self, tmp_path, folder, store, kind_of_link):
        victim = tmp_path / "elsewhere"
        content = record()
        victim.write_bytes(content)
        (os.symlink if kind_of_link == "symbolic" else os.link)(victim, folder / NAME)
        assert store.recover() == []
        assert store.list() == []
        assert victim.read_bytes() == content
        assert (folder / NAME).exists()

    def test_a_pipe_does_not_hang(self, folder, store):
        os.mkfifo(folder / NAME)
        os.mkfifo(folder / "0123456789abcdef.new")
        os.utime(folder / "0123456789abcdef.new", (0, 0))
        assert store.recover() == []
        assert len(list(folder.iterdir())) == 2

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_another_users_record_is_refused(self, folder, store, caplog):
        (folder / NAME).write_bytes(record())
        os.chown(folder / NAME, OTHER, OTHER)
        folder.chmod(0o777)
        assert store.recover() == []
        assert store.list() == []
        assert (folder / NAME).exists()
        assert "another user" in caplog.text

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_another_users_folder_is_refused(self, folder, store):
        (folder / NAME).write_bytes(record())
        os.chown(folder, OTHER, OTHER)
        assert store.recover() == []
        assert recover(store, folder) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_those_of_the_stores_owner_are_taken(self, tmp_path, folder, store):
        (folder / NAME).write_bytes(record("owners"))
        for path in (folder, folder / NAME, tmp_path / "v.db"):
            os.chown(path, OTHER, OTHER)
        assert store.recover() == ["owners"]

    def test_a_folder_swapped_in_the_midst_is_not_followed(self, tmp_path, folder):
        victim = tmp_path / "victim"
        victim.mkdir()
        (victim / NAME).write_bytes(record())
        (folder / NAME).write_bytes(record())
        opened = journal_file.JournalFolder(str(folder))
        held = opened.claim(str(folder / NAME))
        folder.rename(tmp_path / "moved")
        folder.symlink_to(victim)
        held.runs()
        held.remove()
        held.release()
        opened.close()
        assert (victim / NAME).exists()
        assert not (tmp_path / "moved" / NAME).exists()


SPANS = "12-0123456789abcdef0123456789abcdef.spans"


@pytest.fixture
def left(tmp_path):
    """The journal of a receiver that is gone, as a file outside of the folder that is looked at."""
    journal = SpanJournal(str(tmp_path / "gone"))
    journal.append([SpanRecord("t", "theirs")])
    os.close(journal._fd)  # as when its process is killed
    return (tmp_path / "gone").rename(tmp_path / "elsewhere") / os.path.basename(journal._name)


@pytest.fixture
def spans(tmp_path):
    made = tmp_path / "v.db.spans"
    made.mkdir()
    return made


def taken(folder) -> list[str]:
    """The spans that a receiver of the store takes over."""
    journal = SpanJournal(str(folder), str(folder).removesuffix(".spans"))
    return [record.span_id for _, records in journal.taken_over() for record in records]


class TestSpanJournals:
    def test_one_of_ours_is_taken(self, spans, left):
        left.rename(spans / SPANS)
        assert taken(spans) == ["theirs"]
        assert not spans.exists()

    @pytest.mark.parametrize("content", [b"", b"0", b"01234567 ", b'01234567 [{"half'])
    def test_one_cut_short_is_removed(self, spans, content):
        (spans / SPANS).write_bytes(content)
        assert taken(spans) == []
        assert not spans.exists()

    def test_a_link_to_a_folder_is_refused(self, tmp_path, left, caplog):
        (left.parent / "notes.spans").write_bytes(b"mine\n")
        (tmp_path / "v.db.spans").symlink_to(left.parent)
        assert taken(tmp_path / "v.db.spans") == []
        with pytest.raises(OSError, match="link"):
            SpanJournal(str(tmp_path / "v.db.spans")).append([SpanRecord("t", "s")])
        assert len(list(left.parent.iterdir())) == 2
        assert "link" in caplog.text

    @pytest.mark.parametrize("content", [b"vinyl\n", b"\n", b"GIF89a", b'00000000 [{"a": 1}]\n'])
    @pytest.mark.parametrize("name", [SPANS, "notes.spans", SPANS.replace("spans", "new")])
    def test_what_is_not_ours_stays(self, spans, left, name, content):
        (spans / name).write_bytes(content)
        os.utime(spans / name, (0, 0))
        left.rename(spans / left.name)
        assert taken(spans) == ["theirs"]
        assert (spans / name).read_bytes() == content

    @pytest.mark.parametrize("kind_of_link", ["symbolic", "hard"])
    def test_a_link_to_a_journal_is_refused(self, spans, left, kind_of_link):
        (os.symlink if kind_of_link == "symbolic" else os.link)(left, spans / SPANS)
        assert taken(spans) == []
        assert left.stat().st_size
        assert (spans / SPANS).exists()

    @pytest.mark.parametrize("name", [SPANS, "x.spans"])
    def test_a_pipe_does_not_hang(self, spans, left, name):
        os.mkfifo(spans / name)
        left.rename(spans / left.name)
        assert taken(spans) == ["theirs"]
        assert [each.name for each in spans.iterdir()] == [name]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("what", ["folder", "file"])
    def test_another_users_are_refused(self, spans, left, what, caplog):
        left.rename(spans / SPANS)
        os.chown(spans if what == "folder" else spans / SPANS, OTHER, OTHER)
        assert taken(spans) == []
        assert (spans / SPANS).exists()
        assert "another user" in caplog.text

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_those_of_the_stores_owner_are_taken(self, tmp_path, spans, left):
        left.rename(spans / SPANS)
        (tmp_path / "v.db").touch()
        for path in (spans, spans / SPANS, tmp_path / "v.db"):
            os.chown(path, OTHER, OTHER)
        assert taken(spans) == ["theirs"]
