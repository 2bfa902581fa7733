"""What can be known to be wrong with the models of a plan before any work; on the CPU, whatever they are for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from orchestrator.bench.models import build
from orchestrator.plan.cells import Plan
from orchestrator.plan.names import NamedMethod
from tasks.errors import AuditError
from tasks.networks.determinism import refused_on_cuda
from tasks.networks.scopes import bind


def check_models(plan: Plan) -> None:
    """Build every architecture and bind every scope of every method.

    Raises:
        AuditError: unknown timm name, bad option, empty scope, a method that cannot work in a scope, or an operator
            that CUDA refuses to run deterministically.
    """
    needed = {(c.architecture, c.scope, c.method): c.named_method for c in plan.cells}
    for architecture in sorted({a for a, _, _ in needed}):
        model = build(plan, architecture, ("check",))
        if plan.config.execution.device == "cuda":
            _check_deterministic(architecture, refused_on_cuda(model, plan.data.labels.image_shape))
        for scope in sorted({s for a, s, _ in needed if a == architecture}):
            try:
                bound = bind(scope, model, norm_statistics=plan.config.unlearning.norm_statistics)
            except AuditError as error:
                raise AuditError(
                    f"architecture '{architecture}': {error}; exclude the combination with an [[exclude]] table"
                ) from None
            for method in sorted({m for a, s, m in needed if (a, s) == (architecture, scope)}):
                place = architecture, scope, method
                _check_method(needed[place], place, bound.parameters(model), model)


def _check_deterministic(architecture: str, refused: list[str]) -> None:
    if refused:
        raise AuditError(
            f"architecture '{architecture}': no deterministic form on CUDA of {', '.join(refused)}: equal seeds "
            "would not give equal weights; choose other options, another architecture, or device cpu"
        )


def _check_method(
    method: NamedMethod, place: tuple[str, str, str], parameters: Mapping[str, nn.Parameter], model: nn.Module
) -> None:
    try:
        method.built.check_scope(parameters, model)
    except AuditError as error:
        where = f"{method.text} under scope {place[1]} of {place[0]}"
        raise AuditError(f"{where}: {error}; exclude the combination with an [[exclude]] table") from None
