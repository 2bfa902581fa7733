"""The id of every stage of work: a digest of all that can change its numbers, and of nothing else.

Work whose id is among the results is finished, so what is missing below is computed from stale numbers, and what is too
much is computed again for nothing. Ids are made here alone.

pretrained  CODE_VERSION; digest of the public part, `version` and plug-in of the data set; the architecture;
            `[pretraining]`, its seed too; precision; kind of device
original    CODE_VERSION; the data: digest of its content, `version` and plug-in of the data set, splits,
            normalisation; the architecture: timm name, options, stem (unless auto), and the code of one that a
            plug-in registered with timm, or name and all sizes of a language model, and the digest of weights that it
            starts from; recipe; the pretrained base, where there is one; precision; kind of device (cpu, cuda, mps);
            seed. Where a forget set poisons training: its examples, their labels and the trigger
retrained   the same, the forgotten examples, and which of the independent retrained models it is
unlearned   id of the original; forgotten examples; scope; seed; `[unlearning]`; the method
the method  registered name, `version`, all hyper-parameters (as tuned), its plug-in, the stored scores that it ranks
            by, and the same of every method that it runs within itself (`Method.parts`); of a program its arguments,
            the content of every file that they name, and the version that the user declares
shared      (saliency, Fisher) name of the stage, original, seed, forgotten examples where it depends on them,
            `version` and plug-in of the method that asks for it, `[unlearning]`
shadow set  what an original depends on, but for its seed; the layout (number of shadows, seed, target pools, draws,
            canaries); plug-in of the canaries' data set; strategy, and `[shadows] batch` unless that is the loop
shadow      the set, and its number
group       the set; names of architecture, method, scope and pool, since files lie below them; the method;
            `[unlearning]` and `trajectories`, unless it trains from scratch; `[evaluation] batch_size`, in which
            observations are scored; of documents the statistics beside phi
observation the group, and the number of the shadow
cell        ids of subject and reference; attack: registered name, `version`, parameters (`Attack.added`: where they
            differ from what was before them), plug-in, and its text on the axis, which names its random stream, and
            other answers of the data set where it reads them; seed; all of `[evaluation]`; forgotten examples; what is
            tested on

setting     (of any of these) all that its id holds, and that the ids in it hold, but seeds, forgotten examples and
            their poison. The layout of shadow models stays: they are drawn for all forget sets of a plan together

The choice of a forget set enters by the examples that it names, not by the kind or its parameters: a plug-in that
chooses the same examples as before changes nothing.

Of models that were made elsewhere `file_identity.py` says what stands in the ids, and where their outputs alone are
known `given_identity.py`.

No part of any id: `name` of the sweep; the order of an axis; what else is on it; names of tables of architectures,
methods and forget sets (but for groups); plug-ins that nothing rests on; paths of plug-ins, data and results; backend,
hosts, memory, time limits and what is kept. Threads neither, although another number of them may move last bits: nodes
differ in processors, and a sweep must go on where it was begun. Versions of torch and its like neither; `runs` records
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from orchestrator.config.settings import SweepConfig, digest
from orchestrator.plan.data import DataPlan
from orchestrator.plan.names import NamedAttack, NamedMethod
from orchestrator.plan.plugins import Defined, architecture_builder, plugin_digest
from orchestrator.plan.setting import OF_THE_METHOD, Setting, flatten
from tasks import fields
from tasks.attacks.base import Attack
from tasks.datasets.base import TextSource, datasets
from tasks.networks.weight_files import content_digest, weight_file
from tasks.objectives.names import PHI, STATISTICS
from tasks.registry import parse_text
from tasks.shadows.layout import ShadowLayout
from tasks.unlearn.base import Method

CODE_VERSION = 2
"""Raised by whoever changes what any number would come out as."""
FORGET_FREE_STAGES = ("fisher_train",)
"""Shared stages that depend on the original alone and so serve every forget set."""
APART = frozenset({"seed", "forget", "poison", "pool"})
"""What an id holds and a setting does not; a pool is what a forget set is called among shadow models."""
WITHIN = frozenset({"trained", "original", "set", "subject", "measured"})
"""Ids in an id whose entries stand in the setting as they are; those of others go below their name."""


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
        self._contents: dict[str, Mapping[str, Any]] = {}
        self._settings: dict[str, Setting] = {}
        self._alike: dict[tuple[tuple[str, Any], ...], Setting] = {}
        self._measured = cache(self._measurement)
        self._trained = cache(self._training)
        self._method = cache(self._method_content)
        self._unlearning = self._id(fields.to_plain(config.unlearning))
        self._untouched = self._id({"kind": "original"})

    def pretrained(self, architecture: str) -> str | None:
        """Of the base that every training of an architecture starts from; None where none is asked for."""
        pretraining = self._config.pretraining
        if pretraining is None:
            return None
        return self._id(
            {
                "code": CODE_VERSION,
                "public": {
                    "content": self._data.source.public_digest(),
                    "version": self._data.source.origin.version,
                    "plugin": self._plugin(type(self._data.source.origin)),
                },
                "architecture": self._architecture(architecture),
                "pretraining": fields.to_plain(pretraining),
                "execution": self._execution(),
            }
        )

    def original(self, architecture: str, seed: int, forget_set: str) -> str:
        """Of the model that is trained on everything; one for all forget sets that poison nothing."""
        content = {"trained": self._trained(architecture), "method": self._untouched, "seed": seed}
        return self._id(content | self._poison(forget_set))

    def retrained(self, architecture: str, seed: int, forget_set: str, replicate: int) -> str:
        """Of a model that is trained without the forget set."""
        method = self._id({"kind": "retrained", "replicate": replicate})
        content = {"trained": self._trained(architecture), "method": method, "seed": seed}
        return self._id({**content, "forget": self._forgotten[forget_set], **self._poison(forget_set)})

    def unlearned(self, original: str, method: NamedMethod, forget_set: str, scope: str, seed: int) -> str:
        """Of the original after a method."""
        return self._id(
            {
                "original": original,
                "forget": self._forgotten[forget_set],
                "scope": scope,
                "seed": seed,
                "unlearning": self._unlearning,
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
            "trained": self._trained(architecture),
            "shadows.layout": layout.digest,
            "shadows.num": layout.num_shadows,
            "shadows.seed": layout.seed,
            "shadows.strategy": settings.strategy,
        }
        if settings.strategy != "loop":
            content["shadows.batch"] = settings.batch  # it bounds the stacks, and so moves last bits
        if settings.canary_images:
            name, _ = parse_text(settings.canary_images, where="shadows.canary_images")
            source = datasets.get(name)
            content |= {"canaries.version": source.version, "canaries.plugin": self._plugin(source)}
        return self._id(content)

    def shadow_group(
        self, set_id: str, architecture: str, name: str, method: NamedMethod, scope: str, pool: str
    ) -> str:
        """Of one unlearning of all shadow models of a set; `name` is what its files lie below."""
        content: dict[str, Any] = {"scope": scope, "pool": pool, "method": self._method(method)}
        if not method.built.from_scratch:
            content["unlearning"] = self._unlearning
            content["shadows.trajectories"] = self._config.shadows.trajectories
        return self._group(set_id, architecture, name, content)

    def base_group(self, set_id: str, architecture: str, name: str) -> str:
        """Of all shadow models of a set as trained."""
        return self._group(set_id, architecture, name, {})

    def cell(
        self, subject: str, reference: str | None, attack: NamedAttack, forget_set: str, seed: int
    ) -> str:
        """Of one measurement."""
        return self._id(
            {
                "subject": subject,
                "reference": reference or "",
                "measured": self._measured(attack),
                "forget": self._forgotten[forget_set],
                "seed": seed,
            }
        )

    def setting(self, made: str) -> Setting:
        """What an id that was made here holds but seed and forget set; one object for all ids that hold the same."""
        if made not in self._settings:
            content = self._contents[made]
            alike = tuple(
                (key, self.setting(value) if self._named(value) else str(value))
                for key, value in content.items()
                if key not in APART
            )
            if alike not in self._alike:
                self._alike[alike] = Setting(entries=self._entries(content))
            self._settings[made] = self._alike[alike]
        return self._settings[made]

    def _id(self, content: Mapping[str, Any]) -> str:
        """The digest of a content, which is kept for its setting."""
        made = digest(content)
        self._contents[made] = content
        return made

    def _named(self, value: Any) -> bool:
        return isinstance(value, str) and value in self._contents

    def _entries(self, content: Mapping[str, Any]) -> dict[str, str]:
        entries: dict[str, str] = {}
        for key, value in content.items():
            if key in APART:
                continue
            if not self._named(value):
                entries |= flatten({key: value})
                continue
            inner = self.setting(value).entries
            if key == "reference":  # what it shares with the subject is said once
                inner = {k: v for k, v in inner.items() if OF_THE_METHOD.match(k) or entries.get(k) != v}
            entries |= inner if key in WITHIN else {f"{key}.{name}": text for name, text in inner.items()}
        return entries

    def _training(self, architecture: str) -> str:
        """Id of what every model that is trained from scratch depends on."""
        data, splits = self._config.data, self._data.splits
        pretrained = self.pretrained(architecture)
        sizes = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
        return self._id(
            {
                "code": CODE_VERSION,
                "data": {
                    "content": self._data.digest,
                    "version": self._data.source.origin.version,
                    "plugin": self._plugin(type(self._data.source.origin)),
                    "splits": splits.digest,
                    **sizes,
                    "mean": data.mean,
                    "std": data.std,
                },
                "architecture": self._architecture(architecture),
                "training": fields.to_plain(self._config.recipe(architecture)),
                "execution": self._execution(),
                **({"pretrained": pretrained} if pretrained else {}),
            }
        )

    def _execution(self) -> dict[str, str]:
        execution = self._config.execution
        return {"precision": execution.precision, "device": execution.device}

    def _architecture(self, architecture: str) -> dict[str, Any]:
        """A model of timm with the digest of the code that a plug-in registered for it; or one of Lethe's own."""
        table = self._config.architecture(architecture)
        if table.objective == "language":
            return table.sizes.identity(self._data.labels.vocabulary)
        builder = architecture_builder(table.timm)
        plugin = self._plugin(builder) if builder else ""
        content = {"timm": table.timm, "plugin": plugin, "options": table.options}
        if table.weights:
            content["weights"] = content_digest(weight_file(table.weights))
        return content if table.stem == "auto" else {**content, "stem": table.stem}

    def _poison(self, forget_set: str) -> dict[str, Any]:
        forget = self._data.forget_sets[forget_set]
        if not forget.poisons:
            return {}
        labels = sorted((int(i), int(label)) for i, label in forget.train_labels.items())
        return {"poison": {"forget": forget.digest, "labels": labels, "trigger": forget.trigger}}

    def _method_content(self, method: NamedMethod) -> str:
        parts = {
            str(place): {"name": type(part).__qualname__, **self._code(part)}
            for place, part in enumerate(method.built.parts, start=1)
        }
        built = {"kind": "unlearned", "name": method.base, **self._code(method.built)}
        return self._id({**built, "parts": parts})

    def _code(self, built: Method) -> dict[str, Any]:
        code = {"version": built.version, "plugin": self._plugin(type(built))}
        scores = {name: self._data.scores.digest(name) for name in built.needs_scores}
        files = {"file_digests": dict(built.file_digests)} if built.file_digests else {}
        taken = ("kind", "name", "parts")
        return _with_parameters({**code, "scores": scores, **files}, built, taken, leaving=built.unidentified)

    def _group(self, set_id: str, architecture: str, name: str, content: Mapping[str, Any]) -> str:
        named = {"set": set_id, "architecture.name": architecture, "method.text": name}
        observed = [name for name in STATISTICS[self._data.labels.objective] if name != PHI]
        told = {"shadows.observed": observed} if observed else {}
        return self._id(
            {**named, **content, **told, "evaluation.batch_size": self._config.evaluation.batch_size}
        )

    def _measurement(self, attack: NamedAttack) -> str:
        """Id of how any subject is measured."""
        code = {"version": attack.built.version, "plugin": self._plugin(type(attack.built))}
        named = {"name": attack.base, "text": attack.text, **code}
        source = self._data.source
        if attack.built.reads_alternatives and isinstance(source, TextSource):
            named["alternatives"] = source.alternatives_digest()
        return self._id(
            {
                "attack": _with_parameters(named, attack.built),
                "evaluation": {
                    **fields.to_plain(self._config.evaluation),
                    "tested_on": self._data.test_split,
                },
            }
        )


def _with_parameters(
    named: Mapping[str, Any], built: Any, taken: tuple[str, ...] = (), *, leaving: Iterable[str] = ()
) -> dict[str, Any]:
    """Parameters beside what is `named` of a method or an attack; one of a name that is taken goes below `params`."""
    content = {**named}
    since = built.added if isinstance(built, Attack) else {}
    params = {
        name: value
        for name, value in fields.to_plain(built).items()
        if name not in leaving and (name not in since or getattr(built, name) != since[name])
    }
    clash = {name: value for name, value in params.items() if name in (*named, *taken, "params")}
    content |= {name: value for name, value in params.items() if name not in clash}
    return {**content, "params": clash} if clash else content


def shadow_id(set_id: str, shadow: int) -> str:
    """Of one shadow model of a set."""
    return digest({"set": set_id, "shadow": shadow})


def shared_on_shadow(shadow: str, name: str, pool: str) -> str:
    """Of a stage that unlearnings of one shadow model share, over all draws of a pool; empty: of every pool."""
    return digest({"shadow": shadow, "stage": name, "pool": pool})


def observations_id(group_id: str, shadow: int) -> str:
    """Of what was observed of one shadow model in a group."""
    return digest({"group": group_id, "shadow": shadow})
