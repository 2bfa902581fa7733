"""`[given]` while planning: which file is which model, what is refused, and what is said that cannot be said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from orchestrator import sweep as sweep_command
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tasks.networks import finished, weight_files
from tests.support.commands import here
from tests.support.finished_models import BEGIN, write_model

NAMES = ("o0", "o1", "r0", "r1", "s0", "s1", "u0", "u1")
GIVEN = '[given]\noriginal = ["o0.safetensors", "o1.safetensors"]\n'
UNLEARNED = '[given.unlearned]\ntheirs = ["u0.safetensors", "u1.safetensors"]\n'
RETRAINED = 'retrained = ["r0.safetensors", "r1.safetensors"]\n'
AGAIN = 'retrained_again = ["s0.safetensors", "s1.safetensors"]\n'
TRAINING = "[training]\nepochs = 1\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that differ."""
    folder = tmp_path_factory.mktemp("models")
    for number, name in enumerate(NAMES):
        write_model(folder / f"{name}.safetensors", seed=number)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    for file in written.iterdir():
        (tmp_path / file.name).hardlink_to(file)
    return tmp_path


def plan(folder: Path, text: str, begin: str = BEGIN) -> Plan:
    (folder / "audit.toml").write_text(begin + text)
    return make_plan(load(str(folder / "audit.toml")))


def files(made: Plan) -> dict[str, set[str]]:
    """Files by method and seed; of models that are trained, nothing."""
    found: dict[str, set[str]] = {}
    for cell in made.cells:
        file = made.models[cell.subject.id].file
        found.setdefault(f"{cell.method} {cell.seed}", set()).add(file.path.stem if file else "")
    return found


def test_every_file_is_the_model_of_its_place(folder: Path) -> None:
    made = plan(folder, GIVEN + RETRAINED + AGAIN + UNLEARNED)
    assert files(made) == {
        **{f"no_op {i}": {f"o{i}"} for i in (0, 1)},
        **{f"retrain {i}": {f"r{i}"} for i in (0, 1)},
        **{f"retrain_again {i}": {f"s{i}"} for i in (0, 1)},
        **{f"theirs {i}": {f"u{i}"} for i in (0, 1)},
    }
    assert made.config.axes.seed == (0, 1)
    assert made.config.axes.method == ("theirs",)
    assert len(made.data.splits.validation) == 0
    for cell in made.cells:
        spec = made.models[cell.reference_id or ""]
        assert (spec.kind, spec.replicate, spec.seed) == ("retrained", 0, cell.seed)
    assert not any("given.retrained" in note and "none is given" in note for note in made.notes)


def test_files_of_several_forget_sets_and_a_method_that_lacks_one(folder: Path) -> None:
    begin = BEGIN.replace('"random:count=10"', '"a", "b"') + (
        '[forget_sets.a]\nkind = "random"\ncount = 10\n[forget_sets.b]\nkind = "random"\ncount = 5\n'
    )
    text = '[given]\noriginal = "o0.safetensors"\n[given.retrained]\na = "r0.safetensors"\nb = "r1.safetensors"\n'
    made = plan(folder, text + '[given.unlearned.theirs]\nb = "u0.safetensors"\n', begin)
    found = {(c.method, c.forget_set): made.models[c.subject.id].file for c in made.cells}
    assert {k: v.path.stem for k, v in found.items() if v} == {
        ("no_op", "a"): "o0",
        ("no_op", "b"): "o0",
        ("retrain", "a"): "r0",
        ("retrain", "b"): "r1",
        ("theirs", "b"): "u0",
    }
    assert any("given.unlearned.theirs: no files for forget set 'a'" in note for note in made.notes)


@pytest.mark.parametrize(
    ("text", "methods", "said"),
    [
        pytest.param(GIVEN + UNLEARNED, {"no_op", "theirs"}, "no gap, no verdict", id="nothing"),
        pytest.param(
            GIVEN + RETRAINED + UNLEARNED,
            {"no_op", "retrain", "theirs"},
            "every verdict is undecided",
            id="one",
        ),
        pytest.param(
            GIVEN + UNLEARNED + TRAINING,
            {"no_op", "retrain", "retrain_again", "theirs"},
            "models are retrained by [training], which need not be how",
            id="recipe",
        ),
    ],
)
def test_what_cannot_be_said_is_not_planned_and_the_plan_says_so(
    folder: Path, text: str, methods: set[str], said: str
) -> None:
    made = plan(folder, text)
    assert {cell.method for cell in made.cells} == methods
    assert any(said in note for note in made.notes), made.notes
    assert all((cell.reference is None) == ("retrain" not in methods) for cell in made.cells)


