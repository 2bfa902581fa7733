"""Ids of finished models: the content of files stands where a sweep has a recipe; see `identity.py`.

trained     as in a sweep; without the recipe where nothing is trained
original    trained; the files of all originals, as `version` of its method; its number among them, as seed
retrained   likewise, with forgotten examples and which of the independent ones it is; as in a sweep where it is trained
unlearned   id of the original; scope, seed, forgotten examples; the files of all models of the method; as in a sweep
            where a method of ours, or a program, unlearns
the method  of any unlearned model also the files of all originals
shadow set, group, cell  as in a sweep

Files enter by their content, all those of a role together and as a version, so that a result of other files under the
same names is superseded as one of edited code is, and no number rests on both.
"""

from __future__ import annotations

from typing import Any

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import DataPlan
from orchestrator.plan.elsewhere import MadeElsewhere
from orchestrator.plan.given_files import RETRAINED, GivenFiles
from orchestrator.plan.identity import Identity
from orchestrator.plan.names import NamedMethod


class FileIdentity(Identity):
    """Makes the ids of one plan about finished models.

    Args:
        config: with a named device.
        data: of the plan.
        files: which are given.
        trains: whether models that are not given are trained.
    """

    def __init__(self, config: SweepConfig, data: DataPlan, files: GivenFiles, *, trains: bool) -> None:
        super().__init__(config, data)
        self._files, self._trains = files, trains

    def original(self, architecture: str, seed: int, forget_set: str) -> str:
        """Of a given original."""
        method = self._id({"kind": "original", "version": self._files.version("original")})
        return self._id({"trained": self._trained(architecture), "method": method, "seed": seed})

    def retrained(self, architecture: str, seed: int, forget_set: str, replicate: int) -> str:
        """Of a retrained model, given or trained here."""
        if not self._files.has(RETRAINED[0]):
            return super().retrained(architecture, seed, forget_set, replicate)
        version = self._files.version(RETRAINED[replicate])
        method = self._id({"kind": "retrained", "replicate": replicate, "version": version})
        content = {"trained": self._trained(architecture), "method": method, "seed": seed}
        return self._id({**content, "forget": self._forgotten[forget_set]})

    def unlearned(self, original: str, method: NamedMethod, forget_set: str, scope: str, seed: int) -> str:
        """Of an original after a method, given or unlearned here."""
        if not isinstance(method.built, MadeElsewhere):
            return super().unlearned(original, method, forget_set, scope, seed)
        content = {"original": original, "scope": scope, "seed": seed, "method": self._method(method)}
        return self._id({**content, "forget": self._forgotten[forget_set]})

    def _training(self, architecture: str) -> str:
        content = self._contents[super()._training(architecture)]
        return self._id({k: v for k, v in content.items() if k != "training" or self._trains})

    def _method_content(self, method: NamedMethod) -> str:
        originals: dict[str, Any] = {"originals": {"version": self._files.version("original")}}
        if isinstance(method.built, MadeElsewhere):
            version = self._files.version(f"unlearned.{method.text}")
            return self._id({"kind": "unlearned", "name": method.text, "version": version, **originals})
        return self._id({**self._contents[super()._method_content(method)], **originals})
