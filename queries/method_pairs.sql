-- How do two methods differ from each other on each measure?
-- grain: dataset, architecture, forget set, attack, measure (split, variant, param, game), conditions and two models
-- shown: method!, scope, other_method!, other_scope, metric, split, difference!, difference_low, difference_high, value
-- shown: other_value, seeds, attack, variant, param, game, forget_set, architecture
-- param forget_set = null: only this forget set
-- param method = null: pairs of which one is of this method
-- param other = null: and the other of this
-- param metric = null: only this metric
-- param most = null from 2: only places (architecture and forget set) with at most so many audited models
-- difference: the value of the one less that of the other, at each seed from the same original model, mean over the
-- seeds that both have. Its 95 % interval takes three seeds: Student's t over them, and never within the mean ends of
-- the seeds' own intervals, which take the two models as independent; of a metric that compares with the retrained
-- model there is none where a seed has none. no_interval says why there is none. Of many pairs some intervals miss 0
-- by chance, and no verdict rests on them. Models of one name are told apart by their setting.
with audited as (
    select
        {
            dataset: cells.dataset, architecture: cells.architecture, forget_set: cells.forget_set,
            conditions: cells.conditions, attack: cells.attack, metric: metrics.metric, split: metrics.split,
            variant: metrics.variant, param: metrics.param, game: metrics.game
        } as measure,
        {
            method: cells.method, scope: cells.scope, setting: coalesce(model_settings.of_method, '')
        } as model,
        cells.seed,
        metrics.value,
        metrics.ci_low,
        metrics.ci_high,
        metrics.higher_is
    from metrics
    join plan_cells as cells on cells.cell_id = metrics.cell_id
    left join model_settings on model_settings.setting = cells.setting
    where cells.role = 'audited'
        and metrics.label is null
        and ($forget_set is null or cells.forget_set = $forget_set)
    qualify $most is null
        or count(distinct model) over (
            partition by cells.dataset, cells.architecture, cells.forget_set
        ) <= $most
),
by_seed as (
    select
        one.measure,
        one.model,
        other.model as other_model,
        one.value,
        other.value as other_value,
        one.value - other.value as difference,
        difference_low(one.value, one.ci_low, one.ci_high, other.value, other.ci_low, other.ci_high) as low,
        difference_high(one.value, one.ci_low, one.ci_high, other.value, other.ci_low, other.ci_high) as high,
        one.higher_is
    from audited as one
    join audited as other
        on other.measure is not distinct from one.measure
        and other.seed = one.seed
        and other.model > one.model
    where ($metric is null or one.measure.metric = $metric)
        and ($method is null or one.model.method = $method or other.model.method = $method)
        and ($other is null or one.model.method = $other or other.model.method = $other)
        and (
            $method is null
            or $other is null
            or [one.model.method, other.model.method] in ([$method, $other], [$other, $method])
        )
)
select
    measure.dataset as dataset,
    measure.architecture as architecture,
    measure.forget_set as forget_set,
    measure.attack as attack,
    measure.metric as metric,
    measure.split as split,
    measure.variant as variant,
    measure.param as param,
    measure.game as game,
    model.method as method,
    model.scope as scope,
    setting_labels.label as setting_label,
    other_model.method as other_method,
    other_model.scope as other_scope,
    other_labels.label as other_setting_label,
    count(*) as seeds,
    avg(value) as value,
    avg(other_value) as other_value,
    avg(difference) as difference,
    mean_low(difference, by_seed.low, compares, declared.low - declared.high, declared.high - declared.low)
        as difference_low,
    mean_high(difference, by_seed.high, compares, declared.low - declared.high, declared.high - declared.low)
        as difference_high,
    case
        when count(*) < 3 then 'it takes 3 seeds, here ' || if(count(*) = 1, 'is 1', 'are ' || count(*))
        when not isfinite(avg(difference)) then 'no finite values'
        when difference_low is null then 'a seed has none'
    end as no_interval,
    by_seed.higher_is,
    model.setting as setting,
    other_model.setting as other_setting,
    measure.conditions as conditions
from by_seed
left join setting_labels on setting_labels.setting = model.setting
left join setting_labels as other_labels on other_labels.setting = other_model.setting
left join metric_declarations as declared on declared.metric = measure.metric and declared.reading = ''
group by measure, model, other_model, setting_labels.label, other_labels.label, by_seed.higher_is
order by
    dataset, architecture, forget_set, attack, metric, split, variant, param, game, method, scope, setting,
    other_method, other_scope, other_setting, conditions;
