"""Ids of models of which only outputs are known: files stand where a sweep has a recipe; see `identity.py`.

trained     CODE_VERSION; the data: digest of labels, splits; name of the architecture; what the arrays hold
original    trained; the files of all originals, as `version` of its method; its number among them, as seed
retrained   trained; the files of all retrained models; forgotten examples; number; which of the independent ones it is
unlearned   id of the original; the files of all models of the method, and of all originals; forgotten examples; number
shadow set  trained; number of shadow models and their masks; the files of their outputs
group       the set; names of architecture, method and forget set; the files of the method, forgotten examples
cell        as in a sweep

Files enter by their content, and by `version`, so that a result of other files under the same names is superseded
as one of edited code is, and no number rests on both.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import DataPlan
from orchestrator.plan.identity import CODE_VERSION, Identity
from orchestrator.plan.names import NamedMethod
from tasks.shadows.layout import ShadowLayout


class GivenIdentity(Identity):
    """Makes the ids of one plan about outputs.

    Args:
        config: of the plan.
        data: of the plan.
        kind: what the arrays hold.
        versions: digests of the files, by role: original, retrained, shadow, and by the name of each method.
    """

    def __init__(
        self, config: SweepConfig, data: DataPlan, *, kind: str, versions: Mapping[str, str]
    ) -> None:
        super().__init__(config, data)
        self._kind, self._versions = kind, versions

    def original(self, architecture: str, seed: int, forget_set: str) -> str:
        """Of a model that was trained on everything."""
        method = self._id({"kind": "original", "version": self._versions["original"]})
        return self._id({"trained": self._trained(architecture), "method": method, "seed": seed})

    def retrained(self, architecture: str, seed: int, forget_set: str, replicate: int) -> str:
        """Of a model that was trained without the forget set."""
        method = {"kind": "retrained", "replicate": replicate, "version": self._versions["retrained"]}
        content = {"trained": self._trained(architecture), "method": self._id(method), "seed": seed}
        return self._id({**content, "forget": self._forgotten[forget_set]})

    def unlearned(self, original: str, method: NamedMethod, forget_set: str, scope: str, seed: int) -> str:
        """Of an original after a method."""
        content = {"original": original, "scope": scope, "seed": seed, "method": self._made_by(method)}
        return self._id({**content, "forget": self._forgotten[forget_set]})

    def shadow_set(self, architecture: str, layout: ShadowLayout) -> str:
        """Of all shadow models."""
        return self._id(
            {
                "trained": self._trained(architecture),
                "shadows.layout": layout.digest,
                "shadows.num": layout.num_shadows,
                "shadows.version": self._versions["shadow"],
            }
        )

    def shadow_group(
        self, set_id: str, architecture: str, name: str, method: NamedMethod, scope: str, pool: str
    ) -> str:
        """Of all models that one method made of the shadow models."""
        content = {"scope": scope, "pool": pool, "method": self._made_by(method)}
        return self._group(set_id, architecture, name, {**content, "forget": self._forgotten[pool]})

    def _made_by(self, method: NamedMethod) -> str:
        roles = {"retrain": "retrained", "no_op": "shadow"}
        version = self._versions[roles.get(method.text, method.text)]
        originals = (
            {"originals": {"version": self._versions["original"]}} if "original" in self._versions else {}
        )
        return self._id({"kind": "unlearned", "name": method.text, "version": version, **originals})

    def _training(self, architecture: str) -> str:
        splits = self._data.splits
        sizes = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
        return self._id(
            {
                "code": CODE_VERSION,
                "data": {"content": self._data.digest, "splits": splits.digest, **sizes},
                "architecture": {"given": architecture},
                "outputs": {"kind": self._kind},
            }
        )
