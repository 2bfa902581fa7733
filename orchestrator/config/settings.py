"""What an audit is: TOML file, then command-line flags, into frozen dataclasses with one digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.config.answers import Answers
from orchestrator.config.architectures import Architecture, Pretraining
from orchestrator.config.given import Given, completed
from orchestrator.config.paths import anchored, home
from orchestrator.config.toml_files import presets, read_toml
from tasks import fields
from tasks.errors import AuditError, unknown_name
from tasks.measure.fairness_definitions import DEFINITIONS, Definition
from tasks.registry import literal
from tasks.training.recipe import Recipe
from tasks.training.strategy_text import Strategy
from tasks.unlearn.program import is_program

LARGEST = 1e9
"""Seconds and GiB: thirty years and an exabyte are no limit, and clocks overflow not far above."""

LONGEST_NAME = 200
"""Characters of the name of an audit."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data set and its one split."""

    name: str = "digits"
    """Registered data set: digits, cifar10, cifar100, tiny_imagenet, imagenet, image_folder, npz,
    fictitious_people, ..."""
    options: dict[str, Any] = field(default_factory=dict)
    """Fields of the data set, such as root = "data/cifar-10-batches-bin"."""
    limit: int = 0
    """Most examples, of the training and the test part together, for a first try; 0: all. They are drawn with
    split_seed, each class with its share, or whole groups; ids number them anew."""
    validation_fraction: float = 0.1
    """Share of the training examples kept apart (rewind, thresholds, twins): never trained on."""
    test_fraction: float = 0.25
    """Share of all examples used as test set where the data set brings none of its own."""
    split_seed: int = 0
    """Seed of the split; one split serves the whole sweep."""
    mean: tuple[float, ...] = (0.5,)
    """Normalisation inside the model, by channel. A constant: statistics of the data would leak members."""
    std: tuple[float, ...] = (0.25,)
    """Normalisation inside the model, by channel."""
    scores: str = ""
    """File of per-example scores (.npz of `python -m orchestrator.scores`) that forget sets and methods rank
    by; a path that every node can reach."""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise AuditError(f"limit: expected 0 or more, got {self.limit}")


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The grid. Every combination is a cell; `exclude` takes combinations out."""

    architecture: tuple[str, ...] = ()
    """Names of [architectures] tables, any timm model name, or gpt."""
    method: tuple[str, ...] = ()
    """Unlearning methods; retrain, retrain_again and no_op are added as references, and retrain_third where
    `answers.control` asks for it."""
    scope: tuple[str, ...] = ("all",)
    """Layers that unlearning may change: all, head, last-k, early, intermediate, last, norm-only, ..."""
    attack: tuple[str, ...] = ("none",)
    """none measures the model itself; fgsm, pgd, ... its robustness; population, u_lira, ... its memory."""
    forget_set: tuple[str, ...] = ()
    """Names of [forget_sets] tables, or kind:key=value,..."""
    seed: tuple[int, ...] = (0,)
    """Seeds of initialisation and data order; forget draws have their own."""


@dataclass(frozen=True, kw_only=True)
class Unlearning:
    """What holds for every method."""

    norm_statistics: Literal["update", "freeze"] = "update"
    """Whether running statistics of BatchNorm layers in scope follow the unlearning batches."""
    augment: bool = True
    """Whether unlearning uses the augmentation of the training recipe."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How models are measured."""

    bootstrap: int = 400
    """Resamples behind every bootstrap interval: of the attacks with shadow models."""
    batch_size: int = 1024
    """Examples per forward pass when scoring; per batch when attacking."""
    fprs: tuple[float, ...] = (0.001, 0.01, 0.1)
    """False positive rates at which true positive rates are taken, where the data can resolve them."""
    attack_splits: tuple[Literal["forget", "retain", "test"], ...] = ("forget", "retain", "test")
    """Splits whose robust accuracy is measured."""
    fairness_split: Literal["forget", "retain", "test"] = "test"
    """Examples on which the fairness gap per normalisation layer is measured."""
    fairness_definitions: tuple[Definition, ...] = tuple(DEFINITIONS)
    """Which spread of a normalisation layer the fairness gap is of; the paper leaves it open
    (guide/methods.md#fairness-gap)."""

    def __post_init__(self) -> None:
        if self.bootstrap < 20:
            raise AuditError(f"bootstrap: expected at least 20 resamples, got {self.bootstrap}")
        if self.batch_size < 1:
            raise AuditError(f"batch_size: expected at least 1, got {self.batch_size}")
        for rate in self.fprs:
            if not 0 < rate < 1:
                raise AuditError(f"fprs: expected numbers between 0 and 1, got {rate}")


