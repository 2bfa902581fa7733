"""What every method and attack must hold to; for the authors of plug-ins, and run over all that is built in.

    from tasks import contracts
    contracts.check_method(MyMethod(lr=0.1))
    contracts.check_attack(MyAttack())

Each contract is also a function of its own, so that a test can be parametrised over `METHOD_CONTRACTS`. They
raise AssertionError with what was expected, and run on a small trained network and 8 x 8 images in seconds.
"""

from __future__ import annotations

import dataclasses
import random
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.attacks.base import AdversarialAttack, PopulationAttack
from tasks.errors import AuditError, Diverged
from tasks.fields import field_docs
from tasks.networks.scopes import ScopeViolation, bind
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import isolated_global_rng, numpy_generator, torch_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.scoring import Outputs
from tasks.training.train import train
from tasks.unlearn.base import Method
from tasks.unlearn.run import UnlearningRun, unlearn

NUM_CLASSES = 4
RECIPE = Recipe(epochs=4, batch_size=16, lr=0.1, warmup_epochs=1.0)
PARTIAL_SCOPES = ("head", "last-1", "early", "norm-only")
SCOPES = ("all", "head", "early")
"""Under which a method must be deterministic and hand the model back; it may refuse the partial ones."""

MakeRun = Callable[..., UnlearningRun]


def small_model(seed_path: tuple[str | int, ...]) -> nn.Module:
    """A new network in eval mode: two convolutions with batch norm, linear head; equal paths, equal bits."""

    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
        )

    with isolated_global_rng(*seed_path):
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            first=block(1, 6),
            second=block(6, 8),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=nn.Linear(8, NUM_CLASSES),
        )
        return nn.Sequential(layers).eval()


@lru_cache(maxsize=1)
def small_data() -> ResidentData:
    """160 images, `1 x 8 x 8` in [0, 1]: one random pattern for each of four classes, and noise."""
    generator = numpy_generator("contracts", "data")
    labels = np.tile(np.arange(NUM_CLASSES), 40)
    patterns = generator.random((NUM_CLASSES, 1, 8, 8))
    images = 0.5 * patterns[labels] + 0.5 * generator.random((len(labels), 1, 8, 8))
    return ResidentData.put(images.astype(np.float32), labels, NUM_CLASSES, torch.device("cpu"))


def small_original() -> nn.Module:
    """The small network, trained on the first 120 images."""
    model = small_model(("contracts", "original"))
    model.load_state_dict(_trained_state())
    return model


@lru_cache(maxsize=1)
def _trained_state() -> dict[str, Tensor]:
    model = small_model(("contracts", "original"))
    everything = small_data().subset(np.arange(120))
    train(model, everything, RECIPE, seed_path=("contracts", "original"), engine=Engine(device="cpu"))
    return model.state_dict()


def small_run(*, scope: str = "all", seed: int = 0, norm_statistics: Any = "update") -> UnlearningRun:
    """A run that forgets a third of classes 0 and 1 (20 of 120 examples) from the small original."""
    data, model = small_data(), small_original()
    training = np.arange(120)
    is_forget = (training % NUM_CLASSES < 2) & (training < 40)
    return UnlearningRun(
        model=model,
        scope=bind(scope, model, norm_statistics=norm_statistics),
        forget=data.subset(training[is_forget]),
        retain=data.subset(training[~is_forget]),
        validation=data.subset(np.arange(120, 160)),
        seed=seed,
        fresh_model=small_model,
        recipe=RECIPE,
        engine=Engine(device="cpu"),
    )


# --- methods -----------------------------------------------------------------------------------------------


