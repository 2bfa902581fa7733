-- Does unlearning expose the examples that were to be kept, more than retraining without the forgotten does?
-- shown: method, scope, forget_set, architecture, attack, statistic, value, control, difference, worse
-- shown: examples, seed, setting_label
-- grain: finished cell of game G3 and statistic
-- param forget_set = null: only this forget set
-- retain_harm_auc_change is the mean, over retained examples, of each one's AUC after unlearning minus before, under
-- the same attack with the same options in the same runs of the same shadow models: 0 where nothing happened. control
-- is the same for retrained models, and the difference to it is paired by shadow model. worse: the whole interval of
-- the difference lies above 0. Which examples are less well predicted: worse_than_before.
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
    if(variant = '', 'phi', variant) as statistic,
    role,
    method,
    scope,
    seed,
    setting_labels.label as setting_label,
    value,
    ci_low as value_low,
    ci_high as value_high,
    retrained as control,
    retrained_low as control_low,
    retrained_high as control_high,
    difference,
    difference_low,
    difference_high,
    difference_low > 0 as worse,
    n as examples,
    cell_id,
    leaderboard.setting
from leaderboard
left join setting_labels on setting_labels.setting = leaderboard.setting
where metric = 'retain_harm_auc_change'
    and attack_family = 'per_example'
    and leaderboard.label is null
    and ($forget_set is null or forget_set = $forget_set)
order by dataset, architecture, forget_set, attack, metric, variant, role, method, scope, seed,
    leaderboard.setting, cell_id;
