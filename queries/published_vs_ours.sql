-- How do our values stand beside those that papers print for the same method and metric?
-- shown: paper, row_set, method, metric, published, published_spread, our_method, ours, ci_low, ci_high
-- shown: published_retrained, ours_retrained, published_difference, ours_difference, architecture, note
-- grain: published value and finished cell of ours with the same method and metric
-- param row_set = null: only this set of published rows
-- param method = null: only this method
-- param scope = "all": our layer scope; papers unlearn the whole network
-- Published rows are comparable within one row_set only (for fine-tuning four papers print average gaps of
-- 3.78, .65, 2.06 and 2.79 on the same data), so each side carries its own retrained model. Printed
-- percentages are divided by 100, and forget accuracy (fa) becomes ua = 1 - fa. same_setting: our cell has
-- the paper's data set, architecture and forget set.
-- mark: P the paper, C code or logs, 2 a secondary copy, R from memory. Misprints are left out, and so are
-- membership rates of single attacks, which also need the attack and its shadow models to be the same.
with printed as (
    select
        row_set,
        paper,
        mark,
        dataset,
        architecture,
        forget_set,
        method,
        note,
        if(metric = 'fa', 'ua', metric) as metric,
        if(metric = 'fa', 1 - value / 100, if(unit = 'percent', value / 100, value)) as value,
        if(unit = 'percent', spread / 100, spread) as spread
    from published
    where misprint = false
        and unit in ('percent', 'fraction')
        and metric not in ('auc', 'tpr', 'balanced_accuracy')
        and ($row_set is null or row_set = $row_set)
),
compared as (
    select
        printed.*,
        gold.value as retrained
    from printed
    left join printed as gold
        on gold.row_set = printed.row_set
        and gold.metric = printed.metric
        and gold.method = 'retrain'
)
select
    compared.row_set,
    compared.paper,
    compared.mark,
    compared.method,
    compared.metric,
    compared.value as published,
    compared.spread as published_spread,
    compared.retrained as published_retrained,
    compared.value - compared.retrained as published_difference,
    ours.method as our_method,
    ours.value as ours,
    ours.ci_low,
    ours.ci_high,
    ours.retrained as ours_retrained,
    ours.difference as ours_difference,
    coalesce(
        ours.dataset = compared.dataset
        and ours.architecture = compared.architecture
        and ours.forget_set = compared.forget_set,
        false
    ) as same_setting,
    compared.dataset as published_dataset,
    ours.dataset,
    compared.architecture as published_architecture,
    ours.architecture,
    compared.forget_set as published_forget_set,
    ours.forget_set,
    ours.seed,
    setting_labels.label as setting_label,
    compared.note,
    ours.cell_id,
    ours.setting
from compared
join leaderboard as ours
    on split_part(ours.method, ':', 1) = compared.method
    and ours.metric = compared.metric
left join setting_labels on setting_labels.setting = ours.setting
where ours.label is null
    and ours.scope = $scope
    and ($method is null or compared.method = $method)
    and (ours.metric <> 'mia_efficacy' or ours.variant = 'svc_confidence')
order by
    compared.row_set, compared.method, compared.metric, ours.dataset, ours.architecture, ours.forget_set, ours.seed,
    ours.cell_id;
