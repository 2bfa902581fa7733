"""What a newcomer gets wrong: every command and kind of file answers with exit code 2 and one line to act on."""

from __future__ import annotations

import importlib
import io
import json
import shlex
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from orchestrator.errors import run_command
from orchestrator.store.store import Store
from tasks.datasets import checks
from tests.support.audited import audited_root, write_cell, write_run
from tests.support.sweeps import SYNTHETIC_DATA, changed

NUM_IMAGES = 12
PLAN = "sweep audit.toml --dry-run"
RUN = "sweep audit.toml"
FEWEST = 60
"""How many bad inputs the issue asks for."""


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A bad input: the words of a command, changes of the tiny configuration, and what the line must say."""

    command: str
    """Without `python -m orchestrator.`; `{shelf}` holds bad files, `{results}` a finished sweep."""
    told: tuple[str, ...]
    """What was wrong, where, and what was expected."""
    toml: dict[str, str] = field(default_factory=dict)
    """Pieces of the tiny configuration and what stands in their place, in audit.toml."""

    def running(self) -> Bad:
        """The same, not only planned."""
        return replace(self, command=RUN)


def bad(command: str, *told: str, **toml: str) -> Bad:
    return Bad(command=command, told=told, toml=toml)


def toml(old: str, new: str, *told: str, command: str = PLAN, more: str = "") -> Bad:
    """The tiny configuration with one piece replaced, and more tables."""
    changes = {old: new, **({"[axes]": f"{more}[axes]"} if more else {})}
    return Bad(command=command, told=told, toml=changes)


def data(text: str, *told: str) -> Bad:
    """The tiny configuration on another data set."""
    return toml(SYNTHETIC_DATA, text + "\n", *told)


def forget(text: str, *told: str, more: str = "") -> Bad:
    """The tiny configuration with another forget set."""
    changes = {'["random:fraction=0.2"]': f"['{text}']", "[data]": f"[data]\n{more}"}
    return Bad(command=PLAN, told=told, toml=changes)


def canaries(text: str, *told: str, attack: str = "one_run") -> Bad:
    """The tiny configuration with shadow models and canaries."""
    return toml('"population"]', f'"{attack}"]', *told, more=f"[shadows]\n{text}\n")


FOREIGN = 'canaries = 20\ncanary_kind = "out_of_distribution"\n'
FLAGS = [
    bad("sweep --dry-rnu", "'--dry-rnu'", "Did you mean '--dry-run'?"),
    bad("sweep --limit ten", "--limit: expected a whole number, got 'ten'"),
    bad("sweep --limit -1", "--limit: expected 0 or more, got -1"),
    bad("sweep --tune -2 --dry-run", "--tune: expected 0 or more, got -2"),
    bad("sweep --backend lokal", "--backend", "Did you mean 'local'?"),
    bad("sweep --display fancy", "--display", "'fancy'", "auto, json, none, plain, rich"),
    bad("sweep --rerun every", "--rerun", "'every'", "all, failed, none"),
    bad("sweep --set training.epochs", "--set: expected key=value, got 'training.epochs'"),
    bad("sweep --set trainig.epochs=1", "'trainig'", "Did you mean 'training'?"),
    bad("sweep --set name.x=1 --dry-run", "name.x", "not a table"),
    bad("sweep --axes.seed one", "--axes.seed: expected a whole number, got 'one'"),
    bad("sweep quick other", "got 'other'", "--help"),
    bad("sweep quik", "'quik'", "Did you mean 'quick'?"),
    bad("sweep missing.toml", "missing.toml"),
    bad("sweep {shelf}", "expected a TOML file or the name of a preset, got the directory {shelf}"),
    bad("sweep {shelf}/not_toml.toml", "not_toml.toml", "not valid TOML", "line 1"),
    bad("sweep {shelf}/binary.toml", "binary.toml", "expected UTF-8 text"),
    bad("sweep --describe metods", "--describe", "Did you mean 'methods'?"),
    bad("sweep --describe methods.scrab", "Did you mean 'scrub'?"),
    bad("sweep --describe config.trainig", "Did you mean 'training'?"),
    bad("sweep --only metod=scrub --dry-run", "--only", "Did you mean 'method'?"),
    bad("sweep --only method=scrap --dry-run", "--only: no method 'scrap'", "Did you mean 'scrub'?"),
    bad("sweep --only scrub --dry-run", "--only: expected axis=pattern, got 'scrub'"),
    bad("sweep --out {shelf}/file.txt", "file.txt"),
    bad("sweep --out '' --dry-run", "out: expected a results directory, got ''"),
    bad("sweep --out s4://bucket/audit", "s4://bucket/audit"),
    bad("sweep --out {shelf}/other_version", "version"),
    bad("query leaderbord --results {results}", "Did you mean 'leaderboard'?"),
    bad("query leaderboard --results nowhere", "no directory 'nowhere'", "orchestrator.sweep"),
    bad("query leaderboard --results {results} --param metrc=accuracy", "Did you mean 'metric'?"),
    bad("query leaderboard --results {results} --param accuracy", "--param: expected name=value"),
    bad("query leaderboard --results {results} --format latx", "--format", "Did you mean 'latex'?"),
    bad("query nothing.sql --results {results}", "nothing.sql"),
    bad("query 'select metod from cells' --results {results}", "metod", "method"),
    bad("query 'select * from cell' --results {results}", "cell", "cells"),
    bad("query 'selct 1' --results {results}", "selct"),
    bad("query 'drop table cells' --results {results}", "a statement that reads", "DROP"),
    bad(
        "query \"select * from read_csv('/etc/passwd')\" --results {results}",
        "expected tables of these results",
        "read_csv",
    ),
    bad("query leaderboard --results {results} --output nowhere/table.csv", "--output", "nowhere"),
    bad("query --export {shelf}/file.txt --results {results}", "file.txt"),
    bad("query --verify --results nowhere", "no directory 'nowhere'"),
    *(
        bad(f"{command} {{shelf}}/tiny", "shelf", "holds none: expected what a sweep was given as --out")
        for command in ("query failures --results", "query --verify --results", "query --repair --results")
    ),
    *(
        bad(f"{command} {{shelf}}/tiny{more}", "holds none: expected what a sweep was given as --out")
        for command, more in (
            ("status", ""),
            ("report", ""),
            ("purge", " --yes"),
            ("trackers", " --to tensorboard"),
        )
    ),
    bad("status {shelf}/parent", "holds none", "there are results in", "parent/results"),
    bad("query leaderboard --results {shelf}/damaged", "cannot read", "--repair"),
    bad("report nowhere", "no directory 'nowhere'", "orchestrator.sweep"),
    bad("report {results} --output nowhere/report.html", "--output", "nowhere"),
    bad("report {results} --output {shelf}", "--output", "{shelf}"),
    bad("report {results} --figures {shelf}/file.txt", "--figures", "file.txt"),
    bad("report {shelf}/damaged", "cannot read", "--repair"),
    bad("status nowhere", "no directory 'nowhere'", "orchestrator.sweep"),
    bad("status {shelf}/file.txt", "file.txt"),
    bad("status {results} --watch -1", "--watch: expected 0 or more, got -1"),
    bad("status {results} --watch soon", "--watch: expected a number, got 'soon'"),
    bad("status {shelf}/other_version", "version"),
    bad("status {shelf}/no_marker", "marker"),
    bad("certificate {results} --method scrub", "--forget-set", "--help"),
    bad(
        "certificate {results} --forget-set random:fraction=0.2 --method finetun", "Did you mean 'finetune'?"
    ),
    bad("certificate {results} --forget-set random --method finetune", "--forget-set", "random:fraction=0.2"),
    bad(
        "certificate {results} --forget-set random:fraction=0.2 --method finetune",
        "--scope: expected one of all, head",
    ),
    bad(
        "certificate {shelf}/empty --forget-set mine --method scrub", "no audited cell", "orchestrator.sweep"
    ),
    bad("scores {results} --architecture net --output risk.npz", "no shadow models", "per-example attack"),
    bad("scores nowhere --architecture net --output risk.npz", "no directory 'nowhere'"),
    bad("scores {results} --architecture net --output risk.txt", ".npz", "risk.txt"),
    bad("trackers {results} --to tensorbord", "Did you mean 'tensorboard'?"),
    bad("trackers nowhere --to tensorboard", "no directory 'nowhere'"),
    bad("trackers {results} --to tensorboard --at {shelf}/file.txt", "--at", "file.txt"),
    bad("trackers {results} --to wandb --at here", "--at", "WANDB_DIR"),
]
CONFIGURATIONS = [
    toml("[axes]", "[axis]", "audit.toml", "'axis'", "Did you mean 'axes'?"),
    toml("epochs = 2", "epoch = 2", "training", "Did you mean 'epochs'?"),
    toml("epochs = 2", 'epochs = "two"', "training.epochs: expected int, got 'two'"),
    toml("epochs = 2", "epochs = 0", "training", "epochs: expected at least 1, got 0"),
    toml("batch_size = 32", "batch_size = 32\nlr = -0.1", "training", "lr", "-0.1"),
    toml("batch_size = 32", "batch_size = 32\noptimizer = 'adm'", "training.optimizer", "adamw"),
    toml("seed = [0]", "seed = [0, 0]", "axes.seed", "twice"),
    toml("seed = [0]", "seed = []", "axes.seed: expected at least one value"),
    toml("seed = [0]", "seed = 0", "axes.seed: expected a list of int, got 0"),
    toml('"gradient_ascent"]', '"gradient_ascend"]', "Did you mean 'gradient_ascent'?"),
    toml('"head"]', '"heads"]', "'heads'", "head"),
    toml('"head"]', '"last-0"]', "last-0"),
    toml('"fgsm"', '"fsgm"', "Did you mean 'fgsm'?"),
    toml("eps = [0.05]", "eps = [-0.05]", "attacks.fgsm", "eps", "-0.05"),
    toml("eps = [0.05]", "epsilon = 0.05", "attacks.fgsm", "Did you mean 'eps'?"),
    toml("[methods.finetune]\nepochs = 1", "[methods.finetune]\nepoch = 1", "methods.finetune", "'epochs'?"),
    toml("[methods.finetune]\nepochs = 1", "[methods.finetune]\nlr = 0", "methods.finetune", "lr", "0"),
    toml("[methods.finetune]", "[methods.finetuned]", "methods", "finetune"),
    toml("[methods.finetune]\n", "[methods.finetune]\nbase = 'scrap'\n", "base", "scrub"),
    toml("bootstrap = 20", "bootstrap = 3", "evaluation", "bootstrap: expected at least 20"),
    toml("bootstrap = 20", "bootstrap = 20\nconfidence = 0.95", "evaluation", "confidence"),
    toml("bootstrap = 20", "bootstrap = 20\nfprs = [1.5]", "evaluation", "fprs", "1.5"),
    toml('"population"]', '"u_lira"]', "shadows", "even", "3", more="[shadows]\nnum = 3\n"),
    toml(
        '"population"]',
        '"u_lira"]',
        "strategy",
        "grouped",
        more='[shadows]\nnum = 64\nstrategy = "groupd:4"\n',
    ),
    toml("[axes]", "[[exclude]]\nmetod = 'finetune'\n[axes]", "exclude", "Did you mean 'method'?"),
    toml("[axes]", "[[exclude]]\nmethod = 'finetun'\n[axes]", "exclude", "Did you mean 'finetune'?"),
    toml("[axes]", "[[exclude]]\nseed = 0\n[axes]", "nothing to audit", "exclude less"),
    toml("[axes]", "[tuning]\ntrials = 2\nseed = 0\n[axes]", "tuning.seed"),
    toml('name = "tiny"', 'name = "tiny"\nplugins = ["my_lab.nowhere"]', "plugins", "my_lab"),
    toml('name = "tiny"', 'name = "tiny"\nplugins = ["plug_fails"]', "plugins", "plug_fails.py, line 1"),
    toml('name = "tiny"', 'name = "tiny"\nplugins = ["plug_again"]', "plugins", "'scrub' is already defined"),
    toml('name = "tiny"', 'name = "tiny"\nplugins = ["plug_thawed"]', "frozen dataclass"),
    toml(
        'name = "tiny"',
        'name = "tiny"\nplugins = ["plug_stranger"]',
        "plug_stranger.py",
        "class Mine(Method)",
    ),
    toml(
        'name = "tiny"', 'name = "tiny"\nplugins = ["plug_idle"]', "plug_idle.py", "does not define __call__"
    ),
    toml('timm = "resnet18"', 'timm = "resnet81"', "resnet81", "resnet18", command=RUN),
    toml(
        "layers = [1, 1, 1, 1]", "layer = [1]", "resnet18", "unexpected keyword argument 'layer'", command=RUN
    ),
    *(
        toml(
            'timm = "resnet18"',
            f'timm = "resnet18"\nweights = "{{shelf}}/{name}"',
            "architectures.net",
            *told,
        )
        for name, told in {
            "none.safetensors": ("weights: no file", "nothing is downloaded"),
            "start.pt": ("is a pickle, which may run code", "weights_only=True"),
            "text.safetensors": ("weights: cannot read", "text.safetensors"),
            "wrapped.safetensors": ("every name begins with 'module.'", "save the tensors without it"),
            "foreign.safetensors": ("is missing (and ", "expected the weights of this architecture"),
        }.items()
    ),
    toml('timm = "resnet18"', 'timm = "resnet18"\nstem = "tiny"', "architectures.net.stem", "'tiny'", "timm"),
    toml("layers = [1, 1, 1, 1]", "pretrained = true", "options.pretrained", 'weights = "FILE.safetensors"'),
    toml("layers = [1, 1, 1, 1]", 'checkpoint_path = "a.pth"', "options.checkpoint_path: expected none"),
    toml("layers = [1, 1, 1, 1]", "num_classes = 4", "options.num_classes: expected none", "leave it out"),
    toml('device = "cpu"', 'device = "tpu"', "execution.device", "cpu"),
    toml('device = "cpu"', 'device = "mps"', "this machine has no mps device", "auto or cpu", command=RUN),
    toml('device = "cpu"', 'device = "cpu"\nthreads = 0', "execution", "threads", "0"),
    toml('device = "cpu"', 'device = "cpu"\nhosts = -1', "execution", "hosts", "-1"),
]


def answers(text: str, *told: str) -> Bad:
    """The tiny configuration with declared answers."""
    return toml("[axes]", f"[answers]\n{text}\n[axes]", *told)


ANSWERS = [
    answers(
        "margins = { acuracy = 0.1 }", "answers.margins: no metric 'acuracy'", "Did you mean 'accuracy'?"
    ),
    answers(
        "margins = { accuracy = -0.1 }",
        "answers.margins.accuracy: expected 0 or more and below 1",
        "got -0.1",
    ),
    answers("margins = { ra_gap = 2.0 }", "answers.margins.ra_gap: expected 0 or more and below 2", "got 2"),
    answers(
        'primary = ["acuracy:test"]', "answers.primary[0]: no metric 'acuracy'", "Did you mean 'accuracy'?"
    ),
    answers('primary = ["accuracy:tset"]', "answers.primary[0]: no split 'tset'", "Did you mean 'test'?"),
    answers('primary = ["accuracy:test", "accuracy:test"]', "answers: primary[1]", "listed twice"),
    answers('primary = ["accuracy:test,atack=none"]', "primary[0]", "'atack'", "Did you mean 'attack'?"),
    answers(
        'primary = ["accuracy:test,attack"]', "primary[0]", "expected key=value after a comma, got 'attack'"
    ),
    answers('primary = ["accuracy:test,attack=nome"]', "primary[0]: no attack of the plan 'nome'", "'none'"),
    answers(
        'primary = ["accuracy:test,attack=fgsm"]', "attack 'fgsm' does not report 'accuracy'", "do: none"
    ),
    answers(
        'primary = ["examples_tested"]', "no attack of this plan (none, fgsm, population)", "axes.attack"
    ),
    answers('primary = ["auc:forget,game=G1"]', "no game of 'auc' in this plan 'G1'", "G2-population"),
    answers('primary = ["tpr_at_fpr,param=low"]', "param: expected float, got 'low'"),
    answers('primary = [""]', "primary[0]: expected metric:split,key=value,..., got ''"),
    answers("training_sd = { acuracy = 0.1 }", "answers.training_sd: no metric 'acuracy'", "'accuracy'"),
    answers("training_sd = { 'accuracy:tset' = 0.1 }", "answers.training_sd: no split 'tset'", "'test'"),
    answers(
        "training_sd = { accuracy = -0.1 }", "answers: training_sd.accuracy: expected 0 or more, got -0.1"
    ),
    answers("control = true", "answers.control", "all, models, none"),
]
CANARIES = [
    Bad(
        command=PLAN,
        told=("axes.forget_set: 'canaries' is what the planted canaries are called",),
        toml={
            '"random:fraction=0.2"': '"canaries"',
            '"population"]': '"u_lira"]',
            "[axes]": '[forget_sets.canaries]\nkind = "random"\nfraction = 0.3\n[shadows]\nnum = 40\n'
            "canaries = 20\n[axes]",
        },
    ),
    canaries("forget_fraction = 0.7", "forget_fraction: expected above 0 and at most 0.5, got 0.7"),
    canaries("forget_fraction = 0.5\ndraws = 2", "draws: expected 0 or 1 with forget_fraction 0.5, got 2"),
    canaries("canaries = 0", "axes.attack: 'one_run' needs canaries", "shadows.canaries"),
    canaries("", "'lira:targets=canaries' needs canaries", attack="lira:targets=canaries"),
    canaries("canaries = 20", "targets", "G3", attack="u_lira:targets=canaries,game=G3"),
    canaries("canaries = -1", "shadows: canaries: expected 0 or more, got -1"),
    canaries("canaries = 100", "shadows: canaries: expected at most", "got 100"),
    canaries(FOREIGN.replace("20", "100"), "shadows: canaries: expected at most", "got 100"),
    canaries('canary_kind = "odd"', "shadows.canary_kind", "'odd'", "mislabelled, out_of_distribution"),
    canaries('canary_kind = "out_of_distribution"', "shadows: canaries: expected at least 1", "got 0"),
    canaries('canaries = 20\ncanary_images = "digits"', "canary_kind: expected out_of_distribution"),
    canaries(FOREIGN + "canary_options = { root = 'a' }", "shadows: canary_images", "got none"),
    canaries(FOREIGN + 'canary_images = "cifar1000"', "shadows.canary_images", "Did you mean 'cifar100'?"),
    canaries(FOREIGN + 'canary_images = "cifar100"', "shadows.canary_options", "'root'"),
    canaries(FOREIGN + 'canary_images = "cifar100:root=nowhere"', "shadows.canary_options: root", "nowhere"),
    canaries(
        FOREIGN + f'canary_images = "synthetic"\ncanary_{SYNTHETIC_DATA.partition("options")[1]}'
        f"{SYNTHETIC_DATA.partition('options')[2]}",
        "shadows.canary_images: expected another data set than the audited one, got 'synthetic'",
    ),
    canaries(
        FOREIGN + 'canary_images = "synthetic:num_train=12,num_test=3"',
        "shadows.canary_images: expected at least 20 images",
        "'synthetic' has 15",
    ),
    canaries(FOREIGN + 'canary_images = "synthetic:channels=2"', "cannot turn images of 2 channels", "of 1"),
]
DATA_SETS = [
    toml('"synthetic"', '"synthetics"', "data", "Did you mean 'synthetic'?"),
    toml("num_train = 120", "num_trian = 120", "data.options", "Did you mean 'num_train'?"),
    toml("[axes]", "validation_fraction = 1.5\n[axes]", "data.validation_fraction", "1.5"),
    toml(
        "[axes]",
        "mean = [0.5, 0.5]\n[axes]",
        "data.mean: expected 1 number, or 1 as there are channels, got 2",
    ),
    data('name = "npz"', "data.options", "'path'"),
    data('name = "npz"\noptions = { path = "none.npz" }', "path: no file none.npz"),
    data('name = "npz"\noptions = { path = "{shelf}/text.npz" }', "text.npz", "expected a .npz file"),
    data('name = "npz"\noptions = { path = "{shelf}/other_arrays.npz" }', "expected x_train", "found a, b"),
    data('name = "npz"\noptions = { path = "{shelf}/pickled.npz" }', "pickled.npz", "labels"),
    data('name = "npz"\noptions = { path = "{shelf}/lengths.npz" }', "labels: expected 12 labels"),
    data(
        'name = "npz"\noptions = { path = "{shelf}/negative.npz" }',
        "labels: expected numbers of classes, 0 or more, got -1",
    ),
    data(
        'name = "npz"\noptions = { path = "{shelf}/channels.npz" }', "cannot tell the channels", "set order"
    ),
    data('name = "cifar10"', "data.options", "'root'"),
    data('name = "cifar10"\noptions = { root = "nowhere" }', "nowhere", "cifar-10"),
    data('name = "cifar10"\noptions = { root = "{shelf}/cifar_few" }', "cifar_few", "data_batch_5.bin"),
    data(
        'name = "cifar10"\noptions = { root = "{shelf}/cifar_short" }',
        "data_batch_5.bin",
        "records of 3073 bytes",
    ),
    data('name = "cifar10"\noptions = { root = "{shelf}/cifar_label" }', "label", "200"),
    data('name = "cifar10"\noptions = { root = "{shelf}/cifar.tar.gz" }', "cifar.tar.gz"),
    data(
        'name = "cifar100"\noptions = { root = "{shelf}/cifar_few" }',
        "cifar_few",
        "expected cifar-100-binary/",
    ),
    data('name = "tiny_imagenet"\noptions = { root = "{shelf}/empty_folder" }', "empty_folder", "wnids.txt"),
    data(
        'name = "tiny_imagenet"\noptions = { root = "{shelf}/tiny" }', "val_annotations.txt", "line 1", "n02"
    ),
    data('name = "imagenet"\noptions = { root = "{shelf}/empty_folder" }', "train", "missing"),
    data('name = "image_folder"\noptions = { root = "nowhere" }', "root: no directory nowhere"),
    data('name = "image_folder"\noptions = { root = "{shelf}/empty_folder" }', "one directory per class"),
    data('name = "image_folder"\noptions = { root = "{shelf}/no_images" }', "cats", "expected image files"),
]
FORGET_SETS = [
    forget("randm:fraction=0.2", "axes.forget_set", "Did you mean 'random'?"),
    forget("random:fraction=2", "fraction", "2"),
    forget("random:0.2", "expected key=value after 'random:', got '0.2'"),
    forget("random:fracton=0.2", "Did you mean 'fraction'?"),
    forget("class:label=9", "forget_sets.class:label=9: label: expected a label in 0..2"),
    forget("class:label=ship", "forget_sets.class:label=ship", "Valid: class0, class1, class2"),
    forget("file:path=none.csv", "path: no file none.csv"),
    forget("file:path={shelf}/ids.pdf", ".pdf", ".csv, .npy, .parquet, .tsv, .txt"),
    forget("file:path={shelf}/words.csv", "words.csv: line 3: expected an example id", "got 'three'"),
    forget("file:path={shelf}/header.csv", "header.csv", "'example_id'", "Valid: name, number"),
    forget("file:path={shelf}/quote.csv", "quote.csv: line 3: cannot read this row", "unexpected end"),
    forget("file:path={shelf}/cells.csv", "cells.csv: line 2: expected 2 cells as in line 1, got 3"),
    forget("file:path={shelf}/marks.txt", "marks.txt: expected text in UTF-8, UTF-16"),
    forget("file:path={shelf}/far.txt", "far.txt", "outside 0..159", "1000"),
    forget("file:path={shelf}/test.txt", "test.txt", "test split", "159"),
    forget("file:path={shelf}/empty.txt", "empty.txt: expected at least one example, got a list of none"),
    forget("file:path={shelf}/floats.npy", "floats.npy", "line 1: expected an example id", "0.5"),
    forget("file:path={shelf}/good.txt,sha256=00ff", "expected ids with sha256 00ff"),
    forget("by_score:score=privacy_risk,level=high,count=5", "privacy_risk", "orchestrator.scores"),
    forget("by_score:score=privacy_risk,level=top,count=5", "level", "'top'", "high, low, mid, mix"),
    forget("by_score:score=a,level=high,count=5", "no file", "none.npz", more='scores = "none.npz"'),
    forget("by_score:score=a,level=high,count=5", "text.npz", more='scores = "{shelf}/text.npz"'),
    forget(
        "by_score:score=a,level=high,count=5", "for each of 160", more='scores = "{shelf}/other_arrays.npz"'
    ),
    forget(
        "by_score:score=risk,level=high,count=5", "of other data", more='scores = "{shelf}/other_data.npz"'
    ),
]
PIXELS = [
    data(
        'name = "npz"\nlimit = -1\noptions = { path = "{shelf}/bool.npz" }', "data: limit: expected 0 or more"
    ),
    data('name = "npz"\nlimit = "few"', "data.limit: expected int, got 'few'"),
    data('name = "idx"\noptions = { root = "nowhere" }', "root: no directory nowhere"),
    data('name = "idx"\noptions = { root = "{shelf}/tiny" }', "expected train-images-idx3-ubyte (or .gz)"),
    data('name = "image_table"\noptions = { path = "nowhere.parquet" }', "no file or folder nowhere.parquet"),
    data(
        'name = "image_table"\noptions = { path = "{shelf}/tiny" }', "expected Parquet files, or a folder as"
    ),
    data(
        'name = "image_table"\noptions = { path = "{shelf}/text.npz" }', "cannot read this Parquet or Arrow"
    ),
    data('name = "npz"\noptions = { path = "{shelf}/range.npz" }', "got 0 to 255", "x.astype(np.uint8)"),
    data('name = "npz"\noptions = { path = "{shelf}/int64.npz" }', "got int64", "x.astype(np.uint8)"),
    data(
        'name = "npz"\noptions = { path = "{shelf}/uint16.npz" }', "got uint16", "(x // 257).astype(np.uint8)"
    ),
    data('name = "npz"\noptions = { path = "{shelf}/nan.npz" }', "expected floats in [0, 1], got nan"),
    data(
        'name = "npz"\noptions = { path = "{shelf}/objects.npz" }',
        "cannot read array 'images': Object arrays",
    ),
    data('name = "npz"\noptions = { path = "{shelf}/no_rows.npz" }', "labels: expected at least one label"),
    data('name = "npz"\noptions = { path = "{shelf}/billion.npz" }', "less than 1048576, got 1000000000"),
    data('name = "npz"\noptions = { path = "{shelf}/one_hot.npz" }', "labels", "y.argmax(axis=1)"),
    data('name = "npz"\noptions = { path = "{shelf}/bool.npz" }', "labels", "y.astype(int)"),
    data('name = "npz"\noptions = { path = "{shelf}/halves.npz" }', "labels", "got 0.5 at 1"),
    data(
        'name = "image_folder"\noptions = { root = "{shelf}/broken_image" }',
        "3.png: cannot decode this image",
    ),
    data(
        'name = "image_folder"\noptions = { root = "{shelf}/dangling" }',
        "1.png: cannot decode this image",
    ),
    data('name = "image_folder"\noptions = { root = "{shelf}/deep" }', "got F of 32; save the image with 8"),
    data('name = "image_folder"\noptions = { root = "{shelf}/deep", background = -1 }', "background", "-1"),
]
EVERY = [*FLAGS, *CONFIGURATIONS, *ANSWERS, *CANARIES, *DATA_SETS, *PIXELS, *FORGET_SETS]


def make_npz(shelf: Path) -> None:
    images = np.zeros((NUM_IMAGES, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(NUM_IMAGES) % 3
    (shelf / "text.npz").write_text("not an archive")
    np.savez(shelf / "other_arrays.npz", a=labels, b=labels)
    np.savez(shelf / "pickled.npz", images=images, labels=np.array([{}] * NUM_IMAGES, dtype=object))
    np.savez(shelf / "lengths.npz", images=images, labels=labels[:-1])
    np.savez(shelf / "negative.npz", images=images, labels=labels - 1)
    np.savez(shelf / "channels.npz", images=np.zeros((NUM_IMAGES, 8, 8, 8), dtype=np.uint8), labels=labels)
    many = np.arange(120) % 3
    np.savez(
        shelf / "range.npz",
        images=np.full((120, 1, 8, 8), 255.0) * (many[:, None, None, None] > 0),
        labels=many,
    )
    np.savez(shelf / "int64.npz", images=images.astype(np.int64) + 200, labels=labels)
    np.savez(shelf / "uint16.npz", images=images.astype(np.uint16) + 65535, labels=labels)
    np.savez(shelf / "nan.npz", images=images * np.nan, labels=labels)
    np.savez(shelf / "objects.npz", images=np.full(NUM_IMAGES, None), labels=labels)
    np.savez(shelf / "no_rows.npz", images=images[:0], labels=labels[:0])
    np.savez(shelf / "billion.npz", images=images, labels=labels * 10**9)
    np.savez(shelf / "one_hot.npz", images=images, labels=np.eye(3)[labels])
    np.savez(shelf / "bool.npz", images=images, labels=labels == 1)
    np.savez(shelf / "halves.npz", images=images, labels=labels / 2)
    provenance = json.dumps({"dataset_digest": "0" * 64})
    np.savez(shelf / "other_data.npz", risk=np.zeros(160), provenance=np.array(provenance))


def make_cifar(shelf: Path) -> None:
    """CIFAR-10's files, zeros that take no place on the disk: too few, one too short, one with a label of 200."""
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for kind in ("few", "short", "label"):
        folder = shelf / f"cifar_{kind}"
        folder.mkdir()
        (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
        for name in names[: 4 if kind == "few" else 6]:
            with (folder / name).open("wb") as file:
                file.write(bytes([200 if kind == "label" else 0]))
                file.truncate(10_000 * 3073 - (kind == "short" and name == names[4]))
    (shelf / "cifar.tar.gz").write_bytes(b"no archive")


def make_folders(shelf: Path) -> None:
    (shelf / "empty_folder").mkdir()
    (shelf / "no_images" / "cats").mkdir(parents=True)
    (shelf / "no_images" / "cats" / "readme.txt").touch()
    for label in ("cats", "dogs"):
        (shelf / "broken_image" / label).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (8, 8)).save(shelf / "broken_image" / label / f"{i}.png")
    (shelf / "broken_image" / "cats" / "3.png").write_text("no image")
    for name in ("dangling", "deep"):
        (shelf / name / "cats").mkdir(parents=True)
    (shelf / "dangling" / "cats" / "1.png").symlink_to("nowhere.png")
    for i in range(20):
        Image.new("F", (8, 8)).save(shelf / "deep" / "cats" / f"{i}.tif")
    tiny = shelf / "tiny"
    (tiny / "train" / "n01" / "images").mkdir(parents=True)
    (tiny / "val" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(tiny / "train" / "n01" / "images" / "n01_0.JPEG")
    Image.new("RGB", (64, 64)).save(tiny / "val" / "images" / "val_0.JPEG")
    (tiny / "wnids.txt").write_text("n01\n")
    (tiny / "words.txt").write_text("n01\tcat\n")
    (tiny / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t1\t1\n")


def make_lists(shelf: Path) -> None:
    (shelf / "ids.pdf").touch()
    (shelf / "words.csv").write_text("example_id\n1\nthree\n")
    (shelf / "header.csv").write_text("name,number\nann,1\n")
    (shelf / "quote.csv").write_text('example_id,name\n1,a\n3,"ab\n5,c\n')
    (shelf / "cells.csv").write_text("example_id,name\n1,a,b\n")
    (shelf / "marks.txt").write_bytes("1\n2\n".encode("utf-32-le"))
    (shelf / "far.txt").write_text("1000\n")
    (shelf / "test.txt").write_text("159\n")
    (shelf / "empty.txt").write_text("# nobody asked\n")
    (shelf / "good.txt").write_text("5\n")
    np.save(shelf / "floats.npy", np.full(3, 0.5))


def make_weights(shelf: Path) -> None:
    (shelf / "start.pt").write_bytes(b"a pickle")
    (shelf / "text.safetensors").write_text("no tensors")
    for name, key in (("wrapped", "module.conv1.weight"), ("foreign", "patch_embed.proj.weight")):
        save_file({key: np.zeros((4, 1, 3, 3), dtype=np.float32)}, shelf / f"{name}.safetensors")


def make_plugins(shelf: Path) -> None:
    head = "from dataclasses import dataclass\nfrom tasks.unlearn.base import Method, register\n"
    body = "class Mine(Method):\n    def __call__(self, run): ...\n"
    (shelf / "plug_fails.py").write_text("1 / 0\n")
    (shelf / "plug_again.py").write_text(f"{head}@register('scrub')\n@dataclass(frozen=True)\n{body}")
    (shelf / "plug_thawed.py").write_text(f"{head}@register('thawed')\n@dataclass\n{body}")
    stranger = body.replace("(Method)", "")
    (shelf / "plug_stranger.py").write_text(
        f"{head}@register('stranger')\n@dataclass(frozen=True)\n{stranger}"
    )
    (shelf / "plug_idle.py").write_text(
        f"{head}@register('idle')\n@dataclass(frozen=True)\nclass Idle(Method): pass\n"
    )


def make_results(shelf: Path) -> None:
    write_run(Store(str(shelf / "empty")))
    write_run(Store(str(shelf / "parent" / "results")))
    for name, text in (("other_version", '{"schema_version": 99}'), ("no_marker", "no json")):
        (shelf / name).mkdir()
        (shelf / name / "store.json").write_text(text)
    store = Store(str(shelf / "damaged"))
    write_run(store)
    write_cell(store, "retrain")
    for file in (shelf / "damaged" / "cells").rglob("*.arrow"):
        file.write_bytes(file.read_bytes()[:-100])


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A directory of bad files."""
    shelf = tmp_path_factory.mktemp("shelf")
    (shelf / "not_toml.toml").write_text("name =\n")
    (shelf / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (shelf / "file.txt").write_text("no directory")
    for make in (make_npz, make_cifar, make_folders, make_lists, make_weights, make_plugins, make_results):
        make(shelf)
    return shelf


def listing(*folders: Path) -> set[tuple[str, int]]:
    """Every file with its time of change."""
    return {(str(p), p.stat().st_mtime_ns) for folder in folders for p in folder.rglob("*") if p.is_file()}


def answer(case: Bad, shelf: Path) -> int:
    """Run the command in this process, as its `__main__` does."""
    places = {"{shelf}": str(shelf), "{results}": audited_root() if "{results}" in case.command else ""}
    if case.toml:
        Path("audit.toml").write_text(filled(changed(case.toml), places))
    name, *words = shlex.split(filled(case.command, places))
    module = importlib.import_module(
        f"orchestrator.{name}{'.__main__' if name in ('report', 'scores') else ''}"
    )
    return run_command(lambda: module.main(words))


def filled(text: str, places: dict[str, str]) -> str:
    for key, place in places.items():
        text = text.replace(key, place)
    return text


def title(case: Bad) -> str:
    change = " ".join(next(iter(case.toml.values())).split())[-60:] if case.toml else ""
    return change or case.command


def test_there_are_enough(capsys):
    with capsys.disabled():
        print(f"\n{len(EVERY)} bad inputs")  # noqa: T201
    assert len({(case.command, str(case.toml)) for case in EVERY}) == len(EVERY) >= FEWEST


@pytest.mark.parametrize("case", EVERY, ids=title)
def test_a_bad_input_is_one_line_to_act_on(case, shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(shelf))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = listing(shelf)
    assert answer(case, shelf) == 2
    told = capsys.readouterr()
    *progress, line = told.err.splitlines()
    assert line.startswith("error: ")
    for piece in case.told:
        assert piece.replace("{shelf}", str(shelf)) in line, line
    assert listing(shelf) == before
    left = {p.relative_to(tmp_path).parts[:2] for p in tmp_path.rglob("*") if p.is_file()} - {("audit.toml",)}
    if case.command == RUN:
        # Known once a model is built: the run is on record, and nothing else.
        assert left <= {
            ("results", name) for name in ("store.json", "runs", "plans", "settings", "forget_sets")
        }
    else:
        assert all(text.startswith("importing the plug-in ") for text in progress)
        assert not left


def test_pixels_that_cannot_be_read_end_the_sweep_with_the_file(shelf, tmp_path, monkeypatch, capsys):
    """A plan looks at a few of the images of a folder; the sweep reads them all before any cell."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "LOOKED_AT", 2)
    case = data(f'name = "image_folder"\noptions = {{ root = "{shelf}/broken_image" }}')
    assert answer(case, shelf) == 0
    capsys.readouterr()
    assert answer(case.running(), shelf) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "3.png: cannot decode this image" in line
