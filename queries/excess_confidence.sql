-- How much more confident in its label is a model than the retrained one, on each forgotten example?
-- shown: method, scope, seed, example_id, excess, phi, retrained_phi, forget_set, architecture, setting_label
-- grain: finished cell without attack, and forget example
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- excess is in logits of the confidence.
with forgotten as (
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
    setting_labels.label as setting_label,
    ours.example_id,
    ours.label,
    ours.phi,
    theirs.phi as retrained_phi,
    ours.phi - theirs.phi as excess,
    cell.setting
from plan_cells as cell
left join setting_labels on setting_labels.setting = cell.setting
join plan_references as paired on paired.cell_id = cell.cell_id
join forgotten as ours on ours.cell_id = cell.cell_id
join forgotten as theirs
    on theirs.cell_id = paired.reference_cell_id
    and theirs.example_id = ours.example_id
where cell.role <> 'reference'
    and cell.attack_family = 'none'
    and ($architecture is null or cell.architecture = $architecture)
    and ($forget_set is null or cell.forget_set = $forget_set)
order by
    cell.dataset, cell.architecture, cell.forget_set, cell.role, cell.method, cell.scope, cell.seed, cell.setting,
    ours.example_id;
