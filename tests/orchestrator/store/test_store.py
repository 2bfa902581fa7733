from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from orchestrator.store import compaction, inventory, local_files
from orchestrator.store.local_files import LocalFiles
from orchestrator.store.paths import MAX_DIRECTORY, SAFE_NAME, file_name, parse
from orchestrator.store.remote_files import RemoteFiles
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES, table_named
from orchestrator.store.verify import repair, verify
from tasks.errors import AuditError, UnknownName
from tests.support.compacting import compacting_after

ROW = {"metric": "auc", "split": "forget", "variant": "", "value": 0.5, "n": 3, "higher_is": "worse"}

CELL = {"setting": "s", "conditions": "c", "attack": "none", "role": "audited", "status": "finished"}


def rows(key: str, count: int = 3) -> list[dict]:
    return [ROW | {"value": float(i), "param": float(len(key))} for i in range(count)]


def counts(store: Store, table: str = "metrics") -> Counter:
    return Counter(store.read(table)[table_named(table).key].to_pylist())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "results"))
    made.check_ready()
    return made


@pytest.fixture
def filled(store: Store) -> Store:
    for k in range(8):
        store.write("metrics", f"k{k}", rows(f"k{k}"))
    return store


def path_of(store: Store, name: str) -> Path:
    return Path(store.root) / name


# -- one key ------------------------------------------------------------------------------------------------


def test_written_rows_are_read_back(store: Store) -> None:
    assert not store.has("metrics", "k0")
    store.write("metrics", "k0", rows("k0"))
    assert store.has("metrics", "k0")
    assert store.keys("metrics") == {"k0"}
    assert [r["value"] for r in store.read("metrics", "k0").to_pylist()] == [0.0, 1.0, 2.0]


def test_no_rows_are_a_finished_key(store: Store) -> None:
    store.write("metrics", "k0", [])
    store.write("metrics", "k1", [])
    assert store.compact() == 2
    assert store.keys("metrics") == {"k0", "k1"}
    assert store.read("metrics").num_rows == 0


def test_writing_again_replaces(filled: Store) -> None:
    filled.compact()
    filled.write("metrics", "k3", rows("k3", 1))
    assert filled.read("metrics", "k3").num_rows == 1
    assert counts(filled)["k3"] == 1
    filled.compact(at_least=1)
    assert counts(filled)["k3"] == 1
    assert len(filled.keys("metrics")) == 8


def test_unfinished_key_is_named(store: Store) -> None:
    with pytest.raises(UnknownName, match="no cell_id 'k9' has finished"):
        store.read("metrics", "k9")


def test_path_columns_come_back_and_prune(store: Store) -> None:
    attack = "pgd:eps=8/255 ü"
    store.write("examples", "c1", [{"example_id": 1, "split": "test"}], attack=attack)
    store.write("examples", "c2", [{"example_id": 2, "split": "forget"}], attack="none")
    assert store.has("examples", "c1", attack=attack)
    assert store.keys("examples") == {"c1", "c2"}
    table = store.read("examples")
    assert sorted(zip(table["cell_id"].to_pylist(), table["attack"].to_pylist(), strict=True)) == [
        ("c1", attack),
        ("c2", "none"),
    ]
    assert store.read("examples", "c1", attack=attack).to_pylist()[0]["attack"] == attack
    fragments = store.dataset("examples").get_fragments(filter=pa.compute.field("cell_id") == "c2")
    assert len(list(fragments)) == 1


def test_path_columns_must_be_given(store: Store) -> None:
    with pytest.raises(AuditError, match="examples: expected the path columns attack, got"):
        store.has("examples", "c1")
    with pytest.raises(AuditError, match="metrics: expected the path columns none"):
        store.write("metrics", "k", [], attack="none")


@given(st.text(max_size=30))
def test_no_key_leaves_its_directory(key: str) -> None:
    table = TABLES["metrics"]
    try:
        name = file_name(table, key, {})
    except AuditError:
        assert not SAFE_NAME.fullmatch(key)
        return
    assert os.path.normpath(name) == name
    assert Path(name).parent == Path("metrics")
    assert not Path(name).name.startswith((".", "_"))


