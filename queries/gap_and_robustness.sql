-- Where does each model stand in evenness over classes and in robust accuracy?
-- shown: architecture, forget_set, method, scope, attack, robust_accuracy, gap, definition, seed
-- grain: finished cell under an adversarial attack, at its largest eps, and fairness definition
-- param definition = null: only this definition of the gap
-- param split = "test": where robust accuracy is measured
-- gap is the mean over layers; gap_low and gap_high are the means of the ends of the layers' intervals, which is wider
-- than an interval of the mean. masked: robust_accuracy is an upper bound, for gradients vanish or an attack blind to
-- the scale of logits found more; null where nothing could tell (view gradient_masking).
with even as (
    select
        plan_cells.model_id,
        plan_cells.forget_set,
        setting_parts.surroundings,
        layers.definition,
        avg(layers.gap) as gap,
        avg(layers.ci_low) as gap_low,
        avg(layers.ci_high) as gap_high
    from layers
    join plan_cells on plan_cells.cell_id = layers.cell_id
    left join setting_parts on setting_parts.setting = plan_cells.setting
    where layers.label is null
        and isfinite(layers.gap)
        and ($definition is null or layers.definition = $definition)
    group by all
),
robust as (
    select
        plan_cells.*,
        setting_parts.surroundings,
        metrics.param as eps,
        metrics.value,
        metrics.ci_low,
        metrics.ci_high,
        masking.masked_gradients as masked
    from metrics
    join plan_cells on plan_cells.cell_id = metrics.cell_id
    left join setting_parts on setting_parts.setting = plan_cells.setting
    left join gradient_masking as masking
        on masking.cell_id = metrics.cell_id
        and masking.split = metrics.split
        and masking.eps = metrics.param
    where metrics.metric = 'robust_accuracy'
        and metrics.label is null
        and metrics.split = $split
    qualify metrics.param = max(metrics.param) over (partition by metrics.cell_id)
)
select
    robust.dataset,
    robust.architecture,
    robust.attack,
    robust.eps,
    even.definition,
    robust.forget_set,
    robust.role,
    robust.method,
    robust.scope,
    robust.seed,
    setting_labels.label as setting_label,
    even.gap,
    even.gap_low,
    even.gap_high,
    robust.value as robust_accuracy,
    robust.ci_low as robust_accuracy_low,
    robust.ci_high as robust_accuracy_high,
    robust.masked,
    robust.setting
from robust
left join setting_labels on setting_labels.setting = robust.setting
join even
    on even.model_id = robust.model_id
    and even.forget_set = robust.forget_set
    and even.surroundings is not distinct from robust.surroundings
order by
    robust.dataset, robust.architecture, robust.attack, even.definition, robust.forget_set, robust.role, robust.method,
    robust.scope, robust.seed, robust.setting;