def test_an_edited_file_is_another_model_in_a_setting_that_replaces_the_old(folder: Path) -> None:
    text = GIVEN + RETRAINED + UNLEARNED
    before = plan(folder, text)
    write_model(folder / "u1.safetensors", seed=99)
    after = plan(folder, text)
    moved = {c.method for c in after.cells} - {c.method for c in before.cells if c in after.cells}
    ids = [{c.cell_id: c for c in made.cells} for made in (before, after)]
    assert {c.method for key, c in ids[1].items() if key not in ids[0]} == {"theirs"} <= moved
    (old,), (new,) = (
        {made.settings[c.cell_id] for c in made.cells if (c.method, c.attack) == ("theirs", "none")}
        for made in (before, after)
    )
    assert old.setting != new.setting
    assert old.unversioned == new.unversioned
    assert old.conditions == new.conditions
    write_model(folder / "o0.safetensors", seed=100)
    last = plan(folder, text)
    (newest,) = {last.settings[c.cell_id] for c in last.cells if (c.method, c.attack) == ("theirs", "none")}
    assert newest.setting != new.setting
    assert newest.unversioned == new.unversioned


def copy(source: str, target: str) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        content = (folder / f"{source}.safetensors").read_bytes()
        (folder / f"{target}.safetensors").unlink()
        (folder / f"{target}.safetensors").write_bytes(content)

    return act


