-- Which canaries were planted in the shadow models, and how many of them does a model learn?
-- grain: set of canaries, architecture and set of shadow models
-- param canary_kind = null: mislabelled or out_of_distribution
-- images: where the images of out-of-distribution canaries come from. true_label: canaries whose random label is
-- that of the example in whose place they stand. learnt: canaries that one shadow model trains on, half of them
-- on average, each by a fair coin of its pair. The table `canaries` has a row for each: its place, its label,
-- the image that it shows.
with planted as (
    select
        canaries_id,
        any_value(dataset) as dataset,
        any_value(canary_kind) as canary_kind,
        any_value(images) as images,
        count(*) as canaries,
        count(*) filter (where label = original_label) as true_label
    from canaries
    where $canary_kind is null or canary_kind = $canary_kind
    group by canaries_id
),
learnt as (
    select
        shadows.canaries_id,
        shadows.architecture,
        shadows.shadow_set,
        shadows.shadow_id,
        count(*) filter (
            where get_bit(
                cast(shadows.in_mask as bit),
                cast(8 * (canaries.example_id // 8) + 7 - canaries.example_id % 8 as integer)
            ) = 1
        ) as learnt
    from shadows
    join canaries on canaries.canaries_id = shadows.canaries_id
    where shadows.shadow_set in (select shadow_set from plan_shadow_sets)
    group by shadows.canaries_id, shadows.architecture, shadows.shadow_set, shadows.shadow_id
)
select
    planted.dataset,
    learnt.architecture,
    planted.canary_kind,
    planted.images,
    planted.canaries,
    planted.true_label,
    count(*) as shadows,
    min(learnt.learnt) as learnt_low,
    avg(learnt.learnt) as learnt_mean,
    max(learnt.learnt) as learnt_high,
    planted.canaries_id,
    learnt.shadow_set
from planted
join learnt on learnt.canaries_id = planted.canaries_id
group by all
order by planted.dataset, learnt.architecture, planted.canary_kind, planted.canaries_id,
    learnt.shadow_set;
