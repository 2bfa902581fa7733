"""What is said of finished models before they are audited."""

from __future__ import annotations

from orchestrator.plan.cells import Plan

DECODES = (
    "given: how many training examples each original has right is said when the sweep starts, as these images have to "
    "be decoded for it"
)


def told_of_given(plan: Plan, *, quickly: bool = False) -> list[str]:
    """How well the originals know their training examples; nothing where no model is given.

    Args:
        plan: of the audit.
        quickly: whether to look at the first original alone, and to leave it for later where reading images takes time.

    Raises:
        AuditError: images cannot be read.
    """
    if plan.config.given is None:
        return []
    if quickly and plan.data.source.decodes:
        return [DECODES]
    from orchestrator.bench.given_accuracy import told_of_originals  # torch: other plans do without

    return told_of_originals(plan, most=1 if quickly else None)
