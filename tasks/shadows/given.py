"""The layout of shadow models that were made elsewhere: whatever each was trained on, as a mask says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.errors import AuditError
from tasks.shadows.layout import ShadowLayout


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenLayout(ShadowLayout):
    """Shadow models whose training sets are known and follow no plan of ours.

    Numbers 2p and 2p + 1 are still the unit that a fit leaves out, but such shadow models are no complements: folds
    hold unequal numbers of members. What each draw forgot stands with its observations.
    """

    masks: np.ndarray
    """`shadows x train_ids`, bool: what each was trained on."""
    apart: int = 1
    """From the number of one to that of the next; 2 makes each a unit by itself."""

    def __post_init__(self) -> None:
        expected = (self.num_shadows, len(self.train_ids))
        if self.masks.shape != expected or self.masks.dtype != np.bool_:
            raise AuditError(
                f"masks: expected bool of shape {expected}, got {self.masks.dtype} {self.masks.shape}"
            )

    def member_mask(self, shadow: int) -> np.ndarray:
        """See `ShadowLayout.member_mask`."""
        return np.asarray(self.masks[self._checked(shadow) // self.apart])

    def target_members(self, pool: str) -> np.ndarray:
        """See `ShadowLayout.target_members`."""
        return np.asarray(self.masks[:, np.isin(self.train_ids, self.pool(pool).ids)])

    def forget_matrix(self, pool: str) -> np.ndarray:
        """Refuse: methods may have forgotten other parts.

        Raises:
            AuditError: always.
        """
        raise AuditError(f"pool '{pool}': what each draw forgot is known from its observations alone")

    def _checked(self, shadow: int) -> int:
        if shadow % self.apart or not 0 <= shadow < self.apart * self.num_shadows:
            raise AuditError(f"shadow: expected 0 to {self.apart * (self.num_shadows - 1)}, got {shadow}")
        return shadow

    @cached_property
    def digest(self) -> str:
        """See `ShadowLayout.digest`."""
        sha = hashlib.sha256(f"given {self.num_shadows} {self.apart}".encode())
        for pool in self.pools:
            sha.update(
                f"{pool.name} {pool.draws} {len(pool.ids)}".encode() + pool.ids.astype("<i8").tobytes()
            )
        sha.update(self.train_ids.astype("<i8").tobytes() + np.packbits(self.masks, axis=1).tobytes())
        return sha.hexdigest()
