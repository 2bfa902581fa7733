-- Does unlearning cost adversarial robustness next to retraining, at each attack and eps?
-- shown: method, scope, attack, eps, value, robust_drop, retrained, difference, forget_set, architecture
-- shown: seed, split, noise_floor, setting_label
-- grain: finished cell under an adversarial attack, split and eps
-- param split = null: only this split
-- param attack = null: only this attack
-- robust_drop is accuracy at eps 0 minus robust accuracy, of the same model on the same examples.
-- zero_gradient_share: the part of the value that the attack could not try, as its gradient vanishes.
-- masked_gradients: that part exceeds the margin of robust accuracy, or an attack that knows no scale of
-- logits leaves less than this one, beyond the interval (view gradient_masking).
with robust as (
    select *
    from leaderboard
    where metric = 'robust_accuracy'
        and label is null
        and ($split is null or split = $split)
        and ($attack is null or attack = $attack)
)
select
    robust.dataset,
    robust.architecture,
    robust.forget_set,
    robust.attack,
    robust.split,
    robust.variant,
    robust.param as eps,
    robust.method,
    robust.scope,
    robust.seed,
    robust.role,
    setting_labels.label as setting_label,
    robust.value,
    robust.ci_low,
    robust.ci_high,
    clean.value - robust.value as robust_drop,
    robust.retrained,
    robust.difference,
    robust.difference_low,
    robust.difference_high,
    robust.noise_floor,
    masking.zero_gradient_share,
    masking.masked_gradients,
    robust.n,
    robust.higher_is,
    robust.setting,
    robust.conditions
from robust
left join gradient_masking as masking
    on masking.cell_id = robust.cell_id
    and masking.split = robust.split
    and masking.eps = robust.param
left join setting_labels on setting_labels.setting = robust.setting
left join robust as clean
    on clean.cell_id = robust.cell_id
    and clean.split = robust.split
    and clean.variant = robust.variant
    and clean.param = 0
order by
    robust.dataset,
    robust.architecture,
    robust.forget_set,
    robust.attack,
    robust.split,
    robust.variant,
    eps,
    robust.role,
    robust.method,
    robust.scope,
    robust.seed,
    robust.setting;
