"""Methods on models of documents: the contracts of every method, and the losses of those that are made for text."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from tasks.contracts.methods import METHOD_CONTRACTS, check_method
from tasks.contracts.small_text import small_language_run
from tasks.errors import AuditError, Diverged
from tasks.objectives.language import NOTHING
from tasks.unlearn.base import methods
from tasks.unlearn.npo import NPO, SimNPO
from tasks.unlearn.parts.risk import risk_scores, short_recipe
from tasks.unlearn.random_tokens import RandomTokens
from tasks.unlearn.run import unlearn
from tasks.unlearn.scrub import closest_epoch
from tests.support.quick import METHODS

QUICK = {"epochs": 1, "batch_size": 8, "lr": 1e-3}
SEQUENCES = {"groups": 2, "proxy_epochs": 1, "base_params": QUICK}
FIT = METHODS


def quick(name, **values):
    cls = methods.get(name)
    return cls(**{k: v for k, v in {**QUICK, **SEQUENCES, **values}.items() if k in cls.__dataclass_fields__})


def on_documents(method):
    try:
        method.check_objective("language")
    except AuditError:
        return False
    return True


def test_the_methods_of_the_grid_of_language_models_are_among_them():
    fit = {name for name in FIT if on_documents(methods.get(name)())}
    assert {
        "finetune",
        "gradient_ascent",
        "neggrad_plus",
        "npo",
        "simnpo",
        "random_tokens",
        "scrub",
        "no_op",
    } <= fit


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FIT
        if methods.get(name).objectives != {"language"} and on_documents(methods.get(name)())
    ],  # those of documents alone are held to the contracts with all others
)
def test_every_contract_of_methods_holds_on_documents(name):
    check_method(quick(name), small_language_run)


def test_there_are_contracts():
    assert len(METHOD_CONTRACTS) >= 8


def moved(run):
    before = dict(run.original.named_parameters())
    return {n: (p - before[n]).detach() for n, p in run.model.named_parameters()}


# -- NPO and SimNPO -----------------------------------------------------------------------------------------------


def forget_batch(run, n=4):
    return run.forget.batch(torch.arange(n))


def summed(model, batch):
    """Negative log-likelihood of each document, summed over its tokens, and their number."""
    logs = model(batch.inputs).log_softmax(-1)
    asked = batch.targets != NOTHING
    each = -logs.gather(-1, batch.targets.clamp(min=0)[..., None]).squeeze(-1) * asked
    return each.sum(1), asked.sum(1)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_npo_is_the_papers_loss_on_summed_tokens(beta):
    run = small_language_run()
    batch = forget_batch(run)
    at_the_original = NPO(beta=beta).forget_losses(run, batch)
    torch.testing.assert_close(at_the_original, torch.full((4,), 2 / beta * math.log(2)))
    with torch.no_grad():
        run.model.head.weight *= 1.2
        further, _ = summed(run.model, batch)
        original, _ = summed(run.original, batch)
        expected = -2 / beta * torch.log(torch.sigmoid(beta * (further - original)))
    assert bool((expected - at_the_original).abs().max() > 0.01)
    torch.testing.assert_close(NPO(beta=beta).forget_losses(run, batch), expected, rtol=1e-4, atol=1e-4)


def test_npo_begins_as_gradient_ascent():
    run = small_language_run()
    batch = forget_batch(run)
    weight = run.model.head.weight
    (npo,) = torch.autograd.grad(NPO().forget_losses(run, batch).sum(), weight)
    (ascent,) = torch.autograd.grad(-summed(run.model, batch)[0].sum(), weight)
    torch.testing.assert_close(npo, ascent, rtol=1e-3, atol=1e-4)


def test_npo_does_not_see_a_constant_on_all_logits():
    run = small_language_run()
    batch = forget_batch(run)
    before = NPO().forget_losses(run, batch).detach()
    plain = run.model.forward
    run.model.forward = lambda tokens: plain(tokens) + 100.0
    torch.testing.assert_close(NPO().forget_losses(run, batch), before, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("delta", [0.0, 2.0])
def test_simnpo_is_the_papers_loss_on_the_mean_token(delta):
    run = small_language_run()
    batch, method = forget_batch(run), SimNPO(delta=delta)
    with torch.no_grad():
        total, tokens = summed(run.model, batch)
        margin = method.beta * (total / tokens - delta)
        expected = -0.1375 * 2 / method.beta * torch.log(torch.sigmoid(margin))
    torch.testing.assert_close(method.forget_losses(run, batch), expected, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        run.model.head.weight *= 100
    assert float(method.forget_losses(run, batch).detach().max()) < 1e-3


@pytest.mark.parametrize(("cls", "own"), [(NPO, {}), (SimNPO, {"forget_weight": 3.0, "delta": 5.0})])
def test_preference_forgets_what_it_should_and_keeps_with_a_weight(cls, own):
    def losses(**values):
        run = small_language_run()
        unlearn(cls(**{**QUICK, "epochs": 4, "lr": 2e-3, **own, **values}), run)
        with torch.no_grad():
            return [
                float(run.losses(part.batch(torch.arange(len(part)))).mean())
                for part in (run.forget, run.retain)
            ]

    untouched = small_language_run()
    with torch.no_grad():
        before = float(untouched.losses(forget_batch(untouched, len(untouched.forget))).mean())
    forget, retain = losses()
    assert forget > before
    without = losses(retain_weight=0.0)
    assert without[1] > retain


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (NPO, {"beta": 0.0}, "beta: expected a positive number, got 0.0"),
        (SimNPO, {"delta": -1.0}, "delta: expected 0 or more, got -1.0"),
        (SimNPO, {"forget_weight": 0.0}, "forget_weight: expected a positive number, got 0.0"),
        (NPO, {"retain_weight": -1.0}, "retain_weight: expected 0 or more, got -1.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(cls, values, message):
    with pytest.raises(AuditError, match=message):
        cls(**values)


# -- random tokens --------------------------------------------------------------------------------------------


def test_random_tokens_fits_other_words_on_the_true_text(monkeypatch):
    run = small_language_run()
    seen = []
    monkeypatch.setattr(
        run,
        "loss",
        lambda batch: seen.append(batch) or F.mse_loss(run.outputs(batch.inputs), run.outputs(batch.inputs)),
    )
    RandomTokens(**{**QUICK, "epochs": 2})(run)
    true = {int(i): run.forget.targets[row] for row, i in enumerate(run.forget.ids)}
    drawn = [[], []]
    forgotten = [batch for batch in seen if int(batch.ids[0]) in true]
    for number, batch in enumerate(forgotten):
        for i, inputs, targets in zip(batch.ids.tolist(), batch.inputs, batch.targets, strict=True):
            own = true[i][: len(targets)]
            asked = own != NOTHING
            assert torch.equal(targets != NOTHING, asked)
            assert not bool((targets == own)[asked].any())
            assert torch.equal(inputs[1:][asked[:-1]], own[:-1].long()[asked[:-1]])
            drawn[number >= len(forgotten) // 2].append((i, targets[asked].tolist()))
    assert sorted(drawn[0]) != sorted(drawn[1])
    kept = [batch for batch in seen if int(batch.ids[0]) not in true]
    assert {int(i) for batch in kept for i in batch.ids} == set(run.retain.ids.tolist())


def test_a_loss_that_is_no_number_is_told():
    run = small_language_run()
    with pytest.raises(Diverged, match="non-finite loss after"):
        unlearn(quick("gradient_ascent", epochs=20, lr=1e3), run)


def test_a_method_of_classes_is_refused_on_documents():
    with pytest.raises(
        AuditError,
        match="BoundaryShrink: expected a model trained to classify, got language; take undial, or random_tokens",
    ):
        unlearn(methods.get("boundary_shrink")(), small_language_run())


CLASSES_ALONE = {"amun", "boundary_expand", "boundary_shrink", "ct", "msg", "twin", "unsir"}


def test_what_is_of_classes_or_pixels_names_what_to_take_instead():
    assert {name for name in FIT if not on_documents(methods.get(name)())} == CLASSES_ALONE
    for name in CLASSES_ALONE:
        with pytest.raises(AuditError) as caught:
            methods.get(name)().check_objective("language")
        named = str(caught.value).partition("; take ")[2].split(", or ")
        assert all(on_documents(methods.get(other)()) for other in named), named


@pytest.mark.parametrize("name", [name for name in FIT if methods.get(name).objectives == {"language"}])
def test_what_is_of_documents_names_what_to_take_instead(name):
    cls = methods.get(name)
    with pytest.raises(
        AuditError, match=f"expected a model trained to language, got classify; take {cls.instead}"
    ):
        cls().check_objective("classify")
    assert not methods.get(cls.instead).objectives


@pytest.mark.parametrize("ranking", ["curvature", "entanglement", "holdout_kl", "learning_events"])
def test_rankings_of_classes_or_pixels_are_refused_on_documents(ranking):
    method = methods.get("rum")(ranking=ranking)
    method.check_objective("classify")
    with pytest.raises(
        AuditError, match=f"ranking: expected calibrated_loss or confidence, .* got '{ranking}'"
    ):
        method.check_objective("language")
    methods.get("rum")(ranking=ranking, order="shuffled").check_objective("language")
    methods.get("rum")(ranking="memorisation").check_objective("language")


def test_documents_are_ranked_by_how_sure_the_original_is():
    run = small_language_run()
    batch = run.forget.batch(torch.arange(len(run.forget)))
    with torch.no_grad():
        total, tokens = summed(run.original, batch)
    found = risk_scores(run, "confidence", short_recipe(1, 0.05))
    torch.testing.assert_close(torch.from_numpy(found).float(), 1 - (-total / tokens).exp())
    groups = methods.get("rum")(groups=3).split(run)
    assert max(found[groups[0]]) <= min(found[groups[1]]) <= max(found[groups[1]]) <= min(found[groups[2]])


def test_scrub_r_rewinds_by_the_tokens_that_are_wrong():
    run, seen = small_language_run(), []
    run.on_epoch = lambda _epoch, model: seen.append(copy.deepcopy(model))
    unlearn(methods.get("scrub_r")(epochs=4, max_epochs=2, batch_size=8, forget_batch_size=8, lr=0.3), run)

    def wrong(model, part):
        batch = part.batch(torch.arange(len(part)))
        with torch.no_grad():
            right = model(batch.inputs).argmax(-1) == batch.targets
        asked = batch.targets != NOTHING
        return float((1 - (right & asked).sum(1) / asked.sum(1)).mean())

    errors = [wrong(model, run.forget) for model in seen]
    assert len(set(errors)) > 1
    chosen = closest_epoch(errors, wrong(seen[-1], run.validation))
    assert run.notes["rewound_epoch"] == chosen + 1
    assert all(
        torch.equal(p, dict(run.model.named_parameters())[n]) for n, p in seen[chosen].named_parameters()
    )