def method_is_described(method: Method, make_run: MakeRun = small_run) -> None:
    """Every field has a doc string, and every searched field exists."""
    cls = type(method)
    names = {f.name for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    missing = sorted(names - field_docs(cls).keys())
    assert not missing, f"{cls.__name__}: fields without a string literal under them: {missing}"
    assert "base" not in names, f"{cls.__name__}: a field 'base' would hide the `base` of variants in a sweep"
    odd = sorted(method.search.keys() - names)
    assert not odd, f"{cls.__name__}: search names no field: {odd}"


def outside_scope_is_bit_identical(method: Method, make_run: MakeRun = small_run) -> None:
    """No parameter or buffer outside the layer scope moves; a scope may be refused by an AuditError."""
    for scope in PARTIAL_SCOPES:
        run = make_run(scope=scope)
        before = _state(run.model)
        movable = {*run.scope.names, *run.scope.buffer_names}
        if not _try(method, run, scope):
            movable = set()  # a refused run must have changed nothing at all
        changed = [n for n, t in _state(run.model).items() if n not in movable and not _equal(t, before[n])]
        assert not changed, f"scope '{scope}': changed outside it: {changed}"


def _try(method: Callable[[UnlearningRun], object], run: UnlearningRun, scope: str) -> bool:
    """Whether the method ran: an AuditError may refuse a partial scope, and nothing else may stop it."""
    try:
        method(run)
    except (Diverged, ScopeViolation):
        raise
    except AuditError:
        assert scope != "all", "scope 'all' was refused"
        return False
    return True


def zero_epochs_change_nothing(method: Method, make_run: MakeRun = small_run) -> None:
    """With `epochs = 0` the model keeps its bits.

    Exempt are methods without the field, that refuse 0, or that declare `edits_weights`.
    """
    has_epochs = "epochs" in {f.name for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    if not has_epochs or method.edits_weights:
        return
    try:
        still = dataclasses.replace(method, epochs=0)  # type: ignore[type-var]
    except AuditError:
        return
    run = make_run()
    before = _state(run.model)
    unlearn(still, run)
    changed = [name for name, tensor in _state(run.model).items() if not _equal(tensor, before[name])]
    assert not changed, f"epochs = 0 changed {changed}"


def same_seed_gives_same_weights(method: Method, make_run: MakeRun = small_run) -> None:
    """Two runs of one seed agree to the last bit, whatever the global generators hold."""
    for scope in SCOPES:
        states = []
        for number in (1, 2):
            run = make_run(seed=3, scope=scope)
            with isolated_global_rng("contracts", "global", number):
                _try(method, run, scope)
            states.append(_state(run.model))
        differing = [name for name in states[0] if not _equal(states[0][name], states[1][name])]
        assert not differing, f"scope '{scope}': two runs of one seed differ in {differing}"


def global_random_state_is_untouched(method: Method, make_run: MakeRun = small_run) -> None:
    """Python's, NumPy's and torch's global generators are where they were."""
    run = make_run()
    before = _global_state()
    method(run)
    after = _global_state()
    touched = [name for name in before if before[name] != after[name]]
    assert not touched, f"global random state touched: {touched}"


def model_is_handed_back(method: Method, make_run: MakeRun = small_run) -> None:
    """Eval mode, gradient switches as they were, no gradient, no hook, finite weights, K outputs."""
    for scope in SCOPES:
        run = make_run(scope=scope)
        switches = dict(run.scope.requires_grad)
        if _try(lambda run: unlearn(method, run), run, scope):
            _check_handed_back(run, switches)


def _check_handed_back(run: UnlearningRun, switches: dict[str, bool]) -> None:
    for name, module in run.model.named_modules():
        assert not module.training, f"module '{name}' is left in train mode"
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        assert not hooks, f"module '{name}' is left with {hooks} hooks"
    for name, parameter in run.model.named_parameters():
        assert parameter.requires_grad == switches[name], f"requires_grad of '{name}' was not restored"
        assert parameter.grad is None, f"parameter '{name}' is left with a gradient"
        assert bool(torch.isfinite(parameter).all()), f"parameter '{name}' is not finite"
    with torch.no_grad():
        logits = run.model(run.forget.batch(torch.arange(2)).inputs)
    expected = (2, run.num_classes)
    assert logits.shape == expected, f"expected logits {expected}, got {tuple(logits.shape)}"


def inputs_are_only_read(method: Method, make_run: MakeRun = small_run) -> None:
    """Images, targets and the original model keep their bits."""
    run = make_run()
    original, images = _state(run.original), run.forget.data.images.clone()
    targets = [part.targets.clone() for part in (run.forget, run.retain, run.validation)]
    method(run)
    assert torch.equal(run.forget.data.images, images), "images were changed"
    for part, before in zip((run.forget, run.retain, run.validation), targets, strict=True):
        assert torch.equal(part.targets, before), "targets were changed"
    changed = [name for name, tensor in _state(run.original).items() if not _equal(tensor, original[name])]
    assert not changed, f"the original model changed in {changed}"


def retain_set_is_read_only_if_declared(method: Method, make_run: MakeRun = small_run) -> None:
    """Without `needs_retain` the result does not depend on which examples the retain set holds."""
    if type(method).needs_retain:
        return
    states = []
    for keep in (slice(None), slice(0, 8)):
        run = make_run()
        run.retain = run.retain.at(torch.arange(len(run.retain))[keep])
        method(run)
        states.append(_state(run.model))
    differing = [name for name in states[0] if not _equal(states[0][name], states[1][name])]
    assert not differing, "needs_retain is False, but the retain set changes the result"


METHOD_CONTRACTS = (
    method_is_described,
    outside_scope_is_bit_identical,
    zero_epochs_change_nothing,
    same_seed_gives_same_weights,
    global_random_state_is_untouched,
    model_is_handed_back,
    inputs_are_only_read,
    retain_set_is_read_only_if_declared,
)


def check_method(method: Method, make_run: MakeRun = small_run) -> None:
    """Run every contract of methods.

    Args:
        method: with hyper-parameters that take seconds on a hundred examples.
        make_run: makes a fresh run of the original; takes `scope` and `seed`.

    Raises:
        AssertionError: a contract is broken.
    """
    for contract in METHOD_CONTRACTS:
        contract(method, make_run)


# --- adversarial attacks -----------------------------------------------------------------------------------


def perturbation_stays_in_the_ball(attack: AdversarialAttack) -> None:
    """Finite images of the same shape, in [0, 1], within eps in the attack's norm."""
    model, images, labels = _attacked()
    for eps in (0.0, 0.02, 0.3):
        moved = attack.perturb(model, images, labels, eps=eps, generator=torch_generator("contracts"))
        assert moved.shape == images.shape, (
            f"eps {eps}: shape {tuple(moved.shape)}, not {tuple(images.shape)}"
        )
        assert bool(torch.isfinite(moved).all()), f"eps {eps}: images are not finite"
        low, high = float(moved.min()), float(moved.max())
        assert 0 <= low <= high <= 1, f"eps {eps}: pixels from {low} to {high}, expected [0, 1]"
        difference = (moved - images).flatten(1)
        far = float((difference.abs().amax(1) if attack.norm == "Linf" else difference.norm(dim=1)).max())
        assert far <= eps * (1 + 1e-5) + 1e-6, f"eps {eps}: {attack.norm} distance {far}"


def zero_radius_is_clean(attack: AdversarialAttack) -> None:
    """With eps = 0 every prediction is the clean one."""
    model, images, labels = _attacked()
    moved = attack.perturb(model, images, labels, eps=0.0, generator=torch_generator("contracts"))
    with torch.no_grad():
        same = bool((model(moved).argmax(1) == model(images).argmax(1)).all())
    assert same, "eps = 0 changes predictions"


def attack_leaves_no_trace(attack: AdversarialAttack) -> None:
    """Weights, modes, empty gradients, input images and the global random state are as before."""
    model, images, labels = _attacked()
    model.get_submodule("first").train()
    before, modes, kept = _state(model), [m.training for m in model.modules()], images.clone()
    rng = _global_state()
    attack.perturb(model, images, labels, eps=0.1, generator=torch_generator("contracts"))
    assert all(_equal(t, before[n]) for n, t in _state(model).items()), "the attack changed the model"
    assert [m.training for m in model.modules()] == modes, "the attack changed train and eval modes"
    assert all(p.grad is None for p in model.parameters()), "the attack left gradients on parameters"
    assert torch.equal(images, kept), "the attack changed its input images"
    assert _global_state() == rng, "the attack touched the global random state"


ADVERSARIAL_CONTRACTS = (perturbation_stays_in_the_ball, zero_radius_is_clean, attack_leaves_no_trace)

# --- membership attacks of one model -----------------------------------------------------------------------


def scores_are_one_per_example(attack: PopulationAttack) -> None:
    """Finite scores, one for each example, of both members and non-members, under a named game."""
    forget, retain, test = (_outputs(part, 80, 1.0) for part in range(3))
    known = set(np.concatenate([forget.ids, retain.ids, test.ids]).tolist())
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        what = f"statistic '{scores.statistic}'"
        assert len(scores.ids) == len(scores.member) == len(scores.score), f"{what}: lengths differ"
        assert len(np.unique(scores.ids)) == len(scores.ids), f"{what}: an example is scored twice"
        assert set(scores.ids.tolist()) <= known, f"{what}: scores an unknown example"
        assert np.isfinite(scores.score).all(), f"{what}: a score is not finite"
        assert 0 < scores.member.sum() < len(scores.member), f"{what}: one of the two hypotheses is empty"
        assert scores.game, f"{what}: no membership number without its game"


def perfect_separation_gives_one(attack: PopulationAttack) -> None:
    """Sure and right on members, unsure and wrong elsewhere: AUC 1, so higher is more member-like."""
    forget, retain, test = (_outputs(part, 80, 6.0 if part < 2 else -0.5) for part in range(3))
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        auc = area_under_roc(scores.score, scores.member)
        assert auc > 0.999, (
            f"statistic '{scores.statistic}': AUC {auc:.3f} under perfect separation, expected 1"
        )


def equal_distributions_give_half(attack: PopulationAttack) -> None:
    """Members and non-members from one distribution: AUC within four standard errors of 0.5."""
    size = 400
    forget, retain, test = (_outputs(part, size, 1.0) for part in range(3))
    error = np.sqrt((2 * size + 1) / (12 * size * size))
    for scores in attack.score(forget, retain, test, generator=numpy_generator("contracts")):
        auc = area_under_roc(scores.score, scores.member)
        assert abs(auc - 0.5) < 4 * error, (
            f"statistic '{scores.statistic}': AUC {auc:.3f}, expected about 0.5"
        )


POPULATION_CONTRACTS = (
    scores_are_one_per_example,
    perfect_separation_gives_one,
    equal_distributions_give_half,
)


def check_attack(attack: Any) -> None:
    """Run every contract of the attack's family (adversarial or population).

    Raises:
        AssertionError: a contract is broken.
        AuditError: the family has no contracts here.
    """
    contracts: dict[str, tuple[Callable[[Any], None], ...]] = {
        "adversarial": ADVERSARIAL_CONTRACTS,
        "population": POPULATION_CONTRACTS,
        "none": (),
    }
    if attack.family not in contracts:
        raise AuditError(f"contracts: expected family {' or '.join(contracts)}, got '{attack.family}'")
    for contract in contracts[attack.family]:
        contract(attack)


def area_under_roc(score: np.ndarray, member: np.ndarray) -> float:
    """Probability that a member scores above a non-member, ties counted half (Mann-Whitney)."""
    from scipy.stats import rankdata

    members = int(member.sum())
    others = len(member) - members
    return float((rankdata(score)[member].sum() - members * (members + 1) / 2) / (members * others))


# --- what the contracts look at ----------------------------------------------------------------------------


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and first.numpy().tobytes() == second.numpy().tobytes()


def _global_state() -> dict[str, bytes]:
    legacy: Any = np.random.get_state()  # noqa: NPY002 - what libraries draw from
    return {
        "random": repr(random.getstate()).encode(),
        "numpy": repr((legacy[0], np.asarray(legacy[1]).tobytes(), legacy[2:])).encode(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _attacked() -> tuple[nn.Module, Tensor, Tensor]:
    batch = small_data().subset(np.arange(16)).batch(torch.arange(16))
    return small_original(), batch.inputs, batch.targets


def _outputs(part: int, count: int, confidence: float) -> Outputs:
    """Normal logits with `confidence` added to the true class."""
    generator = numpy_generator("contracts", "outputs", part, count)
    labels = np.tile(np.arange(NUM_CLASSES), count // NUM_CLASSES)
    logits = 0.3 * generator.standard_normal((count, NUM_CLASSES))
    if confidence < 0:
        logits *= 0.01
    logits[np.arange(count), labels] += confidence
    return Outputs.of_logits(
        ids=part * count + np.arange(count), labels=labels, logits=logits.astype(np.float32)
    )
