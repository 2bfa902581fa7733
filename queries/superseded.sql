-- Which cells did a later run replace because code was edited, and what is left out of every answer for that?
-- grain: replaced cell
-- Its place and seed stand under another setting that differs in versions alone (of Lethe, a method, an attack, a
-- data set, or the code of a plug-in), and a later run than any that asked for this cell asked for that one. Over
-- all cells, whichever run the answer rests on: a run that is named still shows its own.
with changed as (
    select
        superseded_cells.cell_id,
        string_agg(
            older.key || ': ' || trim(older.value, '"') || ' -> ' || trim(newer.value, '"'),
            ', '
            order by older.key
        ) as differs
    from superseded_cells
    join settings as older on older.setting = superseded_cells.setting
    join settings as newer
        on newer.setting = superseded_cells.newer_setting
        and newer.key = older.key
        and newer.value <> older.value
    group by superseded_cells.cell_id
)
select
    cells.dataset,
    cells.architecture,
    cells.forget_set,
    cells.attack,
    cells.method,
    cells.scope,
    cells.seed,
    changed.differs,
    superseded_cells.last_run_id,
    superseded_cells.newer_run_id as replaced_in,
    superseded_cells.newer_cell_id as replaced_by,
    superseded_cells.cell_id
from superseded_cells
join cells on cells.cell_id = superseded_cells.cell_id
left join changed on changed.cell_id = superseded_cells.cell_id
order by
    cells.dataset, cells.architecture, cells.forget_set, cells.attack, cells.method, cells.scope, cells.seed,
    superseded_cells.cell_id;
