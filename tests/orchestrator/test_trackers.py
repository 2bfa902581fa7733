"""Trackers get every metric once, and only from the files."""

import importlib.util
import json
import math
import os
import stat
import struct

import pytest

from orchestrator.results.connection import Results
from orchestrator.results.trackers import TRACKERS, copy, metric_name, records
from orchestrator.trackers import main
from tasks.errors import AuditError
from tests.support.audited import audited_root


class Memory:
    """A tracker in a dictionary."""

    def __init__(self):
        self.kept = {}

    def has(self, key):
        return key in self.kept

    def log(self, record):
        self.kept[record.key] = record


@pytest.fixture(scope="module")
def found():
    with Results(audited_root()) as results:
        return list(records(results))


def test_one_record_for_each_model_with_the_metrics_of_all_its_cells(found):
    with Results(audited_root()) as results:
        models = results.sql("select distinct method, scope, seed from cells").to_pylist()
        rows = results.sql(
            "select count(*) as n from metrics join cells on cells.cell_id = metrics.cell_id"
            " where label is null and method = 'finetune' and scope = 'head'"
        ).to_pylist()
    assert len(found) == len(models)
    assert len({record.key for record in found}) == len(found)
    record = next(r for r in found if (r.config["method"], r.config["scope"]) == ("finetune", "head"))
    assert sum(not name.endswith(("/low", "/high")) for name in record.metrics) == rows[0]["n"]
    assert {name.split("/")[0] for name in record.metrics} == {"none", "fgsm", "population"}
    assert json.loads(record.config["params"])["epochs"] == 1


def test_copying_twice_adds_nothing(found):
    memory = Memory()
    assert copy(found, memory) == len(found)
    assert copy(found, memory) == 0
    assert memory.kept == {record.key: record for record in found}


def test_names_keep_to_the_letters_that_trackers_take():
    row = {"attack": "lira:n=3", "split": "test", "metric": "tpr_at_fpr", "variant": "a/b", "param": 0.01}
    assert metric_name(row) == "lira_n_3/test/tpr_at_fpr.a/b.0.01"


def events(path):
    """Scalars of a TensorBoard event file: records of length, crc, content, crc."""
    from tensorboardX.proto.event_pb2 import Event

    content, shown = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        shown |= {v.tag: v.simple_value for v in event.summary.value if v.HasField("simple_value")}
        content = content[16 + length :]
    return shown


def test_tensorboard_holds_the_values_for_their_owner_alone(tmp_path, found, capsys):
    before = os.umask(0)
    try:
        copied_twice(tmp_path, found, capsys)
    finally:
        assert os.umask(before) == 0


def copied_twice(tmp_path, found, capsys):
    for logged in (len(found), 0):
        assert main([audited_root(), "--to", "tensorboard", "--at", str(tmp_path)]) == 0
        assert f"{logged} models logged" in capsys.readouterr().err
    record = found[0]
    (path,) = (tmp_path / "lethe" / record.key).glob("events.*")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent)] == [0o600, 0o700]
    shown = events(path)
    assert shown.keys() == record.metrics.keys()
    assert all(math.isclose(shown[k], v, rel_tol=1e-6, abs_tol=1e-30) for k, v in record.metrics.items())


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_an_absent_tracker_says_what_to_install(name):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(AuditError, match=f"pip install {name}"):
        TRACKERS[name]("", "lethe")


def test_mlflow_holds_the_values(tmp_path, found):
    pytest.importorskip("mlflow")
    tracker = TRACKERS["mlflow"](f"sqlite:///{tmp_path / 'mlflow.db'}", "lethe")
    assert copy(found[:2], tracker) == 2
    assert copy(found[:2], tracker) == 0


def test_wandb_takes_no_place():
    with pytest.raises(AuditError, match="WANDB_DIR"):
        TRACKERS["wandb"]("somewhere", "lethe")
