-- Macros and views over the result tables; made in every query session and shipped with every export.

-- Interval of a difference of two independent estimates from the interval of each: Newcombe (1998), method
-- 10, generalised by Zou and Donner (2008). Both models see the same examples, so it errs on the wide side.
create or replace temp macro difference_low(value, low, high, reference, reference_low, reference_high) as
    value - reference - sqrt((value - low) ** 2 + (reference_high - reference) ** 2);

create or replace temp macro difference_high(value, low, high, reference, reference_low, reference_high) as
    value - reference + sqrt((high - value) ** 2 + (reference - reference_low) ** 2);

-- Interval of Spearman's rank correlation on Fisher's scale, with the variance of Bonett and Wright (2000).
create or replace temp macro spearman_low(rho, n) as
    case
        when n < 4 then null
        when abs(rho) >= 1 then rho
        else tanh(atanh(rho) - 1.959963984540054 * sqrt((1 + rho ** 2 / 2) / (n - 3)))
    end;

create or replace temp macro spearman_high(rho, n) as
    case
        when n < 4 then null
        when abs(rho) >= 1 then rho
        else tanh(atanh(rho) + 1.959963984540054 * sqrt((1 + rho ** 2 / 2) / (n - 3)))
    end;

-- Wilson's interval of a share at 95 %; where hits (misses) are few, the one-sided Poisson limit of Brown, Cai and DasGupta
-- (2001) if that is farther out. greatest and least pass over null: no share, no interval.
create or replace temp macro wilson_low(share, n) as
    case
        when share is null then null
        else greatest(
            0.0,
            least(
                (share + 1.9207294 / n - 1.9599640 * sqrt(share * (1 - share) / n + 0.9603647 / n ** 2))
                    / (1 + 3.8414588 / n),
                case
                    when round(share * n) = 0 then 0.0
                    when round(share * n) <= 10 then [
                        0.0512932944, 0.3553615107, 0.8176914477, 1.3663183971, 1.9701495681,
                        2.6130147443, 3.2853156916, 3.9808228063, 4.6952275617, 5.4254057131
                    ][cast(round(share * n) as integer)] / n
                    else 1.0
                end
            )
        )
    end;

create or replace temp macro wilson_high(share, n) as 1 - wilson_low(1 - share, n);

-- Correlation of ranks within strata, over strata of which several may rest on one original: lists by original of the sums
-- of products (xy) and of squares (xx, yy) of its centred ranks. The interval is the jackknife's over originals, on Fisher's
-- scale, with Student's t: models of one original are not independent, originals are. It needs four.
create or replace temp macro stratified_rho(xy, xx, yy) as list_sum(xy) / sqrt(list_sum(xx) * list_sum(yy));

create or replace temp macro stratified_half_width(xy, xx, yy) as
    t975(len(xy) - 1) * (len(xy) - 1) / sqrt(len(xy)) * list_stddev_samp(
        list_transform(
            range(1, len(xy) + 1),
            lambda i: atanh(
                (list_sum(xy) - xy[i]) / sqrt((list_sum(xx) - xx[i]) * (list_sum(yy) - yy[i]))
            )
        )
    );

-- Why there is no interval; null where there is one.
create or replace temp macro stratified_without(xy, xx, yy) as
    case
        when list_sum(xx) = 0 or list_sum(yy) = 0 then 'equal values in every stratum'
        when len(xy) < 4 then 'an interval needs 4 originals (seeds)'
        when abs(stratified_rho(xy, xx, yy)) > 1 - 1e-9
            or len(
                list_filter(
                    range(1, len(xy) + 1),
                    lambda i: (list_sum(xx) - xx[i]) * (list_sum(yy) - yy[i])
                        <= (list_sum(xy) - xy[i]) ** 2 * (1 + 1e-9)
                )
            ) > 0 then 'equal order in every stratum, with or without one original'
    end;

create or replace temp macro stratified_low(xy, xx, yy) as
    case
        when stratified_without(xy, xx, yy) is null
            then tanh(atanh(stratified_rho(xy, xx, yy)) - stratified_half_width(xy, xx, yy))
    end;

create or replace temp macro stratified_high(xy, xx, yy) as
    case
        when stratified_without(xy, xx, yy) is null
            then tanh(atanh(stratified_rho(xy, xx, yy)) + stratified_half_width(xy, xx, yy))
    end;

