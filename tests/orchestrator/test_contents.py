"""`python -m orchestrator.contents`: what it prints is a forget list that an audit reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.config.settings import load
from orchestrator.contents import main
from orchestrator.plan.contents import COLUMNS
from orchestrator.plan.grid import make_plan
from tasks.datasets.contents import content_hash
from tasks.errors import AuditError

IMAGES = np.random.default_rng(3).integers(0, 256, (60, 3, 6, 6), dtype=np.uint8)
TEXT = """
[data]
name = "npz"
options = {{ path = "{folder}/data.npz" }}

[axes]
architecture = ["resnet18"]
method = ["finetune"]
attack = ["none"]
forget_set = ["request"]

[forget_sets.request]
kind = "file"
path = "{folder}/request.csv"
column = "content_sha256"
"""


@pytest.fixture
def audit(tmp_path: Path) -> str:
    images = IMAGES.copy()
    images[17] = images[5]
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(60) % 3)
    (tmp_path / "audit.toml").write_text(TEXT.format(folder=tmp_path))
    return str(tmp_path / "audit.toml")


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def test_output_is_a_request(audit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([audit]) == 0
    listed = rows(capsys.readouterr().out)
    assert tuple(listed[0]) == COLUMNS
    assert [row["example_id"] for row in listed] == [str(i) for i in range(60)]
    train = [int(row["example_id"]) for row in listed if row["split"] == "train"]
    wanted = next(i for i in train if i not in (5, 17))
    assert main([audit, "--ids", str(wanted)]) == 0
    (tmp_path / "request.csv").write_text(capsys.readouterr().out)
    assert make_plan(load(audit, {})).data.forget_sets["request"].ids.tolist() == [wanted]


def test_image_files_are_looked_up(audit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, unknown = tmp_path / "known.png", tmp_path / "unknown.npy"
    Image.fromarray(IMAGES[5].transpose(1, 2, 0)).save(known)
    np.save(unknown, 255 - IMAGES[5])
    assert main([audit, "--images", str(known), str(unknown)]) == 0
    found = rows(capsys.readouterr().out)
    assert [(row["example_id"], Path(row["name"]).name) for row in found] == [
        ("5", "known.png"),
        ("17", "known.png"),
        ("", "unknown.npy"),
    ]
    assert found[2]["split"] == "not in the data set"
    assert found[0]["content_sha256"] == found[1]["content_sha256"] == content_hash(IMAGES[5]).hex()
    assert found[2]["content_sha256"] == content_hash(255 - IMAGES[5]).hex()


def test_files_of_a_folder_are_named_and_a_limit_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(40):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[i].transpose(1, 2, 0)).save(path)
    text = TEXT.format(folder=tmp_path).replace('name = "npz"', 'name = "image_folder"')
    text = text.replace(f'path = "{tmp_path}/data.npz"', 'root = "photos", image_size = 6')
    (tmp_path / "audit.toml").write_text(text)
    assert main([str(tmp_path / "audit.toml"), "--ids", "0", "21"]) == 0
    listed = rows(capsys.readouterr().out)
    assert [row["name"] for row in listed] == ["a/00.png", "b/03.png"]
    assert listed[1]["content_sha256"] == content_hash(IMAGES[3]).hex()
    (tmp_path / "audit.toml").write_text(text.replace("[data]", "[data]\nlimit = 20"))
    assert main([str(tmp_path / "audit.toml")]) == 0
    few = rows(capsys.readouterr().out)
    assert len(few) == 20
    for row in few:
        assert row["content_sha256"] == content_hash(IMAGES[int(row["name"][2:4])]).hex()
    wanted = next(row for row in few if row["split"] == "train")
    for content, told in (
        (wanted["content_sha256"], ""),
        (wanted["example_id"], "expected content hashes or names with data.limit"),
    ):
        (tmp_path / "request.csv").write_text(f"content_sha256\n{content}\n")
        if told:
            with pytest.raises(AuditError, match=told):
                make_plan(load(str(tmp_path / "audit.toml")))
        else:
            plan = make_plan(load(str(tmp_path / "audit.toml")))
            assert plan.data.forget_sets["request"].ids.tolist() == [int(wanted["example_id"])]
            assert any(note.startswith("data.limit: 20 of 40") for note in plan.notes)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ids", "60"], r"--ids: expected example ids in 0..59, got 60"),
        (["--ids", "1", "--images", "a.png"], "--ids, --images: expected one of the two"),
    ],
)
def test_wrong_flags(audit: str, flags: list[str], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        main([audit, *flags])


def test_a_wrong_hash_in_a_plan_names_the_table_and_the_line(audit: str, tmp_path: Path) -> None:
    (tmp_path / "request.csv").write_text(f"content_sha256\n{'0' * 64}\n")
    with pytest.raises(
        AuditError, match=r"forget_sets.request: .*request.csv: line 2: no example has content"
    ):
        make_plan(load(audit, {}))
