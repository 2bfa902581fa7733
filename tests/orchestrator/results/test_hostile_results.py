"""Results of whomever: every command answers or refuses in one line; nothing hangs, crashes or leaves the directory."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from orchestrator import purge, query, status, trackers
from orchestrator.errors import run_command
from orchestrator.report.__main__ import main as report
from orchestrator.store.holes import mostly_holes
from orchestrator.store.store import Store
from tests.support import synthetic_results as synthetic
from tests.support.audited import NOON

ESCAPES = "\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>'; drop table cells;-- ../../etc/passwd\r\u202e\0"
SECONDS = 20.0
COMMANDS: dict[str, Callable[[], int]] = {
    "status": lambda: status.main(["results"]),
    "verify": lambda: query.main(["--verify", "--results", "results"]),
    "sql": lambda: query.main(
        [
            "select count(*), max(method), max(split) from cells, (select max(split) as split from examples)",
            "--results",
            "results",
        ]
    ),
}


def notebook() -> int:
    """Every cell but the one that reads the command line."""
    from orchestrator.notebook.notebook import app

    app.run(defs={"root": "results", "run": None})
    return 0


READING: dict[str, Callable[[], int]] = {
    "prompt": lambda: query.main(["--results", "results"]),
    "export": lambda: query.main(["--export", "exported", "--results", "results"]),
    "trackers": lambda: trackers.main(["results", "--to", "tensorboard", "--at", "logs"]),
    "watch": lambda: status.main(["results", "--watch", "0.01"]),
    "notebook": notebook,
    "report": lambda: report(["results"]),
}
"""Commands that need the rows of cells."""
MENDING: dict[str, Callable[[], int]] = {
    "purge": lambda: purge.main(["results", "--ids", "--yes"]),
    "repair": lambda: query.main(["--repair", "--results", "results"]),
    "verify again": COMMANDS["verify"],
}


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("short")  # the name of a socket has at most 107 characters
    os.rename("short", path)


THINGS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": bound_socket,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "stdin": lambda path: path.symlink_to("/dev/stdin"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link outside": lambda path: path.symlink_to("/etc/passwd"),
    "directory": Path.mkdir,
    "empty file": Path.touch,
    "pickle": lambda path: path.write_bytes(pickle.dumps({"a": [1]})),
}
PLACES = {"marker": "store.json", "table": "cells/*.arrow", "per example": "examples/**/part.arrow"}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three files a table."""
    root = tmp_path_factory.mktemp("few")
    synthetic.fill(str(root)).check_ready()
    for folder in (path for path in root.iterdir() if path.is_dir()):
        for path in sorted(folder.rglob("*.arrow"))[3:]:
            path.unlink()
    (root / "weights").mkdir(exist_ok=True)
    return root


@pytest.fixture
def results(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(few, tmp_path / "results"))


def answers(capfd: pytest.CaptureFixture[str], *commands: str) -> dict[str, tuple[int, str]]:
    """Exit code and all output of commands; none takes long, has a traceback, or steers the terminal."""
    found = {}
    for name in commands or COMMANDS:
        began = time.monotonic()
        code = run_command({**COMMANDS, **READING, **MENDING}[name])
        assert time.monotonic() - began < SECONDS
        out, err = capfd.readouterr()
        assert code in (0, 1, 2), name
        assert not set("\x1b\x07\r\u202e\0") & set(out + err), name
        assert code != 2 or (out, err.count("\n")) == ("", 1), err
        found[name] = (code, out + err)
    return found


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


