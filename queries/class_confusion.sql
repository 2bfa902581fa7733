-- Which classes does unlearning take for which, more or less often than retraining does?
-- shown: method!, scope, split, label!, predicted!, share, retrained, difference!, difference_low, difference_high
-- shown: examples, seeds, forget_set, architecture, setting_label
-- grain: dataset, architecture, forget set, method, scope, setting, split, class (label) and predicted class
-- param forget_set = null: only this forget set
-- param method = null: only this method
-- param split = null: forget, retain, test or validation
-- share: of the examples of a class those for which a model answers the predicted class (one without attack), mean over
-- seeds; retrained: the same of the retrained model of each seed. Pairs that neither gives at any seed have no row. The
-- interval of the difference takes three seeds: Student's t over them, and never within the mean ends of the seeds'
-- own (Wilson's of both models, taken as independent); each is for itself, of many some miss 0 by chance. Models
-- of documents have no classes.
with answered as (
    select cell_id, split, label, predicted, count(*) as times
    from examples
    where attack = 'none'
        and label is not null
        and predicted is not null
        and ($split is null or split = $split)
    group by all
),
compared as (
    select
        cells.cell_id,
        plan_references.reference_cell_id,
        {
            dataset: cells.dataset, architecture: cells.architecture, forget_set: cells.forget_set, role: cells.role,
            method: cells.method, scope: cells.scope, setting: cells.setting
        } as model
    from plan_cells as cells
    join plan_references on plan_references.cell_id = cells.cell_id
    where cells.role <> 'reference'
        and cells.attack_family = 'none'
        and ($forget_set is null or cells.forget_set = $forget_set)
        and ($method is null or cells.method = $method)
),
-- At a seed without such an answer the share is 0.
given as (
    select compared.model, answered.split, answered.label, answered.predicted
    from compared
    join answered on answered.cell_id = compared.cell_id
    union
    select compared.model, answered.split, answered.label, answered.predicted
    from compared
    join answered on answered.cell_id = compared.reference_cell_id
),
sized as (
    select cell_id, split, label, cast(sum(times) as bigint) as examples
    from answered
    group by all
),
by_seed as (
    select
        given.*,
        own.examples,
        coalesce(ours.times, 0) / own.examples as share,
        coalesce(theirs.times, 0) / reference.examples as retrained,
        wilson_low(coalesce(ours.times, 0) / own.examples, own.examples) as low,
        wilson_high(coalesce(ours.times, 0) / own.examples, own.examples) as high,
        wilson_low(coalesce(theirs.times, 0) / reference.examples, reference.examples) as retrained_low,
        wilson_high(coalesce(theirs.times, 0) / reference.examples, reference.examples) as retrained_high
    from given
    join compared using (model)
    join sized as own using (cell_id, split, label)
    join sized as reference
        on (reference.cell_id, reference.split, reference.label)
        = (compared.reference_cell_id, given.split, given.label)
    left join answered as ours using (cell_id, split, label, predicted)
    left join answered as theirs
        on (theirs.cell_id, theirs.split, theirs.label, theirs.predicted)
        = (compared.reference_cell_id, given.split, given.label, given.predicted)
),
beside as (
    select
        *,
        share - retrained as difference,
        difference_low(share, low, high, retrained, retrained_low, retrained_high) as seed_low,
        difference_high(share, low, high, retrained, retrained_low, retrained_high) as seed_high
    from by_seed
)
select
    model.dataset as dataset,
    model.architecture as architecture,
    model.forget_set as forget_set,
    model.role as role,
    model.method as method,
    model.scope as scope,
    setting_labels.label as setting_label,
    split,
    beside.label,
    predicted,
    count(*) as seeds,
    max(examples) as examples,
    avg(share) as share,
    avg(retrained) as retrained,
    avg(difference) as difference,
    mean_low(difference, seed_low, false, -1, 1) as difference_low,
    mean_high(difference, seed_high, false, -1, 1) as difference_high,
    model.setting as setting
from beside
left join setting_labels on setting_labels.setting = model.setting
group by all
order by dataset, architecture, forget_set, role, method, scope, model.setting, split, beside.label, predicted;
