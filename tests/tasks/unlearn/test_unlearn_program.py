"""A program as a method: what it is handed, what is taken of what it writes, and what is refused before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contracts import methods as contracts
from tasks.contracts.small import same_bits, small_run, state_of
from tasks.contracts.small_text import small_language_run
from tasks.errors import AuditError
from tasks.networks.scopes import ScopeViolation
from tasks.objectives.language import NOTHING
from tasks.runtime.costs import measure
from tasks.runtime.program import ProgramFailed
from tasks.unlearn.parts import named_content
from tasks.unlearn.parts.handed import HANDED
from tasks.unlearn.program import Program, is_program
from tasks.unlearn.run import UnlearningRun, unlearn

READ = """
import sys
from safetensors.numpy import load_file, save_file
weights = load_file(sys.argv[1])
head = weights["head.weight"]
"""
MOVES_WHAT_IT_MAY = """
import struct, json, sys
original, trainable, seed, unlearned = sys.argv[1:]
content = bytearray(open(original, "rb").read())
(length,) = struct.unpack("<Q", content[:8])
header = json.loads(content[8 : 8 + length])
for name in open(trainable).read().split():
    if header[name]["dtype"] == "F32":
        start = 8 + length + header[name]["data_offsets"][0]
        content[start : start + 4] = struct.pack("<f", 0.5 + int(seed))
open(unlearned, "wb").write(content)
"""
CONTRACTS = (
    contracts.method_is_described,
    contracts.outside_scope_is_bit_identical,
    contracts.same_seed_gives_same_weights,
    contracts.inputs_are_only_read,
)
"""Those that a program could break; each of its runs takes a tenth of a second."""
IN_AND_OUT = ("{original}", "{unlearned}")
FAST = ("python", "-I", "-S")
"""An interpreter without packages."""


def program(folder: Path, code: str, *arguments: str, interpreter: tuple[str, ...] = ("python",)) -> Program:
    (folder / "their.py").write_text(code)
    return Program(program=(*interpreter, "their.py", *arguments), folder=str(folder))


def told(folder: Path, run: UnlearningRun, *wanted: str) -> dict[str, str]:
    """What the program finds behind each placeholder: of a file its content, of the data the path of a copy."""
    code = f"""
import json, shutil, sys
found = dict(zip({list(wanted)!r}, sys.argv[3:]))
for name, value in found.items():
    if name == "data":
        found[name] = shutil.copy(value, {str(folder)!r})
    elif value.endswith(".txt"):
        found[name] = open(value).read()
