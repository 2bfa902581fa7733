"""Plug-ins that raise, leave, hang or want too much memory: failed rows with the reason, in every phase."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from tests.chaos.harness import SHADOWS
from tests.support.commands import ROOT
from tests.support.sweeps import BAD_METHODS, changed, started_sweep, started_sweeps

PLUGIN = f"""{BAD_METHODS}
def _hangs():
    while True:
        try:
            time.sleep(1000)
        except ValueError:
            pass

def _leaves():
    with open(os.path.join(os.path.dirname(__file__), "left"), "a") as left:
        left.write("once\\n")
    sys.exit("enough")

_seen = []

def _crowded():
    _seen.append(1)
    if len(_seen) == 1:
        raise MemoryError("not the first time")

def _deadlocks():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

_MENDED = os.path.join(os.path.dirname(__file__), "mended")  # a file is no code: ids do not know it
_method("raises", lambda: os.path.exists(_MENDED) or _raises())
_method("leaves", _leaves)
_method("hangs", _hangs)
_method("starves", lambda: bytearray(1 if os.path.exists(_MENDED) else 1 << 60))
_method("crowded", _crowded)
_method("deadlocks", _deadlocks)

@register("blanks")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Blanks(Method):
    def __call__(self, run):
        run.retain.data.images.zero_()
"""
LIMIT = 9.0
"""Seconds that a stage may take."""
TOLD = {
    "raises": ("RuntimeError", "the plug-in's own words"),
    "leaves": ("SystemExit", "the code called sys.exit(enough)"),
    "hangs": ("TimeLimit", f"time limit: the stage took longer than {LIMIT:.0f} s"),
    "starves": ("MemoryError", "MemoryError"),
    "blanks": (
        "AuditError",
        "method 'blanks' wrote into the images or labels that all stages share; expected them untouched: change a copy",
    ),
}
pytestmark = pytest.mark.timeout(1500)
FINE = {"retrain", "retrain_again", "no_op", "finetune", "crowded"}


def config(folder: Path, text: str, methods: list[str], timeout: float) -> Path:
    (folder / "misbehaving.py").write_text(PLUGIN)
    listed = ", ".join(f'"{m}"' for m in methods)
    for old, new in (
        ("[data]", 'plugins = ["misbehaving"]\n[data]'),
        ("method = [", f"method = [{listed}, "),
        ('device = "cpu"', f'device = "cpu"\nstage_timeout = {timeout}'),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "audit.toml").write_text(text)
    return folder / "audit.toml"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:{ROOT}"
    return started_sweep(
        folder / "audit.toml", "--out", folder / "results", *arguments, timeout=500, PYTHONPATH=path
    )


@pytest.mark.parametrize("backend", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_methods_become_rows_and_are_tried_again_on_request_only(tmp_path, backend):
    text = changed({'["all", "head"]': '["all"]', '["none", "fgsm", "population"]': '["none", "population"]'})
    config(tmp_path, text.replace(', "gradient_ascent"', ""), [*TOLD, "crowded"], LIMIT)
    ran = run(tmp_path, "--backend", backend)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    store = Store(str(tmp_path / "results"))
    cells = store.read("cells").to_pylist()
    found = {(c["method"], c["attack"]): (c["error_type"], c["error"]) for c in cells}
    expected = {(m, a): told for m, told in TOLD.items() for a in ("none", "population")}
    assert found == expected | {(m, a): (None, None) for m in FINE for a in ("none", "population")}
    models = {
        m["method"]: m["error_type"] for m in store.read("models").to_pylist() if m["status"] != "finished"
    }
    assert models == {method: kind for method, (kind, _) in TOLD.items()}

    (tmp_path / "mended").touch()
    words = [str(tmp_path / "audit.toml"), "--out", str(tmp_path / "results")]
    rerun = ["--rerun", "failed", "--set", "execution.stage_timeout=5", "--display", "plain"]
    codes, ran = started_sweeps(words, [*words, *rerun], timeout=500, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert codes == [1, 1], ran.stderr
    assert (tmp_path / "left").read_text() == "once\n" * 2  # in the first sweep and in the last
    rows = store.read("cells").to_pylist()
    fine = [{c["cell_id"]: c["finished_at"] for c in found if c["method"] in FINE} for found in (cells, rows)]
    assert fine[0] == fine[1]
    left = {c["method"] for c in rows if c["status"] == "failed"}
    assert left == {"leaves", "hangs", "blanks"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["inline", "local"])
def test_shadow_models_survive_them_too(tmp_path, backend):
    methods = ["raises", "leaves"] if backend == "inline" else ["raises", "leaves", "hangs"]
    config(
        tmp_path,
        SHADOWS.replace("num = 16", "num = 16\ndraws = 1"),
        methods,
        30.0 if backend == "inline" else 6.0,
    )
    ran = run(tmp_path, "--backend", backend)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    store = Store(str(tmp_path / "results"))
    shadows = [m for m in store.read("models").to_pylist() if m["kind"] == "shadow"]
    failed = {(m["method"], m["error_type"]) for m in shadows if m["status"] == "failed"}
    assert failed == {(method, TOLD[method][0]) for method in methods}
    cells = store.read("cells").to_pylist()
    assert {c["method"] for c in cells if c["status"] == "failed"} == set(methods)


@pytest.mark.slow
def test_a_deadlock_in_native_code_ends_the_process_and_is_not_met_again(tmp_path):
    text = changed({'["all", "head"]': '["all"]', '["none", "fgsm", "population"]': '["none"]'})
    config(tmp_path, text.replace(', "gradient_ascent"', ""), ["deadlocks"], LIMIT)
    patched = "import sys; from tasks import time_limit; time_limit.GRACE_SECONDS = 1.0\n"
    patched += "from orchestrator import errors, sweep; sys.exit(errors.run_command(sweep.main))"
    command = [sys.executable, "-c", patched, tmp_path / "audit.toml", "--out", tmp_path / "results"]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, env=environment)
    assert ran.returncode == 2, ran.stderr
    (told,) = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert told.endswith("in native code; it is recorded, and the same command goes on")
    assert run(tmp_path).returncode == 1
    rows = Store(str(tmp_path / "results")).read("cells").to_pylist()
    assert {r["method"] for r in rows if r["status"] == "failed"} == {"deadlocks"}
    assert {r["error_type"] for r in rows if r["status"] == "failed"} == {"TimeLimit"}
    assert {r["method"] for r in rows} > {"finetune", "retrain", "deadlocks"}
