-- How does each unlearned model compare with retraining, at a glance?
-- shown: architecture, forget_set!, method!, scope, verdict!, forget_accuracy, average_gap, gap_low, gap_high
-- shown: mia_auc, cost, test_accuracy, retain_accuracy, robust, fairness, js_forget, extraction, seeds
-- shown: setting_label
-- grain: dataset, architecture, forget set, method, scope and setting, over seeds
-- param forget_set = null: only this forget set
-- param architecture = null: only this architecture
-- Means over seeds. average_gap: mean distance of the three accuracies to those of the retrained model; its
-- 95 % interval is Student's t over seeds from three seeds on, and with fewer reaches from the lowest to the
-- highest end of the seeds' own; never within their mean ends;
-- none where a seed has none. The rows of retrain show the
-- reference itself, which is no distance from itself; those of retrain_again the noise of retraining twice,
-- those of no_op doing nothing. robust: test accuracy under the strongest of the attacks, each at its
-- largest eps, that all models at its place have met which met any; none where there is no such attack.
-- Of documents an accuracy is that of their tokens, and extraction the mean strength of extraction of the forgotten.
-- mia_auc: loss threshold, forget against test; of several attacks, or settings of one, that which most
-- models at the place have met. fairness: mean over normalisation layers of the relative
-- fairness gap (norm_sigma). cost: device seconds, with the shared stages that a model rests on, divided by
-- those of the retrained model on the same kind of device. tuning_trials: budget of the search behind the
-- method's values; null where they are those of the configuration. verdict: of the whole model
-- (`model_verdicts`); the retrained ones are not judged.
with surrounded as (
    select plan_cells.*, setting_parts.surroundings
    from plan_cells
    left join setting_parts on setting_parts.setting = plan_cells.setting
),
plain as (
    select
        cell_id,
        max(value) filter (metric in ('accuracy', 'token_accuracy') and split = 'forget') as forget_accuracy,
        max(value) filter (metric in ('accuracy', 'token_accuracy') and split = 'retain') as retain_accuracy,
        max(value) filter (metric in ('accuracy', 'token_accuracy') and split = 'test') as test_accuracy,
        max(value) filter (metric = 'average_gap') as average_gap,
        max(ci_low) filter (metric = 'average_gap') as gap_low,
        max(ci_high) filter (metric = 'average_gap') as gap_high,
        max(value) filter (metric = 'js_to_retrained' and split = 'forget') as js_forget
    from metrics
    where label is null
    group by cell_id
),
fairness as (
    select
        cell_id,
        avg(relative_gap) as fairness
    from layers
    where definition = 'norm_sigma'
        and label is null
    group by cell_id
),
attacked as (
    select
        dataset,
        architecture,
        forget_set,
        surroundings,
        attack,
        conditions,
        model_id
    from surrounded
    where attack_family = 'adversarial'
    group by all
),
shared_attacks as (
    select distinct * exclude (model_id)
    from attacked
    window
        place as (partition by dataset, architecture, forget_set, surroundings),
        met as (partition by dataset, architecture, forget_set, surroundings, attack, conditions)
    qualify count(distinct model_id) over met = count(distinct model_id) over place
),
at_largest_eps as (
    select
        cells.model_id,
        cells.forget_digest,
        cells.surroundings,
        metrics.value
    from metrics
    join surrounded as cells on cells.cell_id = metrics.cell_id
    join shared_attacks
        on shared_attacks.dataset = cells.dataset
        and shared_attacks.architecture = cells.architecture
        and shared_attacks.forget_set = cells.forget_set
        and shared_attacks.attack = cells.attack
        and shared_attacks.conditions = cells.conditions
    where metrics.metric = 'robust_accuracy'
        and metrics.split = 'test'
        and metrics.label is null
    qualify metrics.param = max(metrics.param) over (partition by metrics.cell_id)
),
robust as (
    select
        model_id,
        forget_digest,
        surroundings,
        min(value) as robust
    from at_largest_eps
    group by all
),
extracted as (
    select
        cells.model_id,
        cells.forget_digest,
        cells.surroundings,
        first(metrics.value order by cells.attack, cells.setting) as extraction
    from metrics
    join surrounded as cells on cells.cell_id = metrics.cell_id
    where metrics.metric = 'extraction_strength'
        and metrics.split = 'forget'
        and metrics.label is null
    group by all
),
by_seed as (
    select
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.method,
        cells.scope,
        cells.role,
        cells.tuning_trials,
        cells.setting,
        cells.seed,
        plain.* exclude (cell_id),
        robust.robust,
        membership.auc as mia_auc,
        extracted.extraction,
        fairness.fairness,
        if(
            cells.role = 'ceiling',
            0.0,
            device_ratio(made.device_seconds, made.device, retrained.device_seconds, retrained.device)
        ) as cost
    from surrounded as cells
    join plain on plain.cell_id = cells.cell_id
    left join fairness on fairness.cell_id = cells.cell_id
    left join robust
        on robust.model_id = cells.model_id
        and robust.forget_digest is not distinct from cells.forget_digest
        and robust.surroundings is not distinct from cells.surroundings
    left join loss_threshold_auc as membership
        on membership.model_id = cells.model_id
        and membership.dataset = cells.dataset
        and membership.architecture = cells.architecture
        and membership.forget_set = cells.forget_set
        and membership.surroundings is not distinct from cells.surroundings
    left join extracted
        on extracted.model_id = cells.model_id
        and extracted.forget_digest is not distinct from cells.forget_digest
        and extracted.surroundings is not distinct from cells.surroundings
    left join model_costs as made on made.model_id = cells.model_id
    left join model_costs as retrained on retrained.model_id = cells.reference_id
    where cells.attack_family = 'none'
        and ($forget_set is null or cells.forget_set = $forget_set)
        and ($architecture is null or cells.architecture = $architecture)
)
select
    by_seed.dataset,
    by_seed.architecture,
    by_seed.forget_set,
    by_seed.method,
    by_seed.scope,
    by_seed.role,
    tuning_trials,
    any_value(setting_labels.label) as setting_label,
    any_value(judged.verdict) as verdict,
    count(distinct seed) as seeds,
    avg(forget_accuracy) as forget_accuracy,
    avg(retain_accuracy) as retain_accuracy,
    avg(test_accuracy) as test_accuracy,
    avg(average_gap) as average_gap,
    if(
        by_seed.role = 'reference', avg(average_gap), distance_low(distances_low(average_gap, gap_low))
    ) as gap_low,
    if(by_seed.role = 'reference', avg(average_gap), distances_high(average_gap, gap_high)) as gap_high,
    avg(js_forget) as js_forget,
    avg(mia_auc) as mia_auc,
    avg(extraction) as extraction,
    avg(robust) as robust,
    avg(fairness) as fairness,
    avg(cost) as cost,
    by_seed.setting
from by_seed
left join setting_labels on setting_labels.setting = by_seed.setting
left join setting_verdicts as judged
    on judged.dataset = by_seed.dataset
    and judged.architecture = by_seed.architecture
    and judged.forget_set = by_seed.forget_set
    and judged.method = by_seed.method
    and judged.scope = by_seed.scope
    and judged.role = by_seed.role
    and judged.setting = by_seed.setting
group by
    by_seed.dataset,
    by_seed.architecture,
    by_seed.forget_set,
    by_seed.method,
    by_seed.scope,
    by_seed.role,
    tuning_trials,
    by_seed.setting
order by
    by_seed.dataset,
    by_seed.architecture,
    by_seed.forget_set,
    list_position(['reference', 'noise_floor', 'control', 'ceiling', 'audited'], by_seed.role),
    average_gap nulls last,
    by_seed.method,
    by_seed.scope,
    tuning_trials,
    by_seed.setting