@given(st.dictionaries(st.just("attack"), st.text(min_size=1, max_size=20), min_size=1))
def test_path_values_survive_and_stay_inside(path: dict[str, str]) -> None:
    try:
        name = file_name(TABLES["examples"], "abc", path)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    except AuditError:
        assert len(quote(path["attack"], safe="")) > MAX_DIRECTORY - len("attack=")
        return
    assert os.path.normpath(name) == name
    entry = parse(TABLES["examples"], name.removeprefix("examples/"))
    assert entry is not None
    assert (entry.key, entry.path) == ("abc", {**path, "cell_id": "abc"})


def test_blobs(store: Store) -> None:
    store.put_blob("weights", "abc", b"\x00\x01")
    assert store.has_blob("weights", "abc")
    assert store.get_blob("weights", "abc") == b"\x00\x01"
    assert store.blob_keys("weights") == {"abc"}
    store.delete_blob("weights", "abc")
    store.delete_blob("weights", "abc")
    assert not store.has_blob("weights", "abc")
    with pytest.raises(UnknownName, match=r"no file .*abc\.safetensors"):
        store.get_blob("weights", "abc")
    with pytest.raises(AuditError, match="is a table"):
        store.put_blob("metrics", "abc", b"")
    with pytest.raises(AuditError, match="no path"):
        store.put_blob("weights", "../abc", b"")


# -- where results cannot be kept ---------------------------------------------------------------------------


def test_a_file_as_root_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(AuditError, match=r"cannot write .*Not a directory") as error:
        Store(str(tmp_path / "results")).check_ready()
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local_files.os, "fsync", full)
    with pytest.raises(AuditError, match=r"cannot write .*No space left on device"):
        store.write("metrics", "k0", rows("k0"))
    monkeypatch.undo()
    assert not store.has("metrics", "k0")
    assert [p.name for p in path_of(store, "metrics").iterdir()] == []


def test_other_versions_are_refused(filled: Store) -> None:
    for version in (1, 99):
        path_of(filled, "store.json").write_text(f'{{"schema_version": {version}}}')
        told = f"has schema version {version}, this program reads 4: use another --out, or read it with the version"
        with pytest.raises(AuditError, match=told):
            Store(filled.root).check_ready()
    path_of(filled, "store.json").write_text("{")
    zeros = f'{{"schema_version": 4, "checksum": "sha256:{"0" * 64}"}}'
    for broken in ("{", '{"schema_version": 4}', zeros, "x" * 10**6):
        path_of(filled, "store.json").write_text(broken)
        with pytest.raises(AuditError, match=r"cannot read .*store\.json .*--repair"):
            Store(filled.root).check_version()


def test_a_file_of_another_version_is_refused(store: Store) -> None:
    schema = table_named("metrics").file_schema.with_metadata({"schema_version": "0"})
    path_of(store, "metrics").mkdir()
    with pa.ipc.new_file(str(path_of(store, "metrics/k0.arrow")), schema) as writer:
        writer.write_table(schema.empty_table())
    with pytest.raises(AuditError, match="has schema version 0"):
        store.read("metrics")
    assert [d.reason for d in verify(store)] == ["of another schema version"]


def test_files_of_an_older_schema_get_nulls(store: Store) -> None:
    old = table_named("metrics").file_schema
    old = old.remove(old.get_field_index("game"))
    table = pa.Table.from_pylist([ROW | {"cell_id": "k0"}], schema=old)
    store.arrow_files.write("metrics/k0.arrow", table)
    store.write("metrics", "k1", [ROW | {"game": "G1"}])
    assert store.read("metrics").sort_by("cell_id")["game"].to_pylist() == [None, "G1"]
    store.compact()
    assert store.read("metrics").sort_by("cell_id")["game"].to_pylist() == [None, "G1"]


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named_and_repaired(filled: Store, share: float) -> None:
    path = path_of(filled, "metrics/k5.arrow")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for read in (lambda: filled.read("metrics"), lambda: filled.read("metrics", "k5"), filled.compact):
        with pytest.raises(AuditError, match=r"cannot read .*k5\.arrow .*--repair --results") as error:
            read()
        assert "\n" not in str(error.value)
    assert [d.file for d in verify(filled)] == ["metrics/k5.arrow"]
    repair(filled)
    assert verify(filled) == []
    assert filled.keys("metrics") == {f"k{k}" for k in range(8)} - {"k5"}
    assert path_of(filled, "_damaged/metrics/k5.arrow").exists()


