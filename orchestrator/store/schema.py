"""The tables that a sweep writes: columns, key, and which keys the path carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tasks.errors import AuditError, unknown_name

SCHEMA_VERSION = 2
"""Raised only when old files can no longer be read; a new column is added without raising it."""

STRING, BOOL, BINARY = pa.string(), pa.bool_(), pa.binary()
INT16, INT32, INT64 = pa.int16(), pa.int32(), pa.int64()
FLOAT32, FLOAT64 = pa.float32(), pa.float64()
TIME = pa.timestamp("us", tz="UTC")
CATEGORY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: a file per key, under directories named by the path columns."""

    name: str
    key: str
    """The column that names the file; every row of a file has the same value in it."""
    columns: Mapping[str, pa.DataType]
    path: tuple[str, ...] = ()
    """String columns that the path carries as `column=value`; they are not stored in the file."""
    required: tuple[str, ...] = field(default=())
    """Columns that may not be null, besides the key."""
    compactable: bool = False
    """Whether many small files are merged into one after a sweep."""

    @property
    def file_schema(self) -> pa.Schema:
        """Columns inside a file, with the table and version as metadata."""
        metadata = {"table": self.name, "schema_version": str(SCHEMA_VERSION), "writer": "lethe"}
        stored = [(name, kind) for name, kind in self.columns.items() if name not in self.path]
        return pa.schema(stored, metadata=metadata)

    @property
    def query_schema(self) -> pa.Schema:
        """Columns that queries see: those of the file, then those of the path."""
        return pa.schema([*self.file_schema, *((name, STRING) for name in self.path)])


def _tables(*tables: Table) -> dict[str, Table]:
    return {table.name: table for table in tables}


TABLES = _tables(
    Table(
        name="runs",
        key="run_id",
        columns={
            "run_id": STRING,
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
            "plan_json": STRING,
            "schema_version": INT16,
        },
        required=("name", "started_at", "config_digest"),
    ),
    Table(
        name="models",
        key="model_id",
        columns={
            "model_id": STRING,
            "run_id": STRING,
            "kind": STRING,  # original, retrained, unlearned, shadow
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
            "parent_id": STRING,
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
            "run_id": STRING,
            "dataset": STRING,
            "architecture": STRING,
            "method": STRING,
            "scope": STRING,
            "attack": STRING,
            "attack_family": STRING,
            "attack_params_json": STRING,
            "method_params_json": STRING,
            "forget_set": STRING,
            "forget_digest": STRING,
            "forget_size": INT64,
            "seed": INT64,
            "role": STRING,  # audited, reference, noise_floor, ceiling
            "num_shadows": INT32,
            "tuning_trials": INT32,  # budget of the search behind the method's values; null: as configured
            "status": STRING,  # finished, failed
            "error_type": STRING,
            "error": STRING,
            "attempt": INT16,
            "seconds": FLOAT64,
            "host": STRING,
            "finished_at": TIME,
        },
        required=("attack", "role", "status"),
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
            "higher_is": STRING,  # better, worse, closer_to_retrained
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
        required=("architecture", "dataset", "in_mask", "in_digest"),
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
            "step": INT64,
            "example_id": INT32,
            "phi": FLOAT32,
            "loss": FLOAT32,
            "correct": BOOL,
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
            "cell_id": STRING,
            "model_id": STRING,
            "stage": STRING,  # train, retrain, shadow, unlearn, share, score, attack
            "dataset": STRING,
            "architecture": STRING,
            "method": STRING,
            "scope": STRING,
            "attack": STRING,
            "device": STRING,
            "seconds": FLOAT64,
            "device_seconds": FLOAT64,
            "peak_bytes": INT64,
            "samples": INT64,
            "forward_samples": INT64,
            "trainable_parameters": INT64,
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
            "retained_exact": INT32,  # retained examples with the same pixels; null: not looked for
            "retained_nearest": INT32,  # the retained example that looks most alike
            "retained_distance": FLOAT32,  # their root mean square difference (tasks.forget_sets.retained_copies)
            "provenance_json": STRING,
        },
        required=("forget_set", "example_id"),
    ),
)

PUBLISHED = pa.schema(
    [
        ("row_set", STRING),
        ("paper", STRING),
        ("mark", STRING),
        ("dataset", STRING),
        ("architecture", STRING),
        ("forget_set", STRING),
        ("method", STRING),
        ("attack", STRING),
        ("metric", STRING),
        ("param", FLOAT64),
        ("value", FLOAT64),
        ("spread", FLOAT64),
        ("unit", STRING),
        ("misprint", BOOL),
        ("note", STRING),
    ]
)
"""Numbers that papers print; not results of ours, they ship with the queries."""


def table_named(name: str) -> Table:
    """The table called `name`."""
    if name not in TABLES:
        raise unknown_name("table", name, TABLES)
    return TABLES[name]


def to_arrow(table: Table, rows: Sequence[Mapping[str, Any]] | pa.Table, *, key: str) -> pa.Table:
    """Turn rows into the file's schema, filling the key column.

    Args:
        table: the table that the rows are for.
        rows: mappings or an Arrow table; an absent column becomes null.
        key: value of the key column; rows that name it must name the same.

    Raises:
        AuditError: a column is unknown or has the wrong type, a required one is null, or a key differs.
    """
    arrow = rows if isinstance(rows, pa.Table) else _from_mappings(table, rows)
    for column in arrow.column_names:
        if column not in table.columns:
            raise unknown_name("column", column, table.columns, where=table.name)
    arrow = conform(arrow, table.file_schema)
    if table.key in table.file_schema.names:
        arrow = _with_key(table, arrow, key)
    for column in table.required:
        if column in table.file_schema.names and arrow[column].null_count:
            raise AuditError(f"{table.name}.{column}: expected a value in every row, got null ({key})")
    return arrow


def conform(arrow: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast to `schema`; columns that the table lacks are null, others are dropped."""
    if arrow.schema.equals(schema, check_metadata=True):
        return arrow
    columns = [
        arrow[f.name].cast(f.type) if f.name in arrow.column_names else pa.nulls(len(arrow), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _from_mappings(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = {name: None for row in rows for name in row}
    for name in names:
        if name not in table.columns:
            raise unknown_name("column", name, table.columns, where=table.name)
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows], table.columns[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise AuditError(f"{table.name}.{name}: expected {table.columns[name]}: {error}") from error
    return pa.table(columns) if columns else table.file_schema.empty_table()


def _with_key(table: Table, arrow: pa.Table, key: str) -> pa.Table:
    position = table.file_schema.get_field_index(table.key)
    column = arrow.column(position)
    if column.null_count == len(column):
        filled = pa.array([key] * len(arrow), STRING)
        return arrow.set_column(position, table.file_schema.field(position), filled)
    if column.unique().to_pylist() != [key]:
        raise AuditError(f"{table.name}.{table.key}: expected '{key}' in every row, as the file is named")
    return arrow