@dataclass(frozen=True, kw_only=True)
class Shadows:
    """Shadow models for per-example membership attacks; unused where no such attack is in the grid."""

    num: int = 32
    """Shadow models per architecture, in complementary pairs; even."""
    draws: int = 0
    """Forget draws per shadow; 0 takes as many as its targets fill, each target in one draw at most."""
    forget_fraction: float = 0.25
    """Size of one forget draw, as a share of the target pool (the cell's forget set). A shadow was trained on half
    of the pool: 0.5 forgets all of it in one draw; where the share does not divide one half, part is never
    forgotten."""
    batch: int = 16
    """Shadows that one task trains together, whole pairs."""
    strategy: str = "grouped:16:channels_last"
    """How a batch is trained: loop, or grouped:K[:channels_last], K models in lockstep; architectures that
    cannot be stacked fall back to the loop. Results of two strategies differ in their last bits: it is part
    of the models' identity."""
    retrain_control: bool = True
    """Also retrain every shadow without each of its draws: the floor, and H0 of game G1."""
    trajectories: bool = False
    """Observe the targets after every epoch of unlearning too (per-example stopping)."""
    keep_weights: bool = True
    """Whether the weights of shadow models are stored, so that a new method needs no new training."""
    canaries: int = 0
    """Training examples planted to be memorised, which each pair includes by a fair coin (one-run audit)."""
    canary_kind: Literal["mislabelled", "out_of_distribution"] = "mislabelled"
    """mislabelled: a wrong label on a training example; out_of_distribution: an image from elsewhere in its
    place, under a random label."""
    canary_images: str = ""
    """Data set whose images out-of-distribution canaries show, such as cifar100 for an audit of cifar10; resized
    and turned into the audited channels. Empty: generated images, smooth random colour fields."""
    canary_options: dict[str, Any] = field(default_factory=dict)
    """Fields of that data set, such as root = "data/cifar-100-binary"."""
    seed: int = 0
    """Seed of masks, draws and shadow initialisations."""

    def __post_init__(self) -> None:
        Strategy.parse(self.strategy)
        if not 0 < self.forget_fraction <= 0.5:
            raise AuditError(f"forget_fraction: expected above 0 and at most 0.5, got {self.forget_fraction}")
        if self.forget_fraction == 0.5 and self.draws > 1:
            raise AuditError(f"draws: expected 0 or 1 with forget_fraction 0.5, got {self.draws}")
        if self.canaries < 0:
            raise AuditError(f"canaries: expected 0 or more, got {self.canaries}")
        foreign = self.canary_kind == "out_of_distribution"
        if foreign and not self.canaries:
            raise AuditError("canaries: expected at least 1 with canary_kind out_of_distribution, got 0")
        if self.canary_images and not foreign:
            raise AuditError(
                f"canary_kind: expected out_of_distribution with canary_images, got '{self.canary_kind}'"
            )
        if self.canary_options and not self.canary_images:
            raise AuditError("canary_images: expected the data set that canary_options are for, got none")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Search of hyper-parameters before the audit, with the same budget for every method."""

    trials: int = 0
    """Trials for each architecture, method and scope, the configured values first; 0 does not tune."""
    metric: str = ""
    """What is minimised, on the tuning forget set, the retain set and the validation set; `metric:split`
    where a metric has several splits, such as js_to_retrained:forget. Empty: average_gap of images, average_token_gap
    of documents."""
    seed: int = 7919
    """Seed of the original and the retrained model of the search, and of its draws; none of the axis."""
    search: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Ranges by method and field in place of the method's own: lr = ["loguniform", 1e-4, 1e-1]."""
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a search has found, by "architecture/method/scope"; wins over [methods]. `--tune` fills it in."""

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise AuditError(f"trials: expected 0 or more, got {self.trials}")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how it runs; nothing here changes a number, apart from `precision` and the kind of device."""

    backend: Literal["inline", "local", "cluster"] = "local"
    """inline: this process, no Ray; local: Ray on this machine; cluster: the running Ray cluster."""
    hosts: int = 0
    """Model hosts; 0 takes one per accelerator, or one per CPU where there is none."""
    threads: int = 1
    """Threads of each host on a CPU. Another number may change the last bits of a result; no identity holds it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device of the hosts, part of every model's identity. auto is what this machine has, also for the nodes of
    a cluster: cuda (NVIDIA), mps (Apple), else cpu."""
    precision: Literal["no", "tf32", "bf16", "fp16"] = "no"
    """Precision of training and unlearning: no is full float32, tf32 that of NVIDIA GPUs, the others are mixed
    (accelerate). Part of every model's identity. Scores are full float32 whatever it is."""
    resident_gib: float = 4.0
    """Bytes of models that one host keeps on its device; the least recently used goes first."""
    keep_unlearned: bool = True
    """Whether the weights of unlearned models are stored, so that a new attack needs no new unlearning."""
    stage_timeout: float = 3600.0
    """Seconds that training a model, unlearning, or measuring a cell may each take; after that it counts as
    hanging and fails."""
    max_failures: int = 0
    """Stop early after that many failed cells; 0 never does."""

    def __post_init__(self) -> None:
        for name, smallest in (("hosts", 0), ("threads", 1), ("max_failures", 0)):
            if getattr(self, name) < smallest:
                raise AuditError(f"{name}: expected {smallest} or more, got {getattr(self, name)}")
        for name in ("resident_gib", "stage_timeout"):
            if not 0 < getattr(self, name) <= LARGEST:
                raise AuditError(
                    f"{name}: expected a positive number up to {LARGEST:g}, got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """One audit, resolved."""

    name: str = "audit"
    """Readable name of the runs: up to 200 printable characters. Ids of runs begin with what of it may name a file."""
    plugins: tuple[str, ...] = ()
    """Modules of yours to import on the driver and on every worker; they register methods, attacks, ..."""
    data: Data = field(default_factory=Data)
    axes: Axes = field(default_factory=Axes)
    exclude: tuple[dict[str, Any], ...] = ()
    """Combinations that make no sense: a table of axis = value or list of values."""
    training: Recipe = field(default_factory=Recipe)
    pretraining: Pretraining | None = None
    """The recipe of a base, which is trained once on the data set's public part; training of every other model,
    retrained and shadow models among them, starts from it. Without this table it starts from random weights."""
    architectures: dict[str, Architecture] = field(default_factory=dict)
    given: Given | None = None
    """Finished models, which are read and not trained (guide/given.md)."""
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Hyper-parameters by method; `base` makes a named variant of another method, `program` a command a method."""
    attacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    forget_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Named forget sets; `kind` and its parameters."""
    unlearning: Unlearning = field(default_factory=Unlearning)
    evaluation: Evaluation = field(default_factory=Evaluation)
    shadows: Shadows = field(default_factory=Shadows)
    answers: Answers = field(default_factory=Answers)
    tuning: Tuning = field(default_factory=Tuning)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= LONGEST_NAME):
            raise AuditError(
                f"name: expected 1 to {LONGEST_NAME} printable characters, got {self.name!r:.60}"
            )
        for axis in dataclasses.fields(self.axes):
            values = getattr(self.axes, axis.name)
            if not values:
                raise AuditError(f"axes.{axis.name}: expected at least one value, got none")
            if len(set(values)) != len(values):
                raise AuditError(f"axes.{axis.name}: a value is listed twice: {list(values)}")
        if self.tuning.trials and self.tuning.seed in self.axes.seed:
            raise AuditError(f"tuning.seed: expected none of axes.seed, got {self.tuning.seed}")
        for rule in self.exclude:
            for key in rule:
                names = [f.name for f in dataclasses.fields(self.axes)]
                if key not in names:
                    raise unknown_name("axis", key, names, where="exclude")

    def recipe(self, architecture: str) -> Recipe:
        """The training recipe of one architecture: [training] with the architecture's own changes."""
        own = self.architectures[architecture].training if architecture in self.architectures else {}
        merged = {**fields.to_plain(self.training), **own}
        return fields.build(Recipe, merged, where=f"architectures.{architecture}.training")

    def architecture(self, name: str) -> Architecture:
        """The [architectures] table of that name, or the bare model."""
        return self.architectures.get(name) or Architecture.named(name)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(fields.to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 20) -> str:
    """Hexadecimal prefix of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def load(source: str | SweepConfig, overrides: Mapping[str, Any] | None = None) -> SweepConfig:
    """Resolve a configuration: defaults, then the file or preset, then overrides.

    Args:
        source: path of a TOML file, from whose folder its paths start, the name of a preset, or a configuration.
        overrides: values by dotted key ("axes.seed", "methods.scrub.lr").
    """
    if isinstance(source, SweepConfig):
        tables = fields.to_plain(source)
    else:
        tables = read_toml(source)
        tables = tables if source in presets() else anchored(tables, os.path.dirname(home(source)))
    for key, value in (overrides or {}).items():
        _put(tables, str(key).split("."), value)
    tables |= _placed(tables, Path(home(source)).parent if isinstance(source, str) else Path())
    return fields.build(SweepConfig, completed(tables), where=source if isinstance(source, str) else "")


def _placed(tables: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """[methods] with the full name of the folder where names of files start in each program: every process of the sweep
    is to find the same."""
    found = tables.get("methods")
    if not isinstance(found, Mapping):
        return {}
    placed = {
        name: {**table, "folder": str(Path(home(table.get("folder") or str(folder))).absolute())}
        for name, table in found.items()
        if isinstance(table, Mapping) and is_program(table) and isinstance(table.get("folder", ""), str)
    }
    return {"methods": {**found, **placed}}


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `--set key=value`; a list is written with commas in brackets, as in TOML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise AuditError(f"--set: expected key=value, got '{text}'")
    try:
        return key.strip(), tomllib.loads(f"x = {value}")["x"]
    except RecursionError:
        raise AuditError(f"--set: {key}: nested too deeply") from None
    except ValueError:
        return key.strip(), literal(value)


def _put(tables: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        tables = tables.setdefault(part, {})
        if not isinstance(tables, dict):
            raise AuditError(f"{'.'.join(path)}: '{part}' is a value, not a table")
    tables[path[-1]] = value
