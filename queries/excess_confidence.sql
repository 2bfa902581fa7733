-- How much more confident in its label is a model than the retrained one, on each forgotten example?
-- grain: finished cell without attack, and forget example
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- excess is in logits of the confidence. Of cells measured more than once the latest counts.
with latest as (
    select *
    from latest_cells
    where attack_family = 'none'
        and ($architecture is null or architecture = $architecture)
        and ($forget_set is null or forget_set = $forget_set)
),
forgotten as (
    select cell_id, example_id, label, phi
    from examples
    where attack = 'none'
        and split = 'forget'
        and isfinite(phi)
)
select
    cell.dataset,
    cell.architecture,
    cell.forget_set,
    cell.role,
    cell.method,
    cell.scope,
    cell.seed,
    ours.example_id,
    ours.label,
    ours.phi,
    theirs.phi as retrained_phi,
    ours.phi - theirs.phi as excess
from latest as cell
join latest as reference
    on reference.model_id = cell.reference_id
    and reference.forget_set = cell.forget_set
    and reference.role = 'reference'
join forgotten as ours on ours.cell_id = cell.cell_id
join forgotten as theirs
    on theirs.cell_id = reference.cell_id
    and theirs.example_id = ours.example_id
where cell.role <> 'reference'
order by
    cell.dataset, cell.architecture, cell.forget_set, cell.role, cell.method, cell.scope, cell.seed, ours.example_id;
