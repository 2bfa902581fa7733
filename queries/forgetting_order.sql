-- In which order does unlearning let go of examples, and when should it have stopped?
-- grain: dataset, architecture, method, scope, forget set, setting, state and epoch of unlearning, over shadow
-- models and draws
-- param forget_set = null: only this target pool
-- phi is the logit of the confidence in the true label. Unlearned examples should come to rest where never-
-- seen ones are; passing below is forgetting too well. The interval is Student's t over shadow models at 95
-- %.
with by_shadow as (
    select
        dataset,
        architecture,
        method,
        scope,
        pool as forget_set,
        plan_shadow_stages.setting,
        state,
        epoch,
        shadow_id,
        avg(phi) as phi
    from observations
    join plan_shadow_stages using (stage_id)
    where epoch is not null
        and ($forget_set is null or pool = $forget_set)
    group by all
)
select
    dataset,
    architecture,
    method,
    scope,
    forget_set,
    any_value(setting_labels.label) as setting_label,
    state,
    epoch,
    count(*) as shadows,
    avg(phi) as phi,
    avg(phi) - t975(count(*) - 1) * stddev_samp(phi) / sqrt(count(*)) as phi_low,
    avg(phi) + t975(count(*) - 1) * stddev_samp(phi) / sqrt(count(*)) as phi_high,
    by_shadow.setting
from by_shadow
left join setting_labels on setting_labels.setting = by_shadow.setting
group by dataset, architecture, method, scope, forget_set, by_shadow.setting, state, epoch
order by dataset, architecture, method, scope, forget_set, by_shadow.setting, state, epoch;
