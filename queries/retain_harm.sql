-- Does unlearning expose the examples that were to be kept, more than retraining without the forgotten does?
-- grain: finished cell of game G3 and measure of harm
-- param forget_set = null: only this forget set
-- Each retained example's AUC after unlearning (G3) against before (G0), under the same attack with the same
-- options and in the same runs, from different halves of the shadow models. retain_harm_share_worse is one half
-- and retain_harm_auc_change is 0 where nothing happened; control is the same for retrained models. worse: the
-- whole interval of the difference lies above 0.
select
    dataset,
    architecture,
    forget_set,
    attack,
    metric,
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
where metric in ('retain_harm_share_worse', 'retain_harm_auc_change')
    and attack_family = 'per_example'
    and leaderboard.label is null
    and ($forget_set is null or forget_set = $forget_set)
order by dataset, architecture, forget_set, attack, metric, role, method, scope, seed, leaderboard.setting, cell_id;