def test_a_truncated_compacted_file_is_named_and_repaired(filled: Store) -> None:
    filled.compact()
    (path,) = path_of(filled, "metrics/_compacted").iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(AuditError, match=r"cannot read .*_compacted.*--repair"):
        Store(filled.root).keys("metrics")
    repair(Store(filled.root))
    assert Store(filled.root).keys("metrics") == set()


def test_a_sealed_file_whose_rows_are_of_no_such_table_is_named(filled: Store) -> None:
    """Its checksum holds and its name is its own: whoever wrote it, `value` is no number."""
    schema = table_named("metrics").file_schema
    place = schema.get_field_index("value")
    other = schema.set(place, pa.field("value", pa.string()))
    rows = pa.Table.from_pylist([ROW | {"cell_id": "k5", "value": "much"}], schema=other)
    filled.arrow_files.write("metrics/k5.arrow", rows)
    (found,) = verify(filled)
    assert (found.file, found.reason.partition(":")[0]) == ("metrics/k5.arrow", "no rows of this table")
    with pytest.raises(AuditError, match=r"cannot read .*k5\.arrow .*--repair"):
        filled.read("metrics")
    repair(filled)
    assert verify(filled) == []


@pytest.mark.parametrize("content", ["{", None])
def test_a_damaged_marker_is_written_anew(filled: Store, content: str | None) -> None:
    path = path_of(filled, "store.json")
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert [damage.file for damage in verify(filled)] == ["store.json"]
    repair(filled)
    assert verify(filled) == []
    Store(filled.root).check_version()
    assert path.exists()


def test_strangers_are_no_results_and_are_named(filled: Store) -> None:
    path_of(filled, "metrics/notes.txt").write_text("hello")
    path_of(filled, "metrics/.k9.arrow.ab12cd34").write_text("left by a killed writer")
    assert len(filled.keys("metrics")) == 8
    assert sum(counts(filled).values()) == 24
    assert [(d.file, d.reason) for d in verify(filled)] == [("metrics/notes.txt", "not a result file")]


def test_repair_removes_old_leftovers_only(filled: Store) -> None:
    old, new = path_of(filled, "metrics/.a.arrow.00000000"), path_of(filled, "metrics/.b.arrow.00000000")
    old.write_text("")
    new.write_text("")
    os.utime(old, (0, 0))
    repair(filled)
    assert not old.exists()
    assert new.exists()


