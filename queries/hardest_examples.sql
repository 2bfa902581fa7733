-- Which forget examples stay farthest from what the retrained model makes of them?
-- grain: dataset, architecture, forget set and example, over audited models
-- param top = 20: examples per forget set
-- param method = null: only this method
-- phi is the logit of the confidence in the true label.
-- excess above 0: still remembered; below 0: forgotten more than retraining would.
with audited as (
    select
        cells.cell_id,
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        reference.cell_id as reference_cell_id,
        row_number() over (
            partition by cells.cell_id
            order by
                cast(reference.run_id = cells.run_id as integer) desc nulls last,
                reference.finished_at desc
        ) as preference
    from cells
    join cells as reference
        on reference.model_id = cells.reference_id
        and reference.attack = cells.attack
        and reference.role = 'reference'
        and reference.status = 'finished'
    where cells.role = 'audited'
        and cells.status = 'finished'
        and cells.attack_family = 'none'
        and ($method is null or cells.method = $method)
),
forgotten as (
    select cell_id, example_id, label, phi, correct
    from examples
    where split = 'forget'
        and phi is not null
),
compared as (
    select
        audited.dataset,
        audited.architecture,
        audited.forget_set,
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
    where audited.preference = 1
),
by_example as (
    select
        dataset,
        architecture,
        forget_set,
        example_id,
        any_value(label) as label,
        count(*) as models,
        avg(phi - retrained_phi) as excess,
        avg(abs(phi - retrained_phi)) as distance,
        avg(cast(correct as double)) as accuracy,
        avg(cast(retrained_correct as double)) as retrained_accuracy
    from compared
    group by dataset, architecture, forget_set, example_id
)
select
    dataset,
    architecture,
    forget_set,
    row_number() over (place order by distance desc, example_id) as rank,
    example_id,
    label,
    models,
    distance,
    excess,
    accuracy,
    retrained_accuracy
from by_example
window place as (partition by dataset, architecture, forget_set)
qualify rank <= $top
order by dataset, architecture, forget_set, rank;
