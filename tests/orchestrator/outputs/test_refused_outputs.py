"""What is wrong with files of outputs is one line and exit code 2, and no results directory is made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from orchestrator.outputs import __main__ as outputs
from orchestrator.outputs.description import read_request
from orchestrator.outputs.files import Files
from orchestrator.outputs.run import prepared
from tasks.errors import AuditError
from tests.support.commands import here
from tests.support.easydub_folder import write_easydub

TRAIN, TEST, SHADOWS = 30, 10, 8
NUM = TRAIN + TEST
BEGIN = """
[outputs]
kind = "margins"
labels = "labels.npy"
test = "test.npy"
attacks = ["rank_test"]
[outputs.forget_sets]
asked = "forget.npy"
[[outputs.models]]
role = "shadow"
file = "shadow.npy"
members = "members.npy"
[[outputs.models]]
role = "shadow_unlearned"
method = "theirs"
forget_set = "asked"
file = "theirs.npy"
forgotten = "forgotten.npy"
"""


def write(folder: Path, text: str = BEGIN) -> dict[str, np.ndarray]:
    """A description of shadow models and what one method made of each, and its arrays by file."""
    generator = np.random.default_rng(0)
    members = np.zeros((SHADOWS, NUM), dtype=bool)
    members[:, :TRAIN] = np.add.outer(np.arange(SHADOWS), np.arange(TRAIN)) % 2 == 0
    forgotten = members.copy()
    forgotten[:, 10:] = False
    arrays = {
        "labels.npy": generator.integers(0, 3, NUM),
        "test.npy": np.arange(NUM) >= TRAIN,
        "forget.npy": np.arange(10),
        "shadow.npy": generator.normal(2, 1, (SHADOWS, NUM)),
        "theirs.npy": generator.normal(2, 1, (SHADOWS, NUM)),
        "members.npy": members,
        "forgotten.npy": forgotten,
    }
    for name, array in arrays.items():
        np.save(folder / name, array)
    (folder / "outputs.toml").write_text(text)
    return arrays


def refused(folder: Path, *told: str) -> None:
    """The one line that the command answers with."""
    ran = here(outputs.main, folder / "outputs.toml", "--out", folder / "results")
    assert ran.returncode == 2, ran.stderr
    (line,) = ran.stderr.splitlines()
    for part in told:
        assert part in line, line
    assert not (folder / "results").exists()


def test_what_is_right_is_planned(tmp_path: Path) -> None:
    write(tmp_path)
    ran = here(outputs.main, tmp_path / "outputs.toml", "--out", tmp_path / "results", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert "2 cells: rank_test" in ran.stdout
    assert "margins are taken for z_y - logsumexp" in ran.stdout
    assert not (tmp_path / "results").exists()


def nan_at(array: np.ndarray) -> np.ndarray:
    array[3, 17] = np.nan
    return array


def member_test(array: np.ndarray) -> np.ndarray:
    array[2, TRAIN + 4] = True
    return array


def forgets_strangers(array: np.ndarray) -> np.ndarray:
    array[3, 20] = True
    return array


def never_trained(array: np.ndarray) -> np.ndarray:
    array[:, :10] = True
    return array


def everything(array: np.ndarray) -> np.ndarray:
    array[:, :TRAIN] = True
    return array


def no_outside(array: np.ndarray) -> np.ndarray:
    array[:, :10] = True
    return array


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("shadow.npy", lambda a: a[:, :-1], ("theirs.npy", "expected 39 examples as in", "got 40 examples")),
        ("theirs.npy", nan_at, ("theirs.npy", "model 3, example 17", "finite number", "got nan")),
        ("theirs.npy", lambda a: a > 0, ("theirs.npy", "expected floating-point numbers, got bool")),
        ("theirs.npy", lambda a: a[0], ("theirs.npy", "expected models x examples", "(40,)")),
        ("theirs.npy", lambda a: 1 / (1 + np.exp(-a)), ("theirs.npy", "looks like probabilities", "log_likelihoods")),
        ("theirs.npy", lambda a: a[:3], ("outputs.models[1]: shadow", "of which of the 8 shadow models", "these 3")),
        ("members.npy", lambda a: a.astype(np.int8), ("members.npy", "a mask of bool, got int8", "astype(bool)")),
        ("members.npy", lambda a: a[:, :-1], ("members.npy", "shape (8, 40) (models x examples), got (8, 39)")),
        ("members.npy", member_test, ("members.npy", "example 34 is a member in model 2", "not a training example")),
        ("members.npy", everything, ("members.npy", "trained on every training example", "role 'original'")),
        ("members.npy", no_outside, ("members.npy", "with and without", "found none without example 0")),
        ("forgotten.npy", forgets_strangers, ("example 20 is forgotten in model 3", "not of forget set 'asked'")),
        ("forgotten.npy", never_trained, ("forgets example", "on which shadow model", "was not trained")),
        ("forgotten.npy", np.zeros_like, ("forgotten.npy", "something forgotten in each model, got none in 0")),
        ("labels.npy", lambda a: a - 1, ("labels.npy", "expected a label from 0 to", "got -1")),
        ("labels.npy", lambda a: a[1:], ("labels.npy", "expected 40 labels", "got 39")),
        ("labels.npy", lambda a: a.astype(float), ("labels.npy", "expected integers", "float64")),
        ("test.npy", lambda a: np.zeros_like(a), ("test", "expected some of the examples, and not all")),
        ("forget.npy", lambda a: a + 25, ("forget.npy", "in the test split, the first is 30")),
        ("forget.npy", lambda a: a + 35, ("forget.npy", "distinct ids from 0 to 39, got 40")),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be(
    tmp_path: Path, file: str, change: Callable[[np.ndarray], np.ndarray], told: tuple[str, ...]
) -> None:
    np.save(tmp_path / file, change(write(tmp_path)[file]))
    refused(tmp_path, *told)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('role = "shadow"\n', 'role = "shadov"\n', ("outputs.models[0]", "'shadov'", "Did you mean 'shadow'?")),
        ('kind = "margins"', 'kind = "probabilities"', ("outputs.kind", "'probabilities'", "log_likelihoods")),
        ('kind = "margins"', 'kind = "logits"', ("shadow.npy", "models x examples x classes", "(8, 40)")),
        ('kind = "margins"', 'kind = "log_likelihoods"', ("log-likelihood below 0", "model 0, example")),
        ('members = "members.npy"\n', "", ("outputs.models[0]", "members: expected a value with role 'shadow'")),
        ('method = "theirs"', 'method = "retrain"', ("method: expected a name other than", "got 'retrain'")),
        ('method = "theirs"', 'method = "(mean)"', ("method: expected a name other than", "got '(mean)'")),
        ('forget_set = "asked"', 'forget_set = "askd"', ("outputs.models[1]", "one of asked, got 'askd'")),
        ('"theirs.npy"', '"nowhere.npy"', ("nowhere.npy: no such file",)),
        ('"theirs.npy"', '"theirs.pt"', ("'.pt'", ".npy, .npz, .parquet")),
        ('["rank_test"]', '["fgsm"]', ("outputs.attacks: 'fgsm' cannot be answered", "needs the models themselves")),
        ('["rank_test"]', '["none"]', ("outputs.attacks: 'none' cannot be answered: they need logits",)),
        ('["rank_test"]', '["klom"]', ("'klom' cannot be answered", "it needs retrained models")),
        ('["rank_test"]', '["rank_tst"]', ("'rank_tst'", "Did you mean 'rank_test'?")),
        ('role = "shadow_unlearned"', 'role = "unlearned"', ("forgotten: expected none with role 'unlearned'",)),
        ('forgotten = "forgotten.npy"', "", ("forgotten: expected a value with role 'shadow_unlearned'",)),
    ],
)  # fmt: skip
def test_descriptions_that_cannot_be(tmp_path: Path, old: str, new: str, told: tuple[str, ...]) -> None:
    assert BEGIN.count(old) == 1, old
    write(tmp_path, BEGIN.replace(old, new))
    refused(tmp_path, *told)


def test_pickles_and_files_cut_short_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    np.save(tmp_path / "theirs.npy", np.array([{"model": 1}], dtype=object), allow_pickle=True)
    refused(tmp_path, "theirs.npy: cannot read this array", "Object arrays cannot be loaded")
    write(tmp_path)
    (tmp_path / "theirs.npy").write_bytes((tmp_path / "theirs.npy").read_bytes()[:-100])
    refused(tmp_path, "theirs.npy: cannot read this array", "takes 2688 bytes, the file has 2588")
    parquet.write_table(pa.table({"model": [0]}), tmp_path / "theirs.parquet")
    (tmp_path / "outputs.toml").write_text(BEGIN.replace("theirs.npy", "theirs.parquet"))
    refused(tmp_path, "theirs.parquet: expected the columns model, example_id and value; found model")


def archived(path: Path, shape: tuple[int, int], content: bytes) -> None:
    """A .npz whose header claims float64 of a shape, before some content."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", header.getvalue() + content)


