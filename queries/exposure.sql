-- Which forget examples does a membership attack still recognise, more than it does in a retrained model?
-- grain: membership cell of an audited model, statistic and forget example
-- param family = "per_example": per_example, or population
-- param forget_set = null: only this forget set
-- param method = null: only this method
-- threshold is the score that 1 % of the same cell's non-members exceed; flagged: above it. A per-example attack scores
-- an example under many shadow models: score is the median, so flagged is what holds under most. retrained_flagged: the
-- same under the retrained model, where being flagged says nothing about memory. Of cells measured more than once the
-- latest counts.
with latest as (
    select *
    from latest_cells
    where attack_family = $family
        and ($forget_set is null or forget_set = $forget_set)
        and ($method is null or method = $method or role = 'reference')
),
scored as (
    select
        cells.cell_id,
        cells.model_id,
        cells.reference_id,
        cells.role,
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.method,
        cells.scope,
        cells.seed,
        cells.attack,
        examples.statistic,
        examples.example_id,
        examples.label,
        examples.member,
        examples.split,
        examples.score
    from examples
    join latest as cells on cells.cell_id = examples.cell_id
    where examples.score is not null
        and examples.member is not null
),
thresholds as (
    select cell_id, statistic, quantile_disc(score, 0.99) as threshold
    from scored
    where not member
    group by all
),
members as (
    select
        * exclude (score, member),
        median(score) as score
    from scored
    where member
        and split = 'forget'
    group by all
),
judged as (
    select
        members.*,
        thresholds.threshold,
        members.score > thresholds.threshold as flagged
    from members
    join thresholds
        on thresholds.cell_id = members.cell_id
        and thresholds.statistic is not distinct from members.statistic
)
select
    ours.dataset,
    ours.architecture,
    ours.forget_set,
    ours.attack,
    ours.statistic,
    ours.method,
    ours.scope,
    ours.role,
    ours.seed,
    ours.example_id,
    ours.label,
    ours.score,
    ours.threshold,
    ours.flagged,
    theirs.score as retrained_score,
    theirs.flagged as retrained_flagged
from judged as ours
left join judged as theirs
    on theirs.model_id = ours.reference_id
    and theirs.role = 'reference'
    and theirs.attack = ours.attack
    and theirs.forget_set = ours.forget_set
    and theirs.statistic is not distinct from ours.statistic
    and theirs.example_id = ours.example_id
where ours.role <> 'reference'
order by
    ours.dataset, ours.architecture, ours.forget_set, ours.attack, ours.statistic, ours.method, ours.scope, ours.seed,
    ours.score desc, ours.example_id;