@pytest.mark.parametrize(
    ("thing", "place"),
    [
        pytest.param(
            thing, place, marks=pytest.mark.slow if place == "per example" and thing != "pipe" else ()
        )
        for thing in THINGS
        for place in PLACES
    ],
)
def test_what_is_no_file_is_never_opened(results: Path, thing: str, place: str, capfd) -> None:
    path = first(results, PLACES[place])
    path.unlink()
    THINGS[thing](path)
    name = "sql" if place == "per example" else "status"
    found = answers(capfd, name, "verify")
    if thing != "directory" or place == "marker":  # a directory of that name holds no file
        assert found[name][0] == 2
        assert path.name in found[name][1]
    if place != "marker" and thing != "directory":
        assert found["verify"][0] == 1
        assert path.name in found["verify"][1]


@pytest.mark.parametrize("thing", ["pipe", "link to itself", "link outside", "directory"])
def test_odd_weights_are_named(results: Path, thing: str, capfd) -> None:
    THINGS[thing](results / "weights" / "odd.safetensors")
    code, told = answers(capfd, "verify")["verify"]
    assert code == (thing != "directory")
    assert ("weights/odd.safetensors: " in told) == (thing != "directory")


@pytest.mark.parametrize("target", ["..", "/"])
def test_linked_directories_are_named_and_not_entered(results: Path, target: str, capfd) -> None:
    (results / "examples" / "attack=out").symlink_to(target)
    found = answers(capfd, "verify")
    assert "examples/attack=out: not a result file" in found["verify"][1]


def test_a_table_that_is_a_link_is_named_and_the_root_may_be_one(results: Path, capfd) -> None:
    shutil.move(results / "metrics", results.parent / "elsewhere")
    (results / "metrics").symlink_to(results.parent / "elsewhere")
    assert "metrics: no directory" in answers(capfd, "verify")["verify"][1]
    (results / "metrics").unlink()
    shutil.move(results.parent / "elsewhere", results / "metrics")
    os.rename(results, results.parent / "real")
    results.symlink_to("real")
    assert answers(capfd, "verify")["verify"][0] == 0


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 4000,
        b"x" * 10_000_000,
        b"\xff\xfe",
        b'{"schema_version": "' + b"9" * 3000 + b'\x1b[31m"}',
        b"{}",
    ],
)
def test_a_hostile_marker_is_one_line(results: Path, content: bytes, capfd) -> None:
    (results / "store.json").write_bytes(content)
    code, told = answers(capfd, "status")["status"]
    assert code == 2
    assert len(told) < 1000


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    with pa.ipc.open_file(pa.BufferReader(path.read_bytes())) as reader:
        arrow = reader.read_all()
    changed = change(arrow)
    with pa.ipc.new_file(str(path), changed.schema) as writer:
        writer.write_table(changed)