json.dump(found, open({str(folder / "told.json")!r}, "w"))
shutil.copy(sys.argv[1], sys.argv[2])
"""
    before = state_of(run.model)
    unlearn(program(folder, code, *IN_AND_OUT, *(f"{{{name}}}" for name in wanted)), run)
    assert all(same_bits(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    found: dict[str, str] = json.loads((folder / "told.json").read_text())
    return found


def test_what_is_handed_over_is_what_a_method_may_use_and_no_more(tmp_path: Path) -> None:
    run = small_run(scope="head", seed=2**32 + 5)
    run.forget = run.forget.with_targets((run.forget.targets + 1) % 4)  # as poison and canaries do
    found = told(tmp_path, run, *(name for name in HANDED if name not in ("original", "unlearned")))
    for name in ("forget", "retain", "validation"):
        assert found[f"{name}_ids"].split() == [str(i) for i in getattr(run, name).ids.tolist()]
    assert found["trainable"].split() == ["head.bias", "head.weight"]
    assert (found["scope"], found["seed"], found["device"]) == ("head", "5", "cpu")
    run.validation = run.validation.at(torch.arange(0))
    with np.load(told(tmp_path, run, "data")["data"]) as data:
        assert data["ids"].tolist() == list(range(120))
        assert np.array_equal(data["images"], run.forget.data.held[0].numpy()[:120])
        relabelled = np.isin(data["ids"], run.forget.ids.numpy())
        assert np.array_equal(data["labels"], (data["ids"] + relabelled) % 4)


def test_documents_are_handed_over_as_tokens_and_where_each_begins(tmp_path: Path) -> None:
    run = small_language_run()
    with np.load(told(tmp_path, run, "data")["data"]) as data:
        parts = (run.forget, run.retain, run.validation)
        assert data["ids"].tolist() == sorted(int(i) for part in parts for i in part.ids)
        row = data["ids"].tolist().index(int(run.forget.ids[3]))
        within = slice(*data["offsets"][row : row + 2])
        batch = run.forget.batch(torch.tensor([3]))
        assert data["tokens"][within][:-1].tolist() == batch.inputs[0].tolist()
        asked = batch.targets[0] != NOTHING
        assert data["asked"][within][1:].tolist() == asked.tolist()
        assert data["tokens"][within][1:][asked].tolist() == batch.targets[0][asked].tolist()
        assert data["offsets"][-1] == len(data["tokens"]) == len(data["asked"])


def test_a_program_keeps_the_contracts_of_methods(tmp_path: Path) -> None:
    arguments = ("{original}", "{trainable}", "{seed}", "{unlearned}")
    fast = program(tmp_path, MOVES_WHAT_IT_MAY, *arguments, interpreter=FAST)
    assert fast.file_digests.keys() == {"form", "program[3]"}
    for contract in CONTRACTS:
        contract(fast)
    run = small_run(scope="head", seed=3)
    unlearn(fast, run)
    assert run.model.state_dict()["head.bias"][0] == 3.5


def test_weights_are_taken_to_the_last_bit_and_the_wall_time_counts(tmp_path: Path) -> None:
    code = (
        READ
        + "head *= 0.1\nhead[0, 0] = 1e-42\nimport time; time.sleep(0.4)\nsave_file(weights, sys.argv[2])"
    )
    run = small_run()
    expected = run.model.state_dict()["head.weight"].numpy() * np.float32(0.1)
    expected[0, 0] = 1e-42
    with measure(torch.device("cpu")) as cost:
        unlearn(program(tmp_path, code, *IN_AND_OUT), run)
    assert run.model.state_dict()["head.weight"].numpy().tobytes() == expected.tobytes()
    assert cost.device_seconds >= 0.4
    assert not run.notes  # which are rows, and equal on every backend


FAULTS = {
    "writes nothing": ("", r"the program ended well and wrote no \{unlearned\}; it wrote nothing to stderr"),
    "another shape": (
        "weights['head.weight'] = head[:2]; save_file(weights, sys.argv[2])",
        r"\{unlearned\}: weights: 'head.weight': expected torch.float32 \(4, 8\), got torch.float32 \(2, 8\)",
    ),
    "another type": (
        "weights['head.weight'] = head.astype('float16'); save_file(weights, sys.argv[2])",
        "'head.weight': expected torch.float32 .* got torch.float16",
    ),
    "a name less": ("del weights['head.bias']; save_file(weights, sys.argv[2])", "'head.bias' is missing"),
    "a name more": (
        "weights['extra'] = head; save_file(weights, sys.argv[2])",
        "'extra' is not part of this architecture",
    ),
    "not a number": (
        "head[1, 1] = float('nan'); save_file(weights, sys.argv[2])",
        r"\{unlearned\}: 'head.weight' holds a number that is not finite",
    ),
    "no safetensors": ("open(sys.argv[2], 'w').write('PK')", "weights: damaged file"),
    "a link": ("import os; os.symlink(sys.argv[1], sys.argv[2])", "expected a file, got a link"),
    "too long": (
        "open(sys.argv[2], 'wb').write(bytes(3 << 20))",
        "expected at most .* bytes, .* got 3,145,728",
    ),
    "raises": ("raise OSError('no room')", "ended with exit code 1; its last words: .*OSError: no room"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_model_of_this_architecture_is_refused(fault: str, tmp_path: Path) -> None:
    code, words = FAULTS[fault]
    if "weights" in code or "head" in code:
        failing = program(tmp_path, READ + code, *IN_AND_OUT)
    else:
        failing = program(tmp_path, f"import sys\n{code}", *IN_AND_OUT, interpreter=FAST)
    with pytest.raises(ProgramFailed, match=words):
        unlearn(failing, small_run())


def test_a_program_that_leaves_its_scope_is_found_out(tmp_path: Path) -> None:
    code = READ + "weights['first.0.bias'] += 1; save_file(weights, sys.argv[2])"
    with pytest.raises(ScopeViolation, match=r"changed outside what unlearning may change: 'first\.0\.bias'"):
        unlearn(program(tmp_path, code, *IN_AND_OUT), small_run(scope="head"))


def test_files_are_handed_over_by_full_path_and_count_by_content(tmp_path: Path) -> None:
    (tmp_path / "sizes.toml").write_text("x = 1")
    (tmp_path / "folder").mkdir()
    arguments = (
        "{unlearned}",
        "sizes.toml",
        "--sizes=sizes.toml",
        "folder",
        "absent",
        "--x=absent",
        "=sizes.toml",
    )
    asked = program(tmp_path, "", *arguments)
    values = dict.fromkeys(HANDED, "handed")
    full = str(tmp_path / "sizes.toml")
    assert asked.arguments(values) == [
        *("python", str(tmp_path / "their.py"), "handed", full, f"--sizes={full}"),
        *(str(tmp_path / "folder"), "absent", "--x=absent", "=sizes.toml"),
    ]
    assert asked.file_digests.keys() == {"form", *(f"program[{place}]" for place in (1, 3, 4, 5))}
    before = dict(asked.file_digests)
    (tmp_path / "sizes.toml").write_text("x = 2")
    after = program(tmp_path, "", *arguments).file_digests
    assert {name for name in before if before[name] != after[name]} == {"program[3]", "program[4]"}
    with pytest.raises(AuditError, match=r"^program\[3\]: sizes.toml was edited after planning"):
        unlearn(asked, small_run())


COPIES = "import os, shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])\n"


@pytest.mark.parametrize(
    ("act", "named"),
    [
        ("open(__file__, 'a').write('#')", r"program\[3\]: their.py"),
        ("os.remove(__file__); os.symlink(sys.argv[1], __file__)", r"program\[3\]: their.py"),
        ("os.remove(__file__)", r"program\[3\]: their.py"),
        ("open(sys.argv[3] + '/cache', 'w')", r"program\[6\]: data/cache"),
        ("os.remove(sys.argv[3] + '/kept')", r"program\[6\]: data/kept"),
        (
            "import pathlib; pathlib.Path(__file__).with_name('made').mkdir(); "
            "pathlib.Path(__file__).with_name('made').joinpath('x').touch()",
            r"program\[7\]: made/x",
        ),
    ],
)
def test_a_program_that_edits_what_its_arguments_name_is_found_out_by_its_first_run(
    act: str, named: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").touch()
    theirs = program(tmp_path, COPIES + act, *IN_AND_OUT, "data", "made", interpreter=FAST)
    with pytest.raises(AuditError, match=f"^{named} was edited while the program ran "):
        unlearn(theirs, small_run())


def test_what_it_does_to_what_it_was_handed_is_not_seen_by_its_next_run(tmp_path: Path) -> None:
    code = f"""
