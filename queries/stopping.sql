-- Is there an epoch at which unlearning could stop and protect every example?
-- grain: dataset, architecture, method, scope, forget set, setting and epoch of unlearning
-- param architecture = null: only this architecture
-- param method = null: only this method
-- Of each example: the standardised difference of its phi (logit of the confidence) where it was unlearned
-- against where it was never seen, over shadow models, 0 where the two cannot be told apart. mean_distance
-- is the mean of its size over examples; chance is what identical models would show. remembered and
-- overforgotten: share of examples more than two standard errors (Welch's) above or below (2 to 4 % each by
-- chance): where no epoch brings both down, no single stopping point protects all. closest_here: share of
-- examples whose smallest distance is at this epoch, and closest_low to closest_high the 5 % and 95 %
-- quantiles of those epochs. Noise alone spreads them too, so the last columns choose on one half of the
-- shadow pairs and measure on the other: held_out_single stops all examples at that half's best epoch,
-- held_out_own each at its own, held_out_gain is the first less the second (above 0: stopping each example
-- at its own epoch protects better), and agreement is Spearman's correlation of the two halves' epochs.
-- No intervals: all of it is over examples that share their shadow models, and an interval that takes them as
-- independent is too narrow. Write with shadows.trajectories = true.
with by_shadow as (
    select
        dataset,
        architecture,
        method,
        scope,
        forget_set,
        setting,
        epoch,
        example_id,
        (shadow // 2) % 2 as half,
        state = 'unlearned' as unlearned,
        shadow,
        phi
    from phi_by_shadow
    where epoch is not null
        and state in ('unlearned', 'never')
        and ($architecture is null or architecture = $architecture)
        and ($method is null or method = $method)
),
placed as (
    select
        {
            dataset: dataset,
            architecture: architecture,
            method: method,
            scope: scope,
            forget_set: forget_set,
            setting: setting
        } as place,
        * exclude (dataset, architecture, method, scope, forget_set, setting)
    from by_shadow
),
sides as (
    select
        place,
        epoch,
        example_id,
        half,
        avg(phi) filter (where unlearned) - avg(phi) filter (where not unlearned) as difference,
        var_samp(phi) filter (where unlearned) + var_samp(phi) filter (where not unlearned) as variances,
        var_samp(phi) filter (where unlearned) / count(*) filter (where unlearned)
            + var_samp(phi) filter (where not unlearned) / count(*) filter (where not unlearned) as squared_error
    from placed
    group by grouping sets ((place, epoch, example_id, half), (place, epoch, example_id))
    having count(*) filter (where unlearned) > 1
        and count(*) filter (where not unlearned) > 1
),
standardised as (
    select
        * exclude (difference, variances, squared_error),
        difference / nullif(sqrt(variances / 2), 0) as separation,
        sqrt(squared_error / nullif(variances / 2, 0)) as error
    from sides
),
closest as (
    select
        place,
        half,
        example_id,
        first(epoch order by abs(separation), epoch) as closest_epoch
    from standardised
    where separation is not null
    group by all
),
by_epoch as (
    select
        place,
        half,
        epoch,
        count(*) as examples,
        avg(abs(separation)) as mean_distance,
        avg(error * sqrt(2 / pi())) as chance,
        avg(cast(separation > 2 * error as double)) as remembered,
        avg(cast(separation < -2 * error as double)) as overforgotten
    from standardised
    where separation is not null
    group by all
),
best_epochs as (
    select place, half, first(epoch order by mean_distance, epoch) as best_epoch
    from by_epoch
    group by all
),
judged_by_example as (
    select
        chosen.place,
        chosen.example_id,
        avg(abs(judged.separation)) filter (where judged.epoch = best_epochs.best_epoch) as single,
        avg(abs(judged.separation)) filter (where judged.epoch = chosen.closest_epoch) as own
    from closest as chosen
    join best_epochs using (place, half)
    join standardised as judged
        on judged.place = chosen.place
        and judged.example_id = chosen.example_id
        and judged.half = 1 - chosen.half
    group by all
),
held_out as (
    select
        place,
        avg(single) as held_out_single,
        avg(own) as held_out_own,
        avg(single - own) as gain
    from judged_by_example
    group by all
),
halves as (
    select
        place,
        max(closest_epoch) filter (where half = 0) as first_epoch,
        max(closest_epoch) filter (where half = 1) as second_epoch
    from closest
    where half is not null
    group by place, example_id
    having count(*) = 2
),
ranked as (
    select
        place,
        rank() over (first_half) + (count(*) over (first_tie) - 1) / 2.0 as first_rank,
        rank() over (second_half) + (count(*) over (second_tie) - 1) / 2.0 as second_rank
    from halves
    window
        first_half as (partition by place order by first_epoch),
        first_tie as (partition by place, first_epoch),
        second_half as (partition by place order by second_epoch),
        second_tie as (partition by place, second_epoch)
),
agreed as (
    select
        place,
        case
            when count(distinct first_rank) > 1 and count(distinct second_rank) > 1
                then corr(first_rank, second_rank)
        end as agreement
    from ranked
    group by all
),
spread as (
    select
        place,
        histogram(closest_epoch) as chosen,
        quantile_disc(closest_epoch, 0.05) as closest_low,
        quantile_disc(closest_epoch, 0.5) as closest_median,
        quantile_disc(closest_epoch, 0.95) as closest_high
    from closest
    where half is null
    group by all
)
select
    by_epoch.place.dataset as dataset,
    by_epoch.place.architecture as architecture,
    by_epoch.place.method as method,
    by_epoch.place.scope as scope,
    by_epoch.place.forget_set as forget_set,
    setting_labels.label as setting_label,
    by_epoch.epoch,
    by_epoch.examples,
    by_epoch.mean_distance,
    by_epoch.chance,
    by_epoch.remembered,
    by_epoch.overforgotten,
    coalesce(spread.chosen[by_epoch.epoch], 0) / by_epoch.examples as closest_here,
    by_epoch.epoch = best_epochs.best_epoch as best_single,
    spread.closest_low,
    spread.closest_median,
    spread.closest_high,
    held_out.held_out_single,
    held_out.held_out_own,
    held_out.gain as held_out_gain,
    agreed.agreement,
    by_epoch.place.setting as setting
from by_epoch
left join setting_labels on setting_labels.setting = by_epoch.place.setting
join best_epochs using (place)
join spread using (place)
left join held_out using (place)
left join agreed using (place)
where by_epoch.half is null
    and best_epochs.half is null
order by dataset, architecture, method, scope, forget_set, by_epoch.place.setting, by_epoch.epoch;