def with_column(arrow: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = arrow.schema.get_field_index(name)
    return arrow.set_column(place, arrow.schema.field(place), values)


def test_no_text_of_results_steers_the_terminal(results: Path, capfd) -> None:
    def hostile(arrow: pa.Table) -> pa.Table:
        for name in ("architecture", "method", "scope", "forget_set", "error", "error_type"):
            arrow = with_column(arrow, name, pa.array([ESCAPES] * len(arrow), pa.string()))
        return with_column(arrow, "status", pa.array(["failed"] * len(arrow), pa.string()))

    for path in results.glob("cells/*.arrow"):
        rewritten(path, hostile)
    (results / "cells" / "\x1b[31m\n.arrow").write_bytes(b"x")
    (results / os.fsdecode(b"cells/\xff\xfe.arrow")).write_bytes(b"x")
    found = answers(capfd, "verify")
    assert r"cells/\x1b[31m" in found["verify"][1]
    for path in results.glob("cells/*31m*"):
        path.unlink()
    (results / os.fsdecode(b"cells/\xff\xfe.arrow")).unlink()
    assert r"\x1b]0;owned" in answers(capfd, "status")["status"][1]
    assert r"\x1b]0;owned" in answers(capfd, "sql")["sql"][1]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        *(("cells", rows) for rows in (2**31, 2**62, -5, 10**6)),
        ("examples", 2**31),
        *(pytest.param("examples", rows, marks=pytest.mark.slow) for rows in (2**62, -5, 10**6)),
    ],
)
def test_a_file_that_claims_other_rows_than_it_has_is_named(
    results: Path, table: str, rows: int, capfd
) -> None:
    """Arrow and DuckDB read past its end: killed by a signal, where the file is not judged before."""
    path = first(results, f"{table}/**/*.arrow")
    rewritten(
        path, lambda arrow: pa.concat_tables([arrow] * (77 // len(arrow) + 1)).combine_chunks().slice(0, 77)
    )
    data = path.read_bytes()
    assert struct.pack("<q", 77) in data
    path.write_bytes(data.replace(struct.pack("<q", 77), struct.pack("<q", rows)))
    ((code, told),) = answers(capfd, "sql" if table == "examples" else "status").values()
    assert code == 2
    assert path.parent.name in told


def test_dictionary_and_text_that_lead_outside_are_named(results: Path, capfd) -> None:
    def outside(arrow: pa.Table) -> pa.Table:
        column = arrow["split"].combine_chunks()
        chunk = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        far = pa.array([10**6] * len(arrow), pa.int32())
        return with_column(arrow, "split", pa.DictionaryArray.from_arrays(far, chunk.dictionary, safe=False))

    path = first(results, "examples/**/part.arrow")
    whole = path.read_bytes()
    rewritten(path, outside)
    code, told = answers(capfd, "sql")["sql"]
    assert (code, path.parent.name in told) == (2, True)
    path.write_bytes(whole)

    def no_text(arrow: pa.Table) -> pa.Table:
        ends = pa.array(range(0, 2 * len(arrow) + 1, 2), pa.int32()).buffers()[1]
        data = pa.py_buffer(b"\xff\xfe" * len(arrow))
        return with_column(arrow, "method", pa.StringArray.from_buffers(len(arrow), ends, data))

    path = first(results, "cells/*.arrow")
    rewritten(path, no_text)
    code, told = answers(capfd, "status")["status"]
    assert (code, path.name in told) == (2, True)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 200_000_000) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 33) + b'{"a": {"data_offsets": [0, "x"]}}',
        struct.pack("<Q", 35) + b'{"a": {"data_offsets": [0, 1e400]}}',
        b"",
    ],
)
def test_weights_that_claim_what_they_have_not_are_damaged(results: Path, data: bytes, capfd) -> None:
    (results / "weights" / "odd.safetensors").write_bytes(data)
    code, told = answers(capfd, "verify")["verify"]
    assert code == 1
    assert "weights/odd.safetensors: truncated or corrupt" in told


@pytest.mark.parametrize("inside", [False, True])
def test_a_hole_in_a_file_is_not_read(results: Path, inside: bool, capfd) -> None:
    path = first(results, "cells/*.arrow")
    data = path.read_bytes()
    length = int.from_bytes(data[-10:-6], "little") + 10 if inside else 0
    with path.open("wb") as sink:
        sink.write(data[: len(data) - length])
        sink.truncate(1 << 40)
        sink.seek(0, os.SEEK_END)
        sink.write(data[len(data) - length :] if inside else b"")
    found = answers(capfd, "verify", "status")
    assert f"{path.name}: truncated or corrupt" in found["verify"][1]
    assert path.name in found["status"][1]


@pytest.mark.parametrize("claimed", [8, (1 << 40) - 8 - 43], ids=["a word", "all of it"])
def test_sparse_weights_are_not_read_to_their_end(results: Path, claimed: int, capfd) -> None:
    header = f'{{"a": {{"data_offsets": [0, {claimed}]}}}}'.ljust(43)
    path = results / "weights" / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", 43) + header.encode())
    os.truncate(path, 1 << 40)
    told = answers(capfd, "verify")["verify"][1]
    assert "odd.safetensors: mostly holes: its length is claimed and not written" in told