def changed(
    source: str, target: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Callable[[Path], object]:
    def act(folder: Path) -> None:
        state = change(safetensors.torch.load_file(folder / f"{source}.safetensors"))
        (folder / f"{target}.safetensors").unlink()
        safetensors.torch.save_file(state, folder / f"{target}.safetensors")

    return act


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Under Lethe's names."""
    return {f"body.{name}": tensor for name, tensor in state.items()}


def beyond_float32(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "fc.weight": state["fc.weight"].double() * 1e300}


def with_value(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """With one of the numbers of a tensor another."""

    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        state[name].view(-1)[-1] = value
        return state

    return change


def nothing(_: Path) -> None:
    """Leave the files as they are."""


WHOLE = GIVEN + RETRAINED + AGAIN + UNLEARNED
LESS = GIVEN + UNLEARNED
REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "fewer unlearned": (
        WHOLE.replace('theirs = ["u0.safetensors", "u1.safetensors"]', 'theirs = "u0.safetensors"'),
        nothing,
        "given.unlearned.theirs: expected 2, one for each original, got 1",
    ),
    "two retrained in one list": (
        '[given]\noriginal = "o0.safetensors"\n' + RETRAINED + UNLEARNED,
        nothing,
        "given.retrained: expected 1, one for each original, got 2; a second .* given.retrained_again",
    ),
    "again alone": (GIVEN + AGAIN, nothing, "retrained_again: expected `retrained` beside it, got none"),
    "seeds": (WHOLE + "", nothing, r"given.original: expected a file for each of axes.seed \(3\), got 2"),
    "forget set": (
        GIVEN + '[given.unlearned.theirs]\nrandom = ["u0.safetensors", "u1.safetensors"]\n',
        nothing,
        "given.unlearned.theirs: no forget set on axes.forget_set 'random'. Did you mean",
    ),
    "no file": (
        WHOLE.replace("u1.", "missing."),
        nothing,
        r"given.unlearned.theirs\[1\]: weights: no file .*missing",
    ),
    "pickle": (
        WHOLE.replace("u1.safetensors", "u1.pt"),
        nothing,
        r"theirs\[1\]: weights: .*is a pickle.*weights_only",
    ),
    "shards": (
        WHOLE.replace("u1.safetensors", "u1.safetensors.index.json"),
        nothing,
        r"theirs\[1\]: weights: .* is an index of shards",
    ),
    "not safetensors": (
        WHOLE,
        lambda folder: (
            (folder / "u1.safetensors").unlink(),
            (folder / "u1.safetensors").write_bytes(b"x" * 99),
        ),
        r"given.unlearned.theirs\[1\]: weights: cannot read",
    ),
    "originals alike": (
        WHOLE,
        copy("o0", "o1"),
        r"original\[1\]: expected another model than given.original\[0\]",
    ),
    "retrained alike": (
        WHOLE,
        copy("r1", "s1"),
        r"again\[1\]: expected another model than given.retrained\[1\]",
    ),
    "retrained is the original": (
        WHOLE,
        copy("o0", "r0"),
        r"d\[0\]: expected another model than given.original",
    ),
    "retrained is the original of another seed, under Lethe's names": (
        WHOLE,
        changed("o0", "r1", renamed),
        r"retrained\[1\]: expected another model than given.original\[0\]",
    ),
    "retrained alike beside another seed": (
        WHOLE,
        copy("r0", "s1"),
        r"again\[1\]: expected another model than given.retrained\[0\]",
    ),
    "beyond float32": (
        LESS,
        changed("u1", "u1", beyond_float32),
        r"theirs\[1\]: weights: .*: expected finite .* float32 does not hold",
    ),
    "parameters of a method": (
        LESS,
        nothing,
        "axes.method: 'theirs:lr=3': expected 'theirs', .* no parameter",
    ),
    "home of nobody": (
        LESS.replace('"u1.', '"~nobody-of-these/u1.'),
        nothing,
        r"given.unlearned.theirs\[1\]: .*~nobody-of-these",
    ),
    "name of a method": (LESS.replace("theirs", "scrub"), nothing, "'scrub' is a registered method"),
    "name with a meaning": (LESS.replace("theirs", '"a:b"'), nothing, "names without space .* got 'a:b'"),
    "an empty list": (GIVEN + "retrained = []\n" + UNLEARNED, nothing, "given: retrained: expected a file"),
    "an empty table": (GIVEN + "retrained = {}\n" + UNLEARNED, nothing, "given: retrained: expected a file"),
    "a number": (
        GIVEN + "retrained = 3\n",
        nothing,
        "given.retrained: expected str or a list of str .*got 3",
    ),
    "within a list": (GIVEN + "retrained = [3]\n", nothing, r"given.retrained\[0\]: expected str, got 3"),
    "unknown key": (
        GIVEN + 'retraind = "r0.safetensors"\n',
        nothing,
        "given: no key 'retraind'. Did you mean",
    ),
    "tuning": (LESS + "[tuning]\ntrials = 2\n", nothing, "tuning.trials: expected 0 with"),
    "control": (LESS + '[answers]\ncontrol = "models"\n', nothing, 'answers.control: expected "none"'),
    "shadow models": (LESS, nothing, "axes.attack: 'u_lira' needs shadow models, .* orchestrator.outputs"),
    "a recipe": (LESS, nothing, "axes.method: 'eu_k' trains by the recipe of the original"),
    "validation": (LESS, nothing, "axes.method: 'scrub_r' reads a validation set"),
    "two architectures": (LESS, nothing, "axes.architecture: expected the one architecture"),
    "documents": (
        LESS,
        nothing,
        "'blocks.0.contract.bias' is missing .*; expected the weights .* these options, context and number of words",
    ),
    "negative variance": (
        LESS,
        changed("u1", "u1", with_value("bn1.running_var", -0.5)),
        r"theirs\[1\]: weights: .*u1.*: 'bn1.running_var': expected a variance, .* got -0.5; save",
    ),
    "infinite variance": (
        LESS,
        changed("u1", "u1", with_value("bn1.running_var", float("inf"))),
        "'bn1.running_var': expected finite numbers.* before it diverged",
    ),
    "negative count": (
        LESS,
        changed("o0", "o0", with_value("layer1.0.bn1.num_batches_tracked", -1)),
        r"original\[0\]: .*'layer1.0.bn1.num_batches_tracked': expected a count of batches, .* got -1",
    ),
    "a table of parameters": (
        LESS + "[methods.theirs]\nlr = 3\n",
        nothing,
        r"methods.theirs: expected no table, as \[given.unlearned\] names the models of 'theirs'",
    ),
    "a variant of what is made": (
        LESS + '[methods.other]\nbase = "theirs"\n',
        nothing,
        r"methods.other: expected no table, as \[given.unlearned\] names the models of 'theirs'",
    ),
    "stem": (
        LESS,
        nothing,
        "'conv1.weight' is of another shape: .*; the stem is made for small images here: stem = ",
    ),
    "poison": (LESS, nothing, "'.*' changes what originals are trained on"),
}
BEGINS = {
    "seeds": ("attack = [", "seed = [0, 1, 2]\nattack = ["),
    "shadow models": ('"population"', '"population", "u_lira"'),
    "a recipe": ("attack = [", 'method = ["theirs", "eu_k"]\nattack = ['),
    "parameters of a method": ("attack = [", 'method = ["theirs:lr=3"]\nattack = ['),
    "stem": ('stem = "timm"\n', ""),
    "validation": ("attack = [", 'method = ["theirs", "scrub_r"]\nattack = ['),
    "two architectures": ('["net"]', '["net", "resnet34"]'),
    "poison": ("random:count=10", "label_noise:count=10"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_one_line_before_any_work(case: str, folder: Path) -> None:
    text, act, told = REFUSED[case]
    begin = BEGIN.replace(*BEGINS.get(case, ("", "")))
    if case == "documents":
        begin = begin.replace('"synthetic"', '"fictitious_people"').replace("options = { num_train", "# {")
        begin = begin.replace('["net"]', '["gpt"]').replace("random:count=10", "groups:count=1")
    act(folder)
    with pytest.raises(AuditError, match=told):
        plan(folder, text, begin)


def test_a_refusal_of_the_command_writes_nothing(folder: Path) -> None:
    (folder / "audit.toml").write_text(BEGIN + WHOLE.replace("u1.", "missing."))
    ran = here(sweep_command.main, folder / "audit.toml", "--out", folder / "results")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert not (folder / "results").exists()


def test_the_plan_tells_files_input_and_an_original_at_chance(folder: Path) -> None:
    (folder / "audit.toml").write_text(BEGIN + LESS)
    ran = here(sweep_command.main, folder / "audit.toml", "--out", folder / "results", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert "u1.safetensors (SHA-256 " in ran.stdout
    assert "data.mean = [0.5], divided by data.std = [0.25]" in ran.stdout
    assert "trained on 60 examples, and not on the 20 of the test set" in ran.stdout
    (chance,) = [
        line for line in ran.stdout.splitlines() if "AT CHANCE" in line
    ]  # of new weights each would be
    assert "of 60 training and" in chance


def test_an_unlearned_model_that_is_the_original_is_told(folder: Path) -> None:
    copy("o1", "u1")(folder)
    made = plan(folder, LESS)
    assert [n for n in made.notes if "the same weights" in n] == [
        "given.unlearned.theirs[1]: the same weights as given.original[1]: nothing was unlearned"
    ]
    assert np.array_equal(made.data.splits.train, np.arange(60))


def test_one_training_of_two_forget_sets_is_told(folder: Path) -> None:
    begin = BEGIN.replace(
        '["random:count=10"]', '["random:count=10", "random:count=8"]\nmethod = ["finetune"]'
    )
    sets = {"random:count=10": "r0", "random:count=8": "r0"}
    listed = ", ".join(f'"{name}" = "{file}.safetensors"' for name, file in sets.items())
    made = plan(folder, f'[given]\noriginal = "o0.safetensors"\nretrained = {{ {listed} }}\n', begin)
    assert [n for n in made.notes if "the same weights" in n] == [
        "given.retrained.random:count=8: the same weights as given.retrained.random:count=10: they are compared all "
        "the same"
    ]


def test_scopes_that_no_method_is_run_in_are_told(folder: Path) -> None:
    begin = BEGIN.replace("attack = [", 'scope = ["all", "head"]\nattack = [')
    (note,) = [n for n in plan(folder, LESS, begin).notes if n.startswith("axes.scope")]
    assert note.startswith("axes.scope: head takes no part: nobody here knows which layers")
    begin = begin.replace("attack = [", 'method = ["theirs", "finetune"]\nattack = [')
    made = plan(folder, LESS, begin)
    (note,) = [n for n in made.notes if n.startswith("axes.scope")]
    assert note.startswith("axes.scope: head is for finetune alone")
    assert {c.scope for c in made.cells if c.method == "finetune"} == {"all", "head"}
    assert not [n for n in plan(folder, LESS).notes if n.startswith("axes.scope")]


def test_a_file_is_read_once_for_all_plans_of_a_process_and_not_by_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    opened: list[str] = []
    digest, read = weight_files.file_digest, finished.read

    def hash_of(path: Path) -> str:
        hashed.append(path.stem)
        return digest(path)

    def tensors_of(path: Path) -> dict[str, torch.Tensor]:
        opened.append(path.stem)
        return read(path)

    monkeypatch.setattr(weight_files, "file_digest", hash_of)
    monkeypatch.setattr(finished, "read", tensors_of)
    for number, name in enumerate(NAMES):  # of no other test
        write_model(folder / f"{name}.safetensors", seed=1000 + number)
    made = plan(folder, WHOLE)
    assert plan(folder, WHOLE).notes == made.notes
    assert sorted(hashed) == sorted(opened) == sorted(NAMES)
    digests = weight_files.known_digests()
    monkeypatch.setattr(weight_files, "_KNOWN", {})  # another process
    weight_files.take_digests(digests)
    cells = {cell.cell_id for cell in made.cells}
    assert {cell.cell_id for cell in make_plan(made.config, told=False).cells} == cells
    assert len(hashed) == len(opened) == len(NAMES)
    write_model(folder / "u1.safetensors", seed=2000)
    assert {cell.cell_id for cell in make_plan(made.config, told=False).cells} != cells
    assert hashed[len(NAMES) :] == ["u1"]
    with pytest.raises(AuditError, match=r"u1.safetensors: .* has another file under this name"):
        weight_files.check_digests(digests)
    (folder / "u1.safetensors").unlink()
    (file,) = {s.file for s in made.models.values() if s.file and s.file.path.stem == "u1"}
    with pytest.raises(AuditError, match=rf"^{re.escape(file.key)}: weights: no file "):
        file.edited()
