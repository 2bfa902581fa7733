-- Which forget examples stay farthest from what the retrained model makes of them?
-- grain: dataset, architecture, forget set, conditions and example, over audited models
-- param top = 20 from 1: examples per forget set
-- param method = null: only this method
-- phi is the logit of the confidence in the true label. distance is the mean over models of how far phi is
-- from the retrained model's, excess the same with its sign: above 0 still remembered, below 0 forgotten more
-- than retraining would. noise_distance is that of a second retraining: where it is as large, the example is
-- hard, not remembered. accuracy: share of the models that are right about the example.
with audited as (
    select
        cells.cell_id,
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.conditions,
        cells.role,
        plan_references.reference_cell_id
    from plan_cells as cells
    join plan_references on plan_references.cell_id = cells.cell_id
    where cells.role in ('audited', 'noise_floor')
        and cells.attack_family = 'none'
        and ($method is null or cells.method = $method or cells.role = 'noise_floor')
),
forgotten as (
    select cell_id, example_id, label, phi, correct
    from examples
    where split = 'forget'
        and isfinite(phi)
),
compared as (
    select
        audited.dataset,
        audited.architecture,
        audited.forget_set,
        audited.conditions,
        audited.role,
        unlearned.example_id,
        unlearned.label,
        unlearned.phi,
        unlearned.correct,
        retrained.phi as retrained_phi,
        retrained.correct as retrained_correct
    from audited
    join forgotten as unlearned on unlearned.cell_id = audited.cell_id
    join forgotten as retrained
        on retrained.cell_id = audited.reference_cell_id
        and retrained.example_id = unlearned.example_id
),
by_example as (
    select
        dataset,
        architecture,
        forget_set,
        conditions,
        example_id,
        any_value(label) as label,
        count(*) filter (role = 'audited') as models,
        avg(phi - retrained_phi) filter (role = 'audited') as excess,
        avg(abs(phi - retrained_phi)) filter (role = 'audited') as distance,
        avg(abs(phi - retrained_phi)) filter (role = 'noise_floor') as noise_distance,
        avg(cast(correct as double)) filter (role = 'audited') as accuracy,
        avg(cast(retrained_correct as double)) filter (role = 'audited') as retrained_accuracy
    from compared
    group by dataset, architecture, forget_set, conditions, example_id
)
select
    dataset,
    architecture,
    forget_set,
    setting_labels.label as setting_label,
    row_number() over (place order by distance desc, example_id) as rank,
    example_id,
    by_example.label,
    models,
    distance,
    noise_distance,
    excess,
    accuracy,
    retrained_accuracy,
    by_example.conditions
from by_example
left join setting_labels on setting_labels.setting = by_example.conditions
where models > 0
window place as (partition by dataset, architecture, forget_set, by_example.conditions)
qualify rank <= $top
order by dataset, architecture, forget_set, by_example.conditions, rank;