def test_what_was_written_is_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "half"
    path.write_bytes(b"")
    assert not mostly_holes(str(path))
    path.write_bytes(b"x" * 300_000)
    assert not mostly_holes(str(path))
    os.truncate(path, 590_000)
    assert not mostly_holes(str(path))
    os.truncate(path, 700_000)
    assert mostly_holes(str(path))


@pytest.mark.parametrize("table", ["purges", "losses", "inventory", "forget_sets"])
def test_what_purge_and_repair_keep_on_record_may_be_hostile(results: Path, table: str, capfd) -> None:
    store, names = Store("results"), {"part": "../../etc", "part_key": ESCAPES}
    rows = {
        "purges": {"purged_at": NOON, "what": ESCAPES, "files": -1, "finished": False},
        "losses": {**names, "noticed_at": NOON},
        "inventory": names,
        "forget_sets": {
            "forget_set": ESCAPES,
            "example_id": -1,
            "retained_nearest": 1,
            "provenance_json": "[" * 9999,
        },
    }
    store.write(table, "k", [rows[table]])
    answers(capfd, "verify", "status", *MENDING)
    (results / table / "k.arrow").write_bytes(b"torn")
    found = answers(capfd, *MENDING)
    assert found["verify again"][0] == 0, found


def test_a_page_of_any_length_is_looked_at_where_it_begins(results: Path, capfd) -> None:
    (results / "page.html").write_bytes(b"<html><title>Unlearning audit</title>")
    os.truncate(results / "page.html", 1 << 40)
    os.truncate(results / "store.json", 0)
    assert answers(capfd, "repair")["repair"][0] == 0
    assert answers(capfd, "purge")["purge"][0] == 0
    assert not (results / "page.html").exists()


def test_directories_deeper_than_the_stack_are_left_alone(results: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(results / "examples")
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    deepest = os.open(".", os.O_RDONLY)
    monkeypatch.chdir(results.parent)
    try:
        answers(capfd, "status", "verify")
        assert Store("results").files.stale(seconds=0) == []
    finally:  # shutil.rmtree of Python 3.11 cannot remove them
        os.fchdir(deepest)
        os.close(deepest)
        for _ in range(1100):
            os.chdir("..")
            os.rmdir("d")


def bomb(path: Path) -> None:
    """A whole file but for the length of a buffer: a terabyte, once it is unpacked."""
    long = 1_234_567
    with pa.ipc.open_file(pa.BufferReader(path.read_bytes())) as reader:
        arrow = reader.read_all()
    arrow = with_column(arrow, "error", pa.array(["x" * long] * len(arrow), pa.string()))
    Store("results").arrow_files.write(path.relative_to("results").as_posix(), arrow)
    data, begins = path.read_bytes(), b"\x28\xb5\x2f\xfd"
    assert struct.pack("<q", long * len(arrow)) + begins in data
    path.write_bytes(
        data.replace(struct.pack("<q", long * len(arrow)) + begins, struct.pack("<q", 1 << 40) + begins)
    )


def replaced_by(thing: str) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        THINGS[thing](path)

    return replace


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "damage",
    [*(pytest.param(replaced_by(t), id=t) for t in ("pipe", "endless device", "pickle")), bomb],
)
def test_every_command_names_a_file_that_is_none(
    results: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    path = first(Path("results"), "cells/*.arrow")
    damage(path)
    monkeypatch.setattr("sys.stdin", io.StringIO("select count(*) from cells;\n"))
    found = answers(capfd, *READING)
    for name, (code, told) in found.items():
        assert path.name in told, name
        assert (code == 2) == (name != "prompt"), name  # which goes on
    found = answers(capfd, *MENDING)
    assert path.name in found["repair"][1]
    assert (found["repair"][0], found["verify again"][0]) == (0, 0), found
    assert (results / "_damaged" / "cells" / path.name).is_symlink() or (
        results / "_damaged" / "cells" / path.name
    ).exists()
