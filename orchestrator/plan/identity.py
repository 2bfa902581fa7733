"""The id of every stage of work: a digest of all that can change its numbers, and of nothing else.

Work whose id is among the results is finished, so what is missing below is computed from stale numbers, and what is too
much is computed again for nothing. Ids are made here alone.

original    CODE_VERSION; the data: digest of its content, `version` and plug-in of the data set, splits,
            normalisation; timm name and options, and the code of an architecture that a plug-in registered with timm;
            recipe; precision; kind of device (cpu, cuda, mps); seed. Where a forget set poisons training: its
            examples, their labels and the trigger
retrained   the same, the forgotten examples, and which of the independent retrained models it is
unlearned   id of the original; forgotten examples; scope; seed; `[unlearning]`; the method
the method  registered name, `version`, all hyper-parameters (as tuned), its plug-in, the stored scores that it ranks
            by, and the same of every method that it runs within itself (`Method.parts`)
shared      (saliency, Fisher) name of the stage, original, seed, forgotten examples where it depends on them,
            `version` and plug-in of the method that asks for it, `[unlearning]`
shadow set  what an original depends on, but for its seed; the layout (number of shadows, seed, target pools, draws,
            canaries); plug-in of the canaries' data set; strategy, and `[shadows] batch` unless that is the loop
shadow      the set, and its number
group       the set; names of architecture, method, scope and pool, since files lie below them; the method;
            `[unlearning]` and `trajectories`, unless it trains from scratch; `[evaluation] batch_size`, in which
            observations are scored
observation the group, and the number of the shadow
cell        ids of subject and reference; attack: registered name, `version`, parameters, plug-in, and its text on the
            axis, which names its random stream; seed; all of `[evaluation]`; forgotten examples; what is tested on

The choice of a forget set enters by the examples that it names, not by the kind or its parameters: a plug-in that
chooses the same examples as before changes nothing.

No part of any id: `name` of the sweep; the order of an axis; what else is on it; names of tables of architectures,
methods and forget sets (but for groups); plug-ins that nothing rests on; paths of plug-ins, data and results; backend,
hosts, memory, time limits and what is kept. Threads neither, although another number of them may move last bits: nodes
differ in processors, and a sweep must go on where it was begun. Versions of torch and its like neither; `runs` records
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from orchestrator.config.settings import SweepConfig, digest
from orchestrator.plan.data import DataPlan
from orchestrator.plan.names import NamedAttack, NamedMethod
from orchestrator.plan.plugins import Defined, architecture_builder, plugin_digest
from tasks import fields
from tasks.datasets.base import datasets
from tasks.registry import parse_text
from tasks.shadows.layout import ShadowLayout
from tasks.unlearn.base import Method

CODE_VERSION = 1
"""Raised by whoever changes what any number would come out as."""
FORGET_FREE_STAGES = ("fisher_train",)
"""Shared stages that depend on the original alone and so serve every forget set."""


class Identity:
    """Makes the ids of one plan.

    Args:
        config: with a named device.
        data: of the plan.
    """

    def __init__(self, config: SweepConfig, data: DataPlan) -> None:
        self._config, self._data = config, data
        self._plugin: Callable[[Defined], str] = cache(plugin_digest)
        self._forgotten = {name: forget.digest for name, forget in data.forget_sets.items()}
        self._measured = cache(self._measurement)
        self._trained = cache(self._training)

    def original(self, architecture: str, seed: int, forget_set: str) -> str:
        """Of the model that is trained on everything; one for all forget sets that poison nothing."""
        content = {**self._trained(architecture), "kind": "original", "seed": seed}
        return digest(content | self._poison(forget_set))

    def retrained(self, architecture: str, seed: int, forget_set: str, replicate: int) -> str:
        """Of a model that is trained without the forget set."""
        content = {**self._trained(architecture), "kind": "retrained", "seed": seed}
        content |= {"forget": self._forgotten[forget_set], "replicate": replicate}
        return digest(content | self._poison(forget_set))

    def unlearned(self, original: str, method: NamedMethod, forget_set: str, scope: str, seed: int) -> str:
        """Of the original after a method."""
        return digest(
            {
                "kind": "unlearned",
                "original": original,
                "forget": self._forgotten[forget_set],
                "scope": scope,
                "seed": seed,
                "unlearning": self._config.unlearning,
                "method": self._method(method),
            }
        )

    def shared(self, name: str, original: str, method: NamedMethod, forget_set: str, seed: int) -> str:
        """Of a stage that methods share under a name: it depends on no scope and no hyper-parameter."""
        return digest(
            {
                "name": name,
                "original": original,
                "seed": seed,
                "forget": "" if name in FORGET_FREE_STAGES else self._forgotten[forget_set],
                "version": method.built.version,
                "plugin": self._plugin(type(method.built)),
                "unlearning": self._config.unlearning,
            }
        )

    def shadow_set(self, architecture: str, layout: ShadowLayout) -> str:
        """Of all shadow models of an architecture."""
        settings = self._config.shadows
        content: dict[str, Any] = {
            **self._trained(architecture),
            "layout": layout.digest,
            "strategy": settings.strategy,
        }
        if settings.strategy != "loop":
            content["batch"] = settings.batch  # it bounds the stacks, and so moves last bits
        if settings.canary_images:
            name, _ = parse_text(settings.canary_images, where="shadows.canary_images")
            source = datasets.get(name)
            content["canaries"] = [source.version, self._plugin(source)]
        return digest(content)

    def shadow_group(
        self, set_id: str, architecture: str, name: str, method: NamedMethod, scope: str, pool: str
    ) -> str:
        """Of one unlearning of all shadow models of a set; `name` is what its files lie below."""
        content: dict[str, Any] = {
            "set": set_id,
            "architecture": architecture,
            "name": name,
            "scope": scope,
            "pool": pool,
            "method": self._method(method),
        }
        if not method.built.from_scratch:
            content["unlearning"] = self._config.unlearning
            content["trajectories"] = self._config.shadows.trajectories
        return self._group(content)

    def base_group(self, set_id: str, architecture: str, name: str) -> str:
        """Of all shadow models of a set as trained."""
        return self._group({"set": set_id, "architecture": architecture, "name": name})

    def cell(self, subject: str, reference: str, attack: NamedAttack, forget_set: str, seed: int) -> str:
        """Of one measurement."""
        return digest(
            {
                "subject": subject,
                "reference": reference,
                "measured": self._measured(attack),
                "forget": self._forgotten[forget_set],
                "seed": seed,
            }
        )

    def _training(self, architecture: str) -> dict[str, Any]:
        """What every model that is trained from scratch depends on."""
        table, data = self._config.architecture(architecture), self._config.data
        return {
            "code": CODE_VERSION,
            "data": self._data.digest,
            "source": [self._data.source.version, self._plugin(type(self._data.source))],
            "splits": self._data.splits.digest,
            "normalisation": [data.mean, data.std],
            "timm": table.timm,
            "builder": self._architecture(table.timm),
            "options": table.options,
            "recipe": self._config.recipe(architecture),
            "precision": self._config.execution.precision,
            "device": self._config.execution.device,
        }

    def _architecture(self, timm: str) -> str:
        """Digest of the code of an architecture that a plug-in registered with timm; empty for timm's own."""
        builder = architecture_builder(timm)
        return self._plugin(builder) if builder else ""

    def _poison(self, forget_set: str) -> dict[str, Any]:
        forget = self._data.forget_sets[forget_set]
        if not forget.poisons:
            return {}
        labels = sorted((int(i), int(label)) for i, label in forget.train_labels.items())
        return {"poison": {"forget": forget.digest, "labels": labels, "trigger": forget.trigger}}

    def _method(self, method: NamedMethod) -> dict[str, Any]:
        parts = [[type(part).__qualname__, self._code(part)] for part in method.built.parts]
        return {"name": method.base, **self._code(method.built), "parts": parts}

    def _code(self, built: Method) -> dict[str, Any]:
        return {
            "version": built.version,
            "params": fields.to_plain(built),
            "plugin": self._plugin(type(built)),
            "scores": {name: self._data.scores.digest(name) for name in built.needs_scores},
        }

    def _group(self, content: Mapping[str, Any]) -> str:
        return digest({**content, "score_batch": self._config.evaluation.batch_size})

    def _measurement(self, attack: NamedAttack) -> str:
        """Digest of how any subject is measured."""
        return digest(
            {
                "name": attack.base,
                "text": attack.text,
                "version": attack.built.version,
                "params": fields.to_plain(attack.built),
                "plugin": self._plugin(type(attack.built)),
                "evaluation": self._config.evaluation,
                "test": self._data.test_split,
            }
        )


def shadow_id(set_id: str, shadow: int) -> str:
    """Of one shadow model of a set."""
    return digest({"set": set_id, "shadow": shadow})


def shared_on_shadow(shadow: str, name: str, pool: str) -> str:
    """Of a stage that unlearnings of one shadow model share, over all draws of a pool; empty: of every pool."""
    return digest({"shadow": shadow, "stage": name, "pool": pool})


def observations_id(group_id: str, shadow: int) -> str:
    """Of what was observed of one shadow model in a group."""
    return digest({"group": group_id, "shadow": shadow})
