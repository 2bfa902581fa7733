-- What is the mean of each model on each measure, over its seeds, and what did it cost?
-- grain: dataset, architecture, forget set, method, scope, setting of the model, measure and setting
-- Measures are those of $metrics, beside which stand cost (device seconds next to retraining, of doing nothing 0) and
-- seconds (of the device, with what the model rests on). distance: mean over seeds of |value - retrained|. What
-- compares the retrained model with itself is no estimate: it has no width.
with placed as (
    select
        leaderboard.*,
        coalesce(
            if(leaderboard.role = 'audited', model_settings.of_method, model_settings.of_control), ''
        ) as model_setting,
        declared.compares,
        coalesce(leaderboard.role = 'reference' and declared.compares, false) as itself,
        declared.low,
        declared.high
    from leaderboard
    left join model_settings on model_settings.setting = leaderboard.setting
    left join metric_declarations as declared on declared.metric = leaderboard.metric and declared.reading = ''
    where leaderboard.label is null and list_contains($metrics, leaderboard.metric)
),
priced as (
    select
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.method,
        cells.scope,
        cells.role,
        cells.setting,
        coalesce(
            if(cells.role = 'audited', model_settings.of_method, model_settings.of_control), ''
        ) as model_setting,
        if(cells.role = 'ceiling', 0.0, made.device_seconds) as seconds,
        if(
            cells.role = 'ceiling',
            0.0,
            device_ratio(made.device_seconds, made.device, retrained.device_seconds, retrained.device)
        ) as cost
    from plan_cells as cells
    join model_costs as made on made.model_id = cells.model_id
    left join model_costs as retrained on retrained.model_id = cells.reference_id
    left join model_settings on model_settings.setting = cells.setting
    where cells.attack_family = 'none'
),
costs as (
    unpivot priced on cost, seconds into name metric value value
),
by_measure as (
    select
        dataset, architecture, forget_set, method, scope, role, setting, model_setting, attack, attack_family, metric,
        split, variant, param, game, higher_is,
        count(*) as seeds,
        avg(value) as mean,
        if(bool_or(itself), avg(value), mean_low(value, ci_low, compares, low, high)) as mean_low,
        if(bool_or(itself), avg(value), mean_high(value, ci_high, compares, low, high)) as mean_high,
        stddev_samp(value) as sd,
        avg(abs(difference)) as distance
    from placed
    group by all
    union all by name
    select
        dataset, architecture, forget_set, method, scope, role, setting, model_setting, metric,
        'none' as attack,
        'none' as attack_family,
        '' as split,
        '' as variant,
        'worse' as higher_is,
        count(*) as seeds,
        avg(value) as mean,
        stddev_samp(value) as sd
    from costs
    where list_contains($metrics, metric)
    group by all
)
select
    by_measure.*,
    setting_labels.label as setting_label,
    judged.verdict
from by_measure
left join setting_labels on setting_labels.setting = by_measure.model_setting
left join model_verdicts as judged using (dataset, architecture, forget_set, method, scope, role, model_setting)
order by
    dataset, architecture, forget_set, method, scope, model_setting, attack, metric, split, variant, param, game,
    by_measure.setting;