def test_an_archive_that_claims_more_than_it_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, BEGIN.replace('"theirs.npy"', '"theirs.npz"'))
    archived(tmp_path / "theirs.npz", (1 << 30, NUM), bytes(1000))
    refused(tmp_path, "theirs.npz", "takes 343597383808 bytes, the file has 1128")
    monkeypatch.setattr("orchestrator.outputs.files.LEAST_SUSPECT", 1 << 20)
    archived(tmp_path / "theirs.npz", (10_000, NUM), bytes(10_000 * NUM * 8))
    refused(tmp_path, "theirs.npz", "unpack to 3200128", "which no outputs of models do")


def test_a_method_without_a_retrained_model_beside_it_is_refused(tmp_path: Path) -> None:
    shadow, unlearned = (
        BEGIN.index('[[outputs.models]]\nrole = "shadow"'),
        'role = "unlearned"\nmethod = "theirs"',
    )
    models = f'[[outputs.models]]\n{unlearned}\nforget_set = "asked"\nfile = "theirs.npy"\n'
    write(tmp_path, BEGIN[:shadow] + models)
    refused(tmp_path, "no retrained model beside it", "nothing can be said of a gap", "role 'retrained'")


def test_every_format_gives_the_same_numbers(tmp_path: Path) -> None:
    arrays = write(tmp_path)
    theirs = arrays["theirs.npy"].astype(np.float32)
    np.savez_compressed(tmp_path / "two.npz", theirs=theirs, other=theirs[:2])
    model, example = np.divmod(np.random.default_rng(1).permutation(theirs.size), NUM)
    table = {"model": model, "example_id": example, "value": theirs[model, example]}
    parquet.write_table(pa.table(table), tmp_path / "theirs.parquet")
    files = Files()
    try:
        rows = [
            files.rows(str(tmp_path / "two.npz"), array="theirs"),
            files.rows(str(tmp_path / "theirs.parquet")),
        ]
        for found in rows:
            assert found.shape == theirs.shape
            assert np.array_equal(np.stack([found.row(i) for i in range(SHADOWS)]), theirs)
        with pytest.raises(AuditError, match=r"array: expected one of theirs, other"):
            files.rows(str(tmp_path / "two.npz"))
        table["model"][0] = table["model"][1]
        table["example_id"][0] = table["example_id"][1]
        parquet.write_table(pa.table(table), tmp_path / "twice.parquet")
        with pytest.raises(AuditError, match=r"one row for each model and example, got some twice"):
            files.rows(str(tmp_path / "twice.parquet"))
        short = {name: values[1:] for name, values in table.items()}
        parquet.write_table(pa.table(short), tmp_path / "short.parquet")
        with pytest.raises(AuditError, match=r"a row for each of 8 models and 40 examples, got 319"):
            files.rows(str(tmp_path / "short.parquet"))
    finally:
        files.close()


