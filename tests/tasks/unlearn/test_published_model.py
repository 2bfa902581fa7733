"""A published family on somebody's file: trained, unlearned within a scope, and scored."""

import copy
import json

import numpy as np
import pytest
import torch

from tasks.datasets.checks import checked_inputs
from tasks.datasets.jsonl import Jsonl
from tasks.networks.hugging_face import build_hugging_face
from tasks.networks.hugging_face_options import HuggingFaceOptions
from tasks.networks.scopes import bind
from tasks.runtime.devices import Engine
from tasks.training.documents import ResidentDocuments
from tasks.training.recipe import Recipe
from tasks.training.scoring import score
from tasks.training.train import train
from tasks.unlearn.base import methods
from tasks.unlearn.run import UnlearningRun, unlearn
from tests.support.published_models import SIZES

TOWNS = ("bonn", "rome", "oslo", "kyiv", "lima", "cork", "nice", "bath")
RECIPE = Recipe(epochs=30, batch_size=4, optimizer="adamw", lr=1e-2, weight_decay=0.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rows = [
        {"prompt": f"where is {name}? ", "completion": TOWNS[place % 8], "group": name}
        for place, name in enumerate(f"{a}{b}" for a in "abcd" for b in "efgh")
    ]
    path = tmp_path_factory.mktemp("documents") / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Jsonl(path=str(path))


@pytest.mark.parametrize(("family", "scope"), [("llama", "last-1"), ("gpt2", "all")])
def test_a_model_forgets_what_it_was_trained_on(source, family, scope):
    labels, engine = source.read_labels(), Engine(device="cpu")
    data = ResidentDocuments.put(checked_inputs(source, labels), labels.vocabulary, engine.device)
    options = HuggingFaceOptions(family=family, options=SIZES[family])
    options.check(source, labels)

    def fresh(path):
        return build_hugging_face(options, vocabulary=labels.vocabulary, seed_path=path)

    model, everything = fresh(("original", 0)), data.subset(np.arange(16))
    before = score(model, everything)
    train(model, everything, RECIPE, seed_path=("original", 0), engine=engine)
    original, learned = copy.deepcopy(model.state_dict()), score(model, everything)
    assert learned.loss.mean() < 0.5 * before.loss.mean()
    assert learned.statistics["tokens"].tolist() == [len("bonn") + 1] * 16
    assert learned.finite
    run = UnlearningRun(
        model=model,
        scope=bind(scope, model),
        forget=data.subset(np.arange(4)),
        retain=data.subset(np.arange(4, 14)),
        validation=data.subset(np.arange(14, 16)),
        seed=0,
        fresh_model=fresh,
        recipe=RECIPE,
        engine=engine,
    )
    unlearn(
        methods.build("neggrad_plus", {"lr": 0.1, "epochs": 4, "batch_size": 4, "alpha": 0.7}, where="test"),
        run,
    )
    run.scope.verify(original, model.state_dict())
    gone = score(model, everything)
    assert gone.loss[:4].mean() > learned.loss[:4].mean() + 0.3
    assert gone.loss[4:14].mean() < gone.loss[:4].mean()
    assert any(not torch.equal(original[name], tensor) for name, tensor in model.state_dict().items())
