-- Attacks on shadow models, pair by pair.

-- Both kinds of attack in game G2 on one unlearned shadow model: which targets did it forget, which has it never seen? One
-- row per pair of shadow models, with the mean AUC of its two models, at the end of unlearning.
-- population: of phi itself, one threshold on the loss for all examples. per_example: of the likelihood ratio of U-LiRA with
-- one variance (variance = "fixed"), (m1 - m0) (phi - (m1 + m0) / 2), where m1 and m0 are the means of the example's own
-- phi, forgotten and never seen. Both learn from all other pairs alone: these means, and which side of the threshold is
-- which. Ranks are of finite numbers alone: where there are others, both are NaN, of which nothing is said.
create or replace temp view attacks_by_pair as
with targets as (
    select
        {
            dataset: dataset, architecture: architecture, conditions: conditions, method: method, scope: scope,
            forget_set: forget_set, setting: setting
        } as place,
        shadow,
        shadow // 2 as pair,
        example_id,
        state = 'unlearned' as forgotten,
        phi
    from phi_by_shadow
    where epoch is null
        and state in ('unlearned', 'never')
        and method <> 'none'
),
sums as (
    select
        *,
        sum(phi) filter (where forgotten) over example_seen - coalesce(sum(phi) filter (where forgotten) over own, 0)
            as sum1,
        count(*) filter (where forgotten) over example_seen - count(*) filter (where forgotten) over own as n1,
        sum(phi) filter (where not forgotten) over example_seen
            - coalesce(sum(phi) filter (where not forgotten) over own, 0) as sum0,
        count(*) filter (where not forgotten) over example_seen - count(*) filter (where not forgotten) over own as n0
    from targets
    window
        example_seen as (partition by place, example_id),
        own as (partition by place, example_id, pair)
),
scored as (
    select
        place,
        shadow,
        pair,
        forgotten,
        phi,
        (sum1 / n1 - sum0 / n0) * (phi - (sum1 / n1 + sum0 / n0) / 2) as ratio
    from sums
    where n1 > 0 and n0 > 0
),
ranked as (
    select
        *,
        rank() over (run order by phi) + (count(*) over (partition by place, shadow, phi) - 1) / 2
            as phi_rank,
        rank() over (run order by ratio) + (count(*) over (partition by place, shadow, ratio) - 1) / 2
            as ratio_rank
    from scored
    window run as (partition by place, shadow)
),
by_shadow as (
    select
        place,
        pair,
        count(*) filter (where forgotten) as n1,
        count(*) - n1 as n0,
        bool_and(isfinite(phi) and isfinite(ratio)) as is_finite,
        if(is_finite, (sum(phi_rank) filter (where forgotten) - n1 * (n1 + 1) / 2) / (n1 * n0), 'nan'::double) as raw,
        if(is_finite, (sum(ratio_rank) filter (where forgotten) - n1 * (n1 + 1) / 2) / (n1 * n0), 'nan'::double)
            as per_example
    from ranked
    group by place, pair, shadow
    having n1 > 0 and n0 > 0
),
by_pair as (
    select place, pair, avg(raw) as raw, avg(per_example) as per_example
    from by_shadow
    group by all
)
select
    place.dataset as dataset,
    place.architecture as architecture,
    place.conditions as conditions,
    place.method as method,
    place.scope as scope,
    place.forget_set as forget_set,
    place.setting as setting,
    pair,
    if(sum(raw) over others - raw < (count(*) over others - 1) / 2, 1 - raw, raw) as population,
    per_example
from by_pair
window others as (partition by place);
