"""Whoever watches a run sees the model after each of its epochs, and last as it is handed back."""

import copy

import pytest
import torch

from tasks.unlearn.base import methods
from tasks.unlearn.run import unlearn
from tests.support.tiny_unlearning import tiny_run

TRAINED = (
    "amun",
    "bad_teacher",
    "boundary_expand",
    "boundary_shrink",
    "ct",
    "finetune",
    "gradient_ascent",
    "l1_sparse",
    "msg",
    "neggrad_plus",
    "not",
    "random_labels",
    "salun",
    "scrub",
)


@pytest.mark.parametrize("name", TRAINED)
def test_every_epoch_is_told_and_the_last_is_the_result(name: str) -> None:
    seen = []
    run = tiny_run(on_epoch=lambda epoch, model: seen.append((epoch, copy.deepcopy(model.state_dict()))))
    unlearn(methods.get(name)(epochs=2), run)  # type: ignore[call-arg]
    assert [epoch for epoch, _ in seen] == [1, 2]
    last = seen[-1][1]
    assert all(torch.equal(value, last[key]) for key, value in run.model.state_dict().items())
