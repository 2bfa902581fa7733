"""Which attacks given outputs can answer, and the reason where they cannot."""

from __future__ import annotations

from orchestrator.config.settings import Axes, SweepConfig
from orchestrator.outputs.description import Request
from orchestrator.outputs.runs import Runs
from orchestrator.outputs.sources import RETRAINED, Sources
from orchestrator.plan.names import NamedAttack, build_attack
from tasks.attacks.before_after import BeforeAfter
from tasks.attacks.klom import Klom
from tasks.errors import AuditError

OF_MODELS = ("none", "population")
OF_SHADOWS = ("lira", "rmia", "u_lira:game=G1", "u_lira", "u_lira:game=G3", "u_rmia", "kernel_density")
AFTER = ("klom", "before_after", "rank_test")
OF_REPEATED = ("u_lira:game=G1", "u_rmia:game=G1", "kernel_density:game=G1", "rank_test:game=G1", "klom")
"""What is asked where nothing is named: of single models; of shadow models; of originals in their place."""
ANSWERED_BY_OUTPUTS = frozenset({"outputs", "shadows", "reference_shadows"})


def chosen_attacks(
    request: Request, sources: Sources, runs: Runs | None, *, without_runs: str, without_models: str
) -> tuple[list[str], list[str]]:
    """The attacks of the plan, and a line for each usual one that is left out.

    Args:
        request: what is asked for.
        sources: what was given.
        runs: what stands for shadow models.
        without_runs: why there are none.
        without_models: why no model is measured by itself; empty where some are.

    Raises:
        AuditError: one is asked for that these outputs cannot answer.
    """
    named = request.outputs.attacks
    texts = named or (
        *OF_MODELS,
        *(OF_REPEATED if runs is not None and not runs.has_never else (*OF_SHADOWS, *AFTER)),
    )
    config = SweepConfig(
        axes=Axes(architecture=("outputs",), method=("no_op",), attack=texts, forget_set=("none",)),
        attacks=request.attacks,
    )
    kept: list[str] = []
    left: dict[str, list[str]] = {}
    for text in texts:
        attack = build_attack(config, text, objective=sources.data.labels.objective)
        reason = _lacking(attack, sources, runs, without_runs, without_models)
        if not reason:
            kept.append(text)
        elif named:
            raise AuditError(f"outputs.attacks: '{text}' cannot be answered: {reason}")
        else:
            left.setdefault(reason, []).append(text)
    return kept, [f"left out: {', '.join(names)}: {reason}" for reason, names in left.items()]


def _lacking(
    attack: NamedAttack, sources: Sources, runs: Runs | None, without_runs: str, without_models: str
) -> str:
    """Why outputs of these models cannot answer an attack; empty where they can."""
    built = attack.built
    beyond = sorted(built.needs - ANSWERED_BY_OUTPUTS)
    if beyond:
        return f"it needs the models themselves ({', '.join(beyond)}), and there are outputs alone"
    built.check_objective(sources.data.labels.objective)
    if built.subject == "model":
        return without_models
    if runs is None:
        return without_runs
    if built.on_canaries or attack.base == "one_run":
        return "it needs canaries, which were drawn by a fair coin each"
    if not runs.has_never and (built.game in ("G0", "G2", "G3") or isinstance(built, BeforeAfter)):
        return "it needs unlearned models that never saw an example: shadow models with masks"
    if isinstance(built, Klom) and not all(
        (RETRAINED, name) in runs.groups for name in sources.data.forget_sets
    ):
        return "it needs retrained models of every forget set: role 'retrained' or 'shadow_retrained'"
    if built.game != "G0" and not any(found for found in runs.groups.values()):
        return "it needs models that forgot something: role 'shadow_unlearned'"
    return ""