def test_what_cannot_be_opened_is_not_called_damaged_and_stays(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalFiles.open

    def refused(files: LocalFiles, path: str, **how: bool) -> pa.NativeFile:
        if path == "metrics/k5.arrow":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(files, path, **how)

    monkeypatch.setattr(LocalFiles, "open", refused)
    (found,) = repair(filled)
    assert (found.file, found.state) == ("metrics/k5.arrow", "unreadable")
    assert "Permission denied; nothing says that it is damaged" in found.reason
    assert path_of(filled, "metrics/k5.arrow").exists()
    assert filled.keys("losses") == set()
    with pytest.raises(AuditError, match="nothing says that it is damaged"):
        filled.compact(["metrics"])


def test_what_has_gone_is_missed_whatever_runs_end_later(filled: Store) -> None:
    for run in ("first", "second"):
        inventory.take(filled, run)
    assert filled.keys("inventory") == {"second"}
    path_of(filled, "metrics/k5.arrow").unlink()
    for run in ("second", "third"):
        inventory.take(filled, run)
        assert inventory.gone(filled) == {("metrics", "k5")}
    (found,) = repair(filled)
    assert (found.state, found.file, found.keys) == ("missing", "metrics", {"k5"})
    assert inventory.gone(filled) == set()
    assert inventory.still_lost(filled) == {("metrics", "k5")}
    filled.write("metrics", "k5", rows("k5"))
    assert inventory.still_lost(filled) == set()


@pytest.mark.parametrize("notices", [lambda store: inventory.take(store, "second"), repair])
def test_what_came_back_and_is_lost_once_more_is_missed(filled: Store, notices) -> None:
    inventory.take(filled, "first")
    for _ in range(2):
        path_of(filled, "metrics/k5.arrow").unlink()
        assert inventory.gone(filled) == {("metrics", "k5")}
        repair(filled)
        filled.write("metrics", "k5", rows("k5"))
        notices(filled)
    (loss,) = filled.read("losses").to_pylist()
    assert loss["restored_at"] >= loss["noticed_at"]


def test_damaged_files_of_one_name_are_all_kept(filled: Store) -> None:
    for content in (b"first", b"second", b"third"):
        path_of(filled, "metrics/k5.arrow").write_bytes(content)
        repair(filled)
    aside = sorted(path_of(filled, "_damaged/metrics").iterdir())
    assert [path.read_bytes() for path in aside] == [b"first", b"second", b"third"]


@pytest.mark.parametrize("moved", range(4))
def test_a_repair_that_is_killed_loses_no_loss(
    filled: Store, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no list of a run holds, and a loss whose own record is damaged."""
    inventory.record_losses(filled, {("weights", "w")})
    for name in (
        "metrics/k4.arrow",
        "metrics/k5.arrow",
        *(f"losses/{k}.arrow" for k in filled.keys("losses")),
    ):
        path_of(filled, name).write_bytes(b"torn")
    inventory.note(filled, "run", {("weights", "w")})
    move, times = LocalFiles.move, []

    def dies(files: LocalFiles, path: str, target: str) -> None:
        if len(times) == moved:
            raise KeyboardInterrupt
        times.append(path)
        move(files, path, target)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFiles, "move", dies)
        with contextlib.suppress(KeyboardInterrupt):
            repair(filled)
            assert moved == 3
    repair(filled)
    assert verify(filled) == []
    assert inventory.still_lost(filled) == {("metrics", "k4"), ("metrics", "k5"), ("weights", "w")}


def test_a_damaged_table_hides_no_other_damage(filled: Store) -> None:
    """Files beside a damaged one still say which weights belong to which model, and which cells rest on them."""
    names = ("one", "other", "third")
    for name in names:
        filled.put_blob("weights", name, save({name: np.ones(3, np.float32)}))
        digest = hashlib.sha256(filled.get_blob("weights", name)).hexdigest()
        filled.write("models", name, [{"kind": "original", "status": "finished", "weights_digest": digest}])
        filled.write("cells", f"on-{name}", [CELL | {"model_id": name}])
    places = [path_of(filled, f"weights/{name}.safetensors") for name in names[:2]]
    contents = [place.read_bytes() for place in places]
    for place, content in zip(places, reversed(contents), strict=True):
        place.write_bytes(content)
    path_of(filled, "models/third.arrow").write_bytes(b"torn")
    path_of(filled, "cells/on-third.arrow").write_bytes(b"torn")
    found = {damage.file: damage.cells for damage in verify(filled)}
    assert found == {
        "cells/on-third.arrow": 0,
        "models/third.arrow": 0,
        "weights/one.safetensors": 1,
        "weights/other.safetensors": 1,
    }


# -- compaction ---------------------------------------------------------------------------------------------


def test_compaction_keeps_every_row_once(filled: Store) -> None:
    before = filled.read("metrics").sort_by([("cell_id", "ascending"), ("value", "ascending")])
    assert filled.compact() == 8
    assert [p.name for p in path_of(filled, "metrics").iterdir()] == ["_compacted"]
    after = filled.read("metrics").sort_by([("cell_id", "ascending"), ("value", "ascending")])
    assert after.equals(before)
    assert filled.has("metrics", "k3")
    assert filled.read("metrics", "k3").num_rows == 3
    assert filled.compact(at_least=1) == 0


def test_compaction_again_takes_in_what_is_new(filled: Store) -> None:
    filled.compact()
    filled.write("metrics", "k8", rows("k8"))
    assert filled.compact() == 0
    assert filled.compact(at_least=1) == 1
    assert len(list(path_of(filled, "metrics/_compacted").iterdir())) == 1
    assert counts(filled) == {f"k{k}": 3 for k in range(9)}


def test_failed_keys_stay_small_files(store: Store) -> None:
    for k, status in enumerate(("finished", "failed", "finished")):
        store.write("models", f"m{k}", [{"kind": "unlearned", "status": status}])
    assert store.compact() == 2
    assert path_of(store, "models/m1.arrow").exists()
    store.write("models", "m1", [{"kind": "unlearned", "status": "finished"}])
    assert store.compact(at_least=1) == 1
    assert set(store.read("models")["status"].to_pylist()) == {"finished"}


def test_a_failure_of_another_result_hides_nothing_that_finished(store: Store, tmp_path: Path) -> None:
    for k in range(3):
        store.write("models", f"m{k}", [{"kind": "unlearned", "status": "finished", "samples": k}])
    store.compact()
    other = Store(str(tmp_path / "other"))
    other.write("models", "m1", [{"kind": "unlearned", "status": "failed"}])
    shutil.copytree(other.root, store.root, dirs_exist_ok=True)
    merged = Store(store.root)
    assert merged.read("models").sort_by("model_id")["samples"].to_pylist() == [0, 1, 2]
    assert merged.read("models", "m1")["status"].to_pylist() == ["finished"]
    assert merged.keys("models") == {"m0", "m1", "m2"}
    merged.compact(at_least=1)
    assert Store(store.root).read("models", "m1")["status"].to_pylist() == ["finished"]


def test_deleting_reaches_into_compacted_files(filled: Store) -> None:
    filled.compact()
    filled.delete("metrics", "k3")
    filled.delete_all("metrics", ["k4", "k5", "unknown"])
    assert not filled.has("metrics", "k3")
    assert counts(filled) == {f"k{k}": 3 for k in (0, 1, 2, 6, 7)}
    filled.delete_all("metrics", filled.keys("metrics"))
    assert filled.keys("metrics") == set()
    assert list(path_of(filled, "metrics/_compacted").iterdir()) == []


class Killed(BaseException):
    """Stands for SIGKILL between two operations on files."""


class Mortal(LocalFiles):
    """Files whose process dies before its `left`-th change."""

    left = 10**9

    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        self._live()
        super().write(path, data)

    def remove(self, path: str) -> None:
        self._live()
        super().remove(path)

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def mortal(root: str, left: int) -> Store:
    store = Store(root)
    store.arrow_files.files = Mortal(Path(root))
    store.files.left = left
    return store


@pytest.mark.parametrize("overwritten", [False, True])
def test_a_kill_at_any_point_of_a_compaction_loses_and_doubles_nothing(
    filled: Store, overwritten: bool
) -> None:
    filled.compact()
    for k in range(6, 11):  # k6 and k7 are also in the compacted file when overwritten
        if overwritten or k > 7:
            filled.write("metrics", f"k{k}", rows(f"k{k}"))
    expected = {f"k{k}": 3 for k in range(11)}
    deaths = 0
    for left in range(12):
        store = mortal(filled.root, left)
        try:
            store.compact(at_least=1)
        except Killed:
            deaths += 1
        fresh = Store(filled.root)
        assert counts(fresh) == expected
        assert fresh.keys("metrics") == set(expected)
        assert all(fresh.read("metrics", key).num_rows == 3 for key in expected)
    assert deaths >= 4
    assert len(list(path_of(filled, "metrics/_compacted").iterdir())) == 1


def test_a_kill_during_a_deletion_loses_nothing_else(filled: Store) -> None:
    filled.compact()
    filled.write("metrics", "k3", rows("k3"))
    for left in range(4):
        with contextlib.suppress(Killed):
            mortal(filled.root, left).delete("metrics", "k3")
        others = counts(Store(filled.root))
        assert others.pop("k3", 3) == 3
        assert others == {f"k{k}": 3 for k in range(8) if k != 3}
    assert not Store(filled.root).has("metrics", "k3")


def test_two_compactions_at_once_double_nothing(filled: Store) -> None:
    """The second lists its files before the first removes them, and publishes after."""
    second = Store(filled.root)
    snapshot = second.snapshot("metrics")
    tables = [second.read("metrics", entry.key) for entry in snapshot.singles[:5]]
    filled.compact()
    compaction.publish(
        second.arrow_files,
        table_named("metrics"),
        pa.concat_tables(tables),
        [e.key for e in snapshot.singles[:5]],
    )
    expected = {f"k{k}": 3 for k in range(8)}
    assert counts(Store(filled.root)) == expected
    assert Store(filled.root).compact() == 0
    assert counts(Store(filled.root)) == expected
    assert len(list(path_of(filled, "metrics/_compacted").iterdir())) == 1


def test_overlapping_compacted_files_serve_each_key_once(filled: Store) -> None:
    table = table_named("metrics")
    for chosen in (range(5), range(3, 7)):
        keys = [f"k{k}" for k in chosen]
        compaction.publish(
            filled.arrow_files, table, pa.concat_tables([filled.read("metrics", key) for key in keys]), keys
        )
    for k in range(7):
        path_of(filled, f"metrics/k{k}.arrow").unlink()
    assert counts(Store(filled.root)) == {f"k{k}": 3 for k in range(8)}


def test_a_reader_goes_on_when_a_compaction_removes_what_it_listed(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Store(filled.root)
    calls: list[str] = []
    compacting_after(reader, filled, calls, monkeypatch)
    assert counts(reader) == {f"k{k}": 3 for k in range(8)}
    assert len(calls) == 2


def test_readers_beside_a_compacting_writer_see_whole_keys(store: Store) -> None:
    """What a reader counts never shrinks, and every key has all of its rows."""
    seen: list[Counter] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(counts(Store(store.root)))

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(60):
        store.write("metrics", f"k{k}", rows(f"k{k}"))
        if k % 7 == 6:
            store.compact(["metrics"])
    done.set()
    reader.join()
    sizes = [len(count) for count in seen]
    assert sizes == sorted(sizes)
    assert all(set(count.values()) <= {3} for count in seen)
    assert counts(store) == {f"k{k}": 3 for k in range(60)}


# -- object stores ------------------------------------------------------------------------------------------


def test_an_object_store_keeps_the_same_promises() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = pafs.PyFileSystem(pafs.FSSpecHandler(fsspec.filesystem("memory")))
    store = Store("unused")
    store.arrow_files.files = RemoteFiles(memory, "bucket/results", "memory://bucket/results")
    store.check_ready()
    for k in range(5):
        store.write("metrics", f"k{k}", rows(f"k{k}"))
    store.write("examples", "c1", [{"example_id": 1, "split": "test"}], attack="pgd:a/b")
    assert store.keys("examples") == {"c1"}
    assert store.compact() == 5
    store.write("metrics", "k5", rows("k5"))
    store.delete("metrics", "k1")
    assert counts(store) == {f"k{k}": 3 for k in (0, 2, 3, 4, 5)}
    no_tensors = (2).to_bytes(8, "little") + b"{}"
    store.put_blob("weights", "w", no_tensors)
    assert store.get_blob("weights", "w") == no_tensors
    store.files.write("metrics/k9.arrow", b"ARROW1")
    assert [d.file for d in repair(store)] == ["metrics/k9.arrow"]
    assert verify(store) == []


def test_an_unknown_scheme_is_one_line() -> None:
    with pytest.raises(AuditError, match="cannot use 'nowhere://x'"):
        Store("nowhere://x")


def test_a_damaged_name_of_a_column_is_a_damaged_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("metrics", "a", rows("a"))
    (file,) = (tmp_path / "metrics").rglob("*.arrow")
    file.write_bytes(file.read_bytes().replace(b"difference_error", b"diff\xf2rence_error"))
    for read in (
        lambda s: s.read("metrics"),
        lambda s: s.read("metrics", "a"),
        lambda s: s.dataset("metrics"),
    ):
        with pytest.raises(AuditError, match="move it aside"):
            read(Store(str(tmp_path)))