import sys, zlib
original, unlearned, ids = sys.argv[1:]
held, listed = open(original, "rb").read(), open(ids).read()
open({str(tmp_path / "seen")!r}, "a").write(f"{{zlib.crc32(held)}} {{len(listed.split())}}\\n")
open(unlearned, "wb").write(held)
for path in (original, ids):
    open(path, "w").write("7")
"""
    theirs = program(tmp_path, code, *IN_AND_OUT, "{forget_ids}", interpreter=FAST)
    for _ in range(2):
        run = small_run()
        before = state_of(run.model)
        unlearn(theirs, run)
        assert all(same_bits(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    first, second = (tmp_path / "seen").read_text().splitlines()
    assert first == second
    assert int(first.split()[1]) == len(run.forget)


REFUSED = [
    ((), r"program: expected a program and its arguments, got none"),
    (("python", "their.py", "{original}"), r"program: expected an argument with \{unlearned\}"),
    (
        ("python", "{forget_id}", "{unlearned}"),
        r"program\[1\]: no placeholder 'forget_id'.* mean 'forget_ids'\?",
    ),
    (("pythn3", "{unlearned}"), r"program\[0\]: expected a program, and PATH has no 'pythn3'"),
    (
        ("their.py", "{unlearned}"),
        r"program\[0\]: .* PATH has no 'their.py'; for the one in .* write \./their\.py",
    ),
    (
        ("./their.py", "{unlearned}"),
        r"program\[0\]: expected a file that may be executed, .*\(chmod \+x\)",
    ),
    (
        ("./other.py", "{unlearned}"),
        r"program\[0\]: expected a program, got './other.py', and there is none in",
    ),
    (
        ("python", "thier.py", "{unlearned}"),
        r"program\[1\]: no file in .* 'thier.py'. Did you mean 'their.py'\?",
    ),
    (("python", "a\0b", "{unlearned}"), r"program\[1\]: expected text without NUL"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_run_is_refused_while_planning(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "their.py").write_text("")
    with pytest.raises(AuditError, match=message):
        Program(program=words, folder=str(tmp_path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "their.py").touch()
    monkeypatch.setattr(Path, "open", denied)  # root reads every file
    with pytest.raises(AuditError, match=r"cannot read .*their\.py: Permission denied"):
        Program(program=("python", "their.py", "{unlearned}"), folder=str(tmp_path))


def folder_digest(folder: Path) -> str:
    return program(folder, "", "{unlearned}", "data").file_digests["program[3]"]


def test_what_a_folder_holds_counts_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.txt").write_text("1")
    before = folder_digest(tmp_path)
    for name in ("__pycache__/a.pyc", "deep/__pycache__/a.pyc", ".git/HEAD"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text("made anew")
    assert folder_digest(tmp_path) == before
    (tmp_path / "data" / "deep" / "a.txt").write_text("2")
    edited = folder_digest(tmp_path)
    (tmp_path / "data" / "deep" / "a.txt").rename(tmp_path / "data" / "a.txt")
    moved = folder_digest(tmp_path)
    (tmp_path / "data" / "b.txt").symlink_to("a.txt")
    assert len({before, edited, moved, folder_digest(tmp_path)}) == 4


def test_a_folder_that_is_edited_after_planning_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    planned = program(tmp_path, "", *IN_AND_OUT, "data")
    assert planned.file_digests
    (tmp_path / "data" / "new.txt").touch()
    with pytest.raises(AuditError, match=r"program\[4\]: data/new.txt was edited after planning; run the"):
        planned(small_run())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: [(folder / f"{n}").touch() for n in range(4)],
            "expected a folder of at most 3 files",
        ),
        (lambda folder: (folder / "a").write_bytes(bytes(101)), "data: expected a folder of at most"),
        (lambda folder: (folder / "a").symlink_to(".."), "a: expected files and folders, got a link"),
        (lambda folder: os.mkfifo(folder / "a"), "a: expected files and folders, got"),
        (lambda folder: (folder / "a").symlink_to("none"), "cannot read .*a: No such file"),
    ],
    ids=["many", "long", "linked", "fifo", "dangling"],
)
def test_a_folder_that_is_too_much_or_no_files_is_refused(
    make: Callable[[Path], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_content, "MOST_FILES", 3)
    monkeypatch.setattr(named_content, "MOST_BYTES", 100)
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    with pytest.raises(AuditError, match=message):
        folder_digest(tmp_path)


def test_a_table_is_known_to_be_a_program_by_its_key() -> None:
    assert is_program({"program": ["x"]})
    assert not is_program({"base": "scrub"})