@pytest.mark.parametrize("ascending", [False, True])
def test_easydub_is_read_as_it_lies(tmp_path: Path, ascending: bool) -> None:
    ids = write_easydub(
        tmp_path, models=32, num_train=60, num_val=12, forget_sizes=(7, 9), ascending=ascending
    )
    with prepared(read_request(str(tmp_path))) as made:
        sources = made.sources
        assert sources.architecture == "resnet9"
        assert {name: forget.ids.tolist() for name, forget in sources.data.forget_sets.items()} == {
            name: sorted(listed.tolist()) for name, listed in ids.items()
        }
        place = tmp_path / "margins" / "cifar10" / "oracle" / "forget_2"
        row = sources.models["retrained", "forget_2"].row(3)
        listed = np.sort(ids["forget_2"]) if ascending else ids["forget_2"]
        assert np.array_equal(row[listed], np.load(place / "forget" / "resnet9" / "id_3_epoch_23.npy"))
        assert np.array_equal(
            row[np.setdiff1d(np.arange(60), listed)],
            np.load(place / "retain" / "resnet9" / "id_3_epoch_23.npy"),
        )
        assert np.array_equal(row[60:], np.load(place / "val" / "resnet9" / "id_3_epoch_23.npy"))
        assert {cell.method for cell in made.plan.cells} == {"retrain", "no_op"}
        assert {cell.attack for cell in made.plan.cells} >= {"klom", "u_lira:game=G1"}
        assert any("the last 16 stand as retrained again" in note for note in made.plan.notes)
        assert sources.models["retrained_again", "forget_2"].shape == (16, 72)


def test_margins_in_no_known_order_are_refused(tmp_path: Path) -> None:
    write_easydub(tmp_path, models=4, num_train=60, num_val=12, forget_sizes=(9,))
    path = tmp_path / "margins" / "cifar10" / "pretrain" / "forget_1" / "resnet9" / "id_0_epoch_23.npy"
    np.save(path, np.load(path) + 1)
    with (
        pytest.raises(AuditError, match="in the order of its list or ascending; they are neither"),
        prepared(read_request(str(tmp_path))),
    ):
        pass