-- One row per finished cell of the plan and metric, by class too (label): the value, that of the retrained model of
-- the same forget set, architecture and seed under the same conditions, their difference, and the noise floor: how
-- much a second retrained model differs from the first. Where both rest on the same shadow models the difference was
-- measured paired: its interval is Student's t of difference_error, which is null for every other row.
create or replace temp view leaderboard as
with measured as (
    select
        cells.cell_id,
        cells.model_id,
        cells.group_id,
        cells.setting,
        cells.conditions,
        cells.run_id,
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        cells.forget_size,
        cells.method,
        cells.scope,
        cells.seed,
        cells.role,
        cells.attack,
        cells.attack_family,
        cells.num_shadows,
        metrics.metric,
        metrics.split,
        metrics.variant,
        metrics.label,
        metrics.param,
        metrics.game,
        metrics.value,
        metrics.ci_low,
        metrics.ci_high,
        metrics.n,
        metrics.higher_is,
        metrics.difference as paired_difference,
        metrics.difference_error,
        metrics.difference_df,
        paired.reference_cell_id,
        reference.value as retrained,
        reference.ci_low as retrained_low,
        reference.ci_high as retrained_high
    from metrics
    join plan_cells as cells on cells.cell_id = metrics.cell_id
    left join plan_references as paired on paired.cell_id = metrics.cell_id
    left join metrics as reference
        on reference.cell_id = paired.reference_cell_id
        and reference.metric = metrics.metric
        and reference.split = metrics.split
        and reference.variant = metrics.variant
        and reference.label is not distinct from metrics.label
        and reference.param is not distinct from metrics.param
        and reference.game is not distinct from metrics.game
),
noise as (
    select
        reference_cell_id,
        metric,
        split,
        variant,
        label,
        param,
        game,
        avg(abs(value - retrained)) as noise_floor
    from measured
    where role = 'noise_floor'
    group by all
)
select
    measured.* exclude (reference_cell_id, paired_difference),
    coalesce(measured.paired_difference, measured.value - measured.retrained) as difference,
    case
        when measured.cell_id = measured.reference_cell_id then 0.0
        when measured.paired_difference is not null
            then measured.paired_difference - t975(measured.difference_df) * measured.difference_error
        else difference_low(value, ci_low, ci_high, retrained, retrained_low, retrained_high)
    end as difference_low,
    case
        when measured.cell_id = measured.reference_cell_id then 0.0
        when measured.paired_difference is not null
            then measured.paired_difference + t975(measured.difference_df) * measured.difference_error
        else difference_high(value, ci_low, ci_high, retrained, retrained_low, retrained_high)
    end as difference_high,
    noise.noise_floor
from measured
left join noise
    on noise.reference_cell_id = measured.reference_cell_id
    and noise.metric = measured.metric
    and noise.split = measured.split
    and noise.variant = measured.variant
    and noise.label is not distinct from measured.label
    and noise.param is not distinct from measured.param
    and noise.game is not distinct from measured.game;

-- One row per model, forget set and surroundings that a population attack was run on: the AUC of its loss threshold. Of
-- several such attacks, or settings of one, it is under that which most models at the place have met, so that models,
-- and seeds of a model, that are put beside each other were measured alike; a model that has not met it has no row.
create or replace temp view loss_threshold_auc as
with met as (
    select
        cells.dataset,
        cells.architecture,
        cells.forget_set,
        setting_parts.surroundings,
        cells.model_id,
        cells.attack,
        cells.conditions,
        metrics.split,
        metrics.game,
        metrics.value as auc
    from metrics
    join plan_cells as cells on cells.cell_id = metrics.cell_id
    left join setting_parts on setting_parts.setting = cells.setting
    where metrics.metric = 'auc'
        and metrics.variant = 'loss_threshold'
        and metrics.label is null
),
counted as (
    select *, count(distinct model_id) over same as models
    from met
    window same as (
        partition by dataset, architecture, forget_set, surroundings, attack, conditions, split, game
    )
)
select * exclude (models)
from counted
qualify dense_rank() over (
    partition by dataset, architecture, forget_set, surroundings
    order by models desc, attack, conditions, split, game
) = 1;

-- The work on each shadow model behind the cells, as trained or under a method; stage_id names its observations.
create or replace temp view plan_shadow_stages as
select model_id as stage_id, shadow_set, setting, dataset, dataset_digest
from plan_models
where kind = 'shadow';

-- One row per cell or model that failed.
create or replace temp view failures as
select
    'cell' as what,
    cell_id as id,
    run_id,
    dataset,
    architecture,
    method,
    scope,
    attack,
    forget_set,
    seed,
    error_type,
    error,
    finished_at
from asked_cells
where status = 'failed'
union all
select
    'model' as what,
    model_id as id,
    null as run_id,
    dataset,
    architecture,
    method,
    scope,
    null as attack,
    forget_set,
    seed,
    error_type,
    error,
    finished_at
from plan_models
where status = 'failed';

-- One row per stage, device, setting and what was worked on: a model, or a cell of a group of shadow models. Of the
-- stages behind the plan alone, whichever run has paid for them. What shadow models took, trained and unlearned, stands
-- in their own rows (stage 'shadow').
create or replace temp view cost_by_stage as
with paid as (
    select
        stage_id,
        model_id,
        stage,
        device,
        seconds,
        device_seconds,
        peak_bytes,
        samples,
        forward_samples,
        trainable_parameters
    from costs
    union all by name
    select
        model_id,
        'shadow' as stage,
        device,
        seconds,
        device_seconds,
        peak_bytes,
        samples,
        forward_samples,
        trainable_parameters
    from plan_models
    where kind = 'shadow'
        and seconds is not null
)
select
    paid.stage,
    paid.device,
    coalesce(models.dataset, cells.dataset) as dataset,
    coalesce(models.architecture, cells.architecture) as architecture,
    coalesce(models.method, cells.method) as method,
    coalesce(models.scope, cells.scope) as scope,
    cells.attack,
    coalesce(cells.setting, models.setting) as setting,
    count(*) as stages,
    sum(paid.seconds) as seconds,
    median(paid.seconds) as median_seconds,
    sum(paid.device_seconds) as device_seconds,
    max(paid.peak_bytes) as peak_bytes,
    cast(sum(paid.samples) as bigint) as samples,
    cast(sum(paid.forward_samples) as bigint) as forward_samples,
    max(paid.trainable_parameters) as trainable_parameters
from paid
left join plan_models as models on models.model_id = paid.model_id
left join asked_cells as cells on cells.cell_id = paid.stage_id
where models.model_id is not null
    or cells.cell_id is not null
group by all;
