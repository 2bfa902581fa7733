"""What every unlearning method must hold to; each contract is a function of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from tasks.contracts.described import fields_are_described
from tasks.contracts.small import global_random_state, same_bits, small_run, state_of
from tasks.contracts.small_text import small_language_run, small_prompted_run
from tasks.errors import AuditError, Diverged
from tasks.networks.scopes import ScopeViolation
from tasks.objectives.classify import Classify
from tasks.runtime.seeding import isolated_global_rng
from tasks.unlearn.base import Method
from tasks.unlearn.run import UnlearningRun, unlearn

PARTIAL_SCOPES = ("head", "last-1", "early", "norm-only")
SCOPES = ("all", "head", "early")
"""Under which a method must be deterministic and hand the model back; it may refuse the partial ones."""


MakeRun = Callable[..., UnlearningRun]


def run_for(method: Method) -> MakeRun:
    """Makes runs of models that a method can unlearn from: of images, or of documents where it is for these alone.

    Documents have prompts where it answers some.
    """
    if method.completions:
        return small_prompted_run
    of_images = not method.objectives or Classify.name in method.objectives
    return small_run if of_images else small_language_run


def method_is_described(method: Method, make_run: MakeRun | None = None) -> None:
    """Every field has a doc string, and every searched field exists."""
    cls = type(method)
    names = {f.name for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    fields_are_described(method)
    assert "base" not in names, f"{cls.__name__}: a field 'base' would hide the `base` of variants in a sweep"
    odd = sorted(method.search.keys() - names)
    assert not odd, f"{cls.__name__}: search names no field: {odd}"


def outside_scope_is_bit_identical(method: Method, make_run: MakeRun | None = None) -> None:
    """No parameter or buffer outside the layer scope moves; a scope may be refused by an AuditError."""
    make_run = make_run or run_for(method)
    for scope in PARTIAL_SCOPES:
        run = make_run(scope=scope)
        before = state_of(run.model)
        movable = run.scope.movable
        if not _try(method, run, scope):
            movable = set()  # a refused run must have changed nothing at all
        changed = [
            n for n, t in state_of(run.model).items() if n not in movable and not same_bits(t, before[n])
        ]
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


def zero_epochs_change_nothing(method: Method, make_run: MakeRun | None = None) -> None:
    """With `epochs = 0` the model keeps its bits.

    Exempt are methods without the field, that refuse 0, or that declare `edits_weights`.
    """
    make_run = make_run or run_for(method)
    has_epochs = "epochs" in {f.name for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    if not has_epochs or method.edits_weights:
        return
    try:
        still = dataclasses.replace(method, epochs=0)  # type: ignore[type-var]
    except AuditError:
        return
    run = make_run()
    before = state_of(run.model)
    unlearn(still, run)
    changed = [name for name, tensor in state_of(run.model).items() if not same_bits(tensor, before[name])]
    assert not changed, f"epochs = 0 changed {changed}"


def same_seed_gives_same_weights(method: Method, make_run: MakeRun | None = None) -> None:
    """Two runs of one seed agree to the last bit, whatever the global generators hold."""
    make_run = make_run or run_for(method)
    for scope in SCOPES:
        states = []
        for number in (1, 2):
            run = make_run(seed=3, scope=scope)
            with isolated_global_rng("contracts", "global", number):
                _try(method, run, scope)
            states.append(state_of(run.model))
        differing = [name for name in states[0] if not same_bits(states[0][name], states[1][name])]
        assert not differing, f"scope '{scope}': two runs of one seed differ in {differing}"


def global_random_state_is_untouched(method: Method, make_run: MakeRun | None = None) -> None:
    """Python's, NumPy's and torch's global generators are where they were."""
    make_run = make_run or run_for(method)
    run = make_run()
    before = global_random_state()
    method(run)
    after = global_random_state()
    touched = [name for name in before if before[name] != after[name]]
    assert not touched, f"global random state touched: {touched}"


def model_is_handed_back(method: Method, make_run: MakeRun | None = None) -> None:
    """Eval mode, gradient switches as they were, no gradient, no hook, finite weights, outputs of the same shape."""
    make_run = make_run or run_for(method)
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
        inputs = run.forget.batch(torch.arange(2, device=run.device)).inputs
        expected, found = (tuple(model(inputs).shape) for model in (run.original, run.model))
    assert found == expected, f"expected logits {expected}, got {found}"


def inputs_are_only_read(method: Method, make_run: MakeRun | None = None) -> None:
    """Inputs, targets and the original model keep their bits."""
    make_run = make_run or run_for(method)
    run = make_run()
    original, held = state_of(run.original), [tensor.clone() for tensor in run.forget.data.held]
    targets = [part.targets.clone() for part in (run.forget, run.retain, run.validation)]
    method(run)
    for tensor, before in zip(run.forget.data.held, held, strict=True):
        assert torch.equal(tensor, before), f"{run.forget.data.called} were changed"
    for part, before in zip((run.forget, run.retain, run.validation), targets, strict=True):
        assert torch.equal(part.targets, before), "targets were changed"
    changed = [
        name for name, tensor in state_of(run.original).items() if not same_bits(tensor, original[name])
    ]
    assert not changed, f"the original model changed in {changed}"


def retain_set_is_read_only_if_declared(method: Method, make_run: MakeRun | None = None) -> None:
    """Without `needs_retain` the result does not depend on which examples the retain set holds."""
    make_run = make_run or run_for(method)
    if type(method).needs_retain:
        return
    states = []
    for keep in (slice(None), slice(0, 8)):
        run = make_run()
        run.retain = run.retain.at(torch.arange(len(run.retain), device=run.device)[keep])
        method(run)
        states.append(state_of(run.model))
    differing = [name for name in states[0] if not same_bits(states[0][name], states[1][name])]
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


def check_method(method: Method, make_run: MakeRun | None = None) -> None:
    """Run every contract of methods.

    Args:
        method: with hyper-parameters that take seconds on a hundred examples.
        make_run: makes a fresh run of the original; takes `scope` and `seed`; None: `run_for`. On a GPU:
            `functools.partial(small_run, device="cuda")`.

    Raises:
        AssertionError: a contract is broken.
    """
    for contract in METHOD_CONTRACTS:
        contract(method, make_run)
