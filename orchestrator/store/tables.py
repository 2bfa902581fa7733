"""The tables that a sweep writes: columns, key, and which keys the path carries."""

from __future__ import annotations

from orchestrator.store.schema import (
    BINARY,
    BOOL,
    CATEGORY,
    FLOAT32,
    FLOAT64,
    INT16,
    INT32,
    INT64,
    PLACE,
    STRING,
    TIME,
    Table,
)
from tasks.errors import unknown_name

INVENTORY = "inventory"
"""The table of what there was: it does not list itself."""


def _tables(*tables: Table) -> dict[str, Table]:
    return {table.name: table for table in tables}


TABLES = _tables(
    Table(
        name="runs",
        key="run_id",
        columns={
            "run_id": STRING,
            "ordinal": INT64,  # 1 + the highest that was there when the run began; no clock
            "name": STRING,
            "started_at": TIME,
            "git_commit": STRING,
            "git_dirty": BOOL,
            "diff_sha256": STRING,
            "config_digest": STRING,
            "config_json": STRING,
            "packages_json": STRING,
            "plugins_json": STRING,  # name and digest of each plug-in (orchestrator.plan.plugins)
            "host_json": STRING,
            "devices_json": STRING,
            "dataset": STRING,
            "dataset_digest": STRING,
            "splits_digest": STRING,
            "seeds_json": STRING,
            "answers_json": STRING,  # rows of the view declared (orchestrator.plan.answers.Declared)
            "bases_json": STRING,  # what language models start from (orchestrator.plan.bases.Base); [] of images
            "plan_json": STRING,
            "stages_json": STRING,  # what the plan has made, by kind of model (orchestrator.store.stages)
            "schema_version": INT16,
        },
        required=("ordinal", "name", "started_at", "config_digest"),
    ),
    Table(
        name="plans",
        key="run_id",
        columns=dict.fromkeys(("run_id", "cell_id", *PLACE), STRING) | {"seed": INT64},
        required=("cell_id",),
    ),
    Table(
        name=INVENTORY,
        key="run_id",
        columns={"run_id": STRING, "part": STRING, "part_key": STRING},  # what there was when the run ended
        required=("part", "part_key"),
    ),
    Table(
        name="losses",
        key="loss_id",
        columns={
            "loss_id": STRING,
            "part": STRING,  # a table, or weights
            "part_key": STRING,
            "noticed_at": TIME,
            "restored_at": TIME,  # when it was seen to be back; null: it is not
        },
        required=("part", "part_key", "noticed_at"),
    ),
    Table(
        name="settings",
        key="setting",
        columns={
            "setting": STRING,  # digest of all its entries; orchestrator.plan.identity says what they are
            "conditions": STRING,  # the same without method, scope and [unlearning]
            "unversioned": STRING,  # the same without versions
            "key": STRING,
            "value": STRING,  # JSON
            "is_version": BOOL,  # of code: a version, or the digest of a plug-in
        },
        required=("conditions", "unversioned", "key", "value", "is_version"),
        compactable=True,
    ),
    Table(
        name="models",
        key="model_id",
        columns={
            "model_id": STRING,
            "setting": STRING,
            "kind": STRING,  # pretrained, original, retrained, unlearned, shadow
            "dataset": STRING,
            "dataset_digest": STRING,
            "architecture": STRING,
            "forget_set": STRING,
            "forget_digest": STRING,
            "method": STRING,
            "params_json": STRING,
            "scope": STRING,
            "seed": INT64,
            "replicate": INT32,  # which of the independent retrained models; null for shadow models
            "shadow": INT32,  # number in the layout; null for other models
            "parent_id": STRING,  # the original of an unlearned model; the base of one whose training starts from it
            "shadow_set": STRING,  # the set that a shadow model is of; null for other models
            "retrained_id": STRING,  # the reference of an unlearned model
            "weights_digest": STRING,
            "status": STRING,  # finished, failed
            "error_type": STRING,
            "error": STRING,
            "num_parameters": INT64,
            "trainable_parameters": INT64,
            "samples": INT64,
            "forward_samples": INT64,
            "steps": INT64,
            "seconds": FLOAT64,
            "device_seconds": FLOAT64,
            "peak_bytes": INT64,
            "device": STRING,
            "rests_on_json": STRING,  # stage ids in costs of what was shared (saliency, Fisher); no part of the above
            "notes_json": STRING,
            "finished_at": TIME,
        },
        required=("kind", "status"),
        compactable=True,
    ),
    Table(
        name="cells",
        key="cell_id",
        columns={
            "cell_id": STRING,
            "model_id": STRING,  # what the cell measures: a model; null where it is a group of shadow models
            "group_id": STRING,  # what the cell measures: a group of shadow models; null where it is a model
            "reference_id": STRING,  # the model, or the group, that the one measured is compared with
            "setting": STRING,
            "conditions": STRING,
            "run_id": STRING,
            "dataset": STRING,
            "architecture": STRING,
            "method": STRING,
            "scope": STRING,
            "attack": STRING,
            "attack_family": STRING,
            "attack_params_json": STRING,
            "scale_free": BOOL,  # of an adversarial attack: the scale of logits is nothing to it; null for others
            "method_params_json": STRING,
            "forget_set": STRING,
            "forget_digest": STRING,
            "forget_size": INT64,
            "seed": INT64,
            "role": STRING,  # audited, reference, noise_floor, ceiling, control
            "num_shadows": INT32,
            "shadow_set": STRING,  # the shadow models that the cell rests on; null where it is about one model
            "tuning_trials": INT32,  # budget of the search behind the method's values; null: as configured
            "status": STRING,  # finished, failed
            "error_type": STRING,
            "error": STRING,
            "seconds": FLOAT64,
            "host": STRING,
            "finished_at": TIME,
        },
        required=("setting", "conditions", "attack", "role", "status"),
        compactable=True,
    ),
    Table(
        name="metrics",
        key="cell_id",
        columns={
            "cell_id": STRING,
            "metric": STRING,
            "split": STRING,
            "variant": STRING,
            "label": INT16,
            "param": FLOAT64,
            "game": STRING,
            "value": FLOAT64,
            "ci_low": FLOAT64,
            "ci_high": FLOAT64,
            "n": INT64,
            "higher_is": STRING,  # tasks.metrics.base.Direction
            "difference": FLOAT64,  # to the retrained models, where both rest on the same shadow models
            "difference_error": FLOAT64,  # its standard error, which knows of what the two share
            "difference_df": FLOAT64,
        },
        required=("metric", "split", "variant", "value", "n", "higher_is"),
        compactable=True,
    ),
    Table(
        name="examples",
        key="cell_id",
        path=("attack", "cell_id"),
        columns={
            "example_id": INT32,
            "split": CATEGORY,
            "label": INT16,
            "predicted": INT16,
            "loss": FLOAT32,
            "phi": FLOAT32,
            "correct": BOOL,
            "score": FLOAT32,
            "score_low": FLOAT32,
            "score_high": FLOAT32,
            "eps": FLOAT64,
            "statistic": CATEGORY,
            "member": BOOL,
            "tokens": INT32,  # of a document that are asked for; null for images, as are the next four
            "token_accuracy": FLOAT32,
            "min_k": FLOAT32,
            "min_k_pp": FLOAT32,
            "extraction": FLOAT32,
            "attack": STRING,
            "cell_id": STRING,
        },
        required=("example_id", "split"),
    ),
    Table(
        name="layers",
        key="cell_id",
        columns={
            "cell_id": STRING,
            "layer": STRING,
            "layer_index": INT32,
            "kind": STRING,
            "definition": STRING,
            "label": INT16,  # null for the row over all classes
            "gap": FLOAT64,
            "ci_low": FLOAT64,
            "ci_high": FLOAT64,
            "relative_gap": FLOAT64,
            "baseline_gap": FLOAT64,
            "sigma": FLOAT64,
            "n": INT64,
        },
        required=("layer", "definition"),
        compactable=True,
    ),
    Table(
        name="shadows",
        key="shadow_id",
        columns={
            "shadow_id": STRING,
            "shadow_set": STRING,
            "pair_id": STRING,
            "fold": INT32,
            "architecture": STRING,
            "dataset": STRING,
            "dataset_digest": STRING,
            "seed": INT64,
            "in_mask": BINARY,  # bit i, least significant first, is example i
            "in_digest": STRING,
            "canaries_id": STRING,  # null without canaries
            "train_accuracy": FLOAT64,
            "test_accuracy": FLOAT64,
            "seconds": FLOAT64,
            "device": STRING,
            "weights_digest": STRING,
            "finished_at": TIME,
        },
        required=("shadow_set", "architecture", "dataset", "in_mask", "in_digest"),
    ),
    Table(
        name="canaries",
        key="canaries_id",
        columns={
            "canaries_id": STRING,
            "dataset": STRING,
            "canary_kind": STRING,  # mislabelled, out_of_distribution
            "example_id": INT32,  # in whose place the canary stands
            "label": INT16,  # that models learn
            "original_label": INT16,  # of the example in whose place it stands
            "images": STRING,  # colour_fields, or a data set; null: the images of the examples
            "image_id": INT32,  # there
            "provenance_json": STRING,
        },
        required=("canary_kind", "example_id", "label"),
    ),
    Table(
        name="observations",
        key="stage_id",
        path=("architecture", "method", "scope"),
        columns={
            "stage_id": STRING,
            "shadow_id": STRING,
            "shadow": INT32,  # its number in the layout; its pair is half of it
            "pool": STRING,  # of targets: a forget set, or the canaries; empty for the models as trained
            "draw": INT32,
            "state": CATEGORY,  # retained, unlearned, never, test
            "epoch": INT32,
            "example_id": INT32,
            "phi": FLOAT32,
            "loss": FLOAT32,
            "correct": BOOL,
            "min_k_pp": FLOAT32,  # of a document; null for images and on the way of unlearning, as are the next three
            "min_k": FLOAT32,
            "token_accuracy": FLOAT32,
            "extraction": FLOAT32,
            "architecture": STRING,
            "method": STRING,
            "scope": STRING,
        },
        required=("shadow_id", "draw", "state", "example_id", "phi"),
    ),
    Table(
        name="costs",
        key="stage_id",
        columns={
            "stage_id": STRING,
            "model_id": STRING,
            "stage": STRING,  # pretrain, train, retrain, unlearn, share, score, attack
            "device": STRING,
            "seconds": FLOAT64,
            "device_seconds": FLOAT64,
            "peak_bytes": INT64,
            "samples": INT64,
            "forward_samples": INT64,
            "trainable_parameters": INT64,
            "output_digest": STRING,  # SHA-256 of the tensors that a shared stage left; null for others
            "finished_at": TIME,
        },
        required=("stage", "device", "seconds"),
        compactable=True,
    ),
    Table(
        name="tuning",
        key="search_id",
        columns={
            "search_id": STRING,
            "dataset": STRING,
            "architecture": STRING,
            "method": STRING,
            "scope": STRING,
            "trial": INT32,  # 0 is the configured values
            "params_json": STRING,  # the searched fields alone
            "metric": STRING,
            "value": FLOAT64,  # as measured; null where the trial failed
            "ci_low": FLOAT64,
            "ci_high": FLOAT64,
            "seconds": FLOAT64,  # of the unlearning
            "chosen": BOOL,
            "budget": INT32,  # trials that every method was given
            "error": STRING,
            "forget_digest": STRING,
            "forget_size": INT64,
            "reference_id": STRING,  # the retrained model of the search
            "cell_id": STRING,  # in the results of the search
        },
        required=("architecture", "method", "scope", "trial", "params_json", "chosen", "budget"),
        compactable=True,
    ),
    Table(
        name="forget_sets",
        key="record_id",
        columns={
            "record_id": STRING,  # of the examples, their name, and the data that they are to be forgotten from
            "forget_digest": STRING,
            "forget_set": STRING,
            "dataset": STRING,
            "example_id": INT32,
            "label": INT16,
            "retained_exact": INT32,  # retained examples with the same content; null: not looked for
            "retained_nearest": INT32,  # the retained example that looks most alike
            "retained_distance": FLOAT32,  # how far they differ (tasks.forget_sets.retained_copies, retained_documents)
            "provenance_json": STRING,
        },
        required=("forget_set", "example_id"),
    ),
    Table(
        name="purges",
        key="purge_id",
        columns={
            "purge_id": STRING,
            "purged_at": TIME,
            "what": STRING,  # a table, a kind of blob, or another kind of files (orchestrator.store.traces)
            "files": INT64,
            "bytes": INT64,
            "finished": BOOL,  # false: it was killed, or still goes on
        },
        required=("purged_at", "what", "files", "finished"),
    ),
)


def table_named(name: str) -> Table:
    """The table called `name`."""
    if name not in TABLES:
        raise unknown_name("table", name, TABLES)
    return TABLES[name]
