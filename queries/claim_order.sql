-- Does the order in which groups of examples are unlearned matter (arXiv 2410.06446)?
-- grain: dataset, architecture, conditions, sequence (base method, groups, their values) and order
-- shown: dataset, architecture, unlearned_first, gap, gap_shuffled, effect!, effect_low, effect_high, margin, verdict!, originals
-- param scope = "all": only models of this layer scope
-- param metric = "accuracy": measure of closeness, on the forget, retain and test set alike
-- param attack = "none": the cells it is taken from
-- param margin = 0.005 from 0 to 1: smallest difference of distances that matters
-- gap: distance to the retrained model of the seed, mean over splits and forget sets, of a sequence (rsu, rum);
-- gap_shuffled: of the same sequence over as many groups of the same examples at random. effect: gap_shuffled less
-- gap, above 0 where the order helps; paired by original, Student's t. unlearned_first: high, the riskiest group,
-- which carries the claim, or low, the reverse. Forget sets count that both have at a seed.
with sequences as (
    select
        place,
        json_merge_patch(params_json, '{"order": null, "ranking": null}') as sequence,
        params_json ->> '$.order' as taken,
        params_json ->> '$.ranking' as ranking,
        seed,
        forget_set,
        gap,
        splits
    from distances_over_splits
    where metric = $metric
        and attack = $attack
        and scope = $scope
        and params_json ->> '$.order' in ('high_to_low', 'low_to_high', 'shuffled')
),
by_original as (
    select
        ordered.place,
        ordered.sequence,
        ordered.ranking,
        ordered.seed,
        if(ordered.taken = 'high_to_low', 'high', 'low') as unlearned_first,
        avg(ordered.gap) as gap,
        avg(shuffled.gap) as gap_shuffled
    from sequences as ordered
    join (
        select * from sequences where taken = 'shuffled'
    ) as shuffled
        on shuffled.place = ordered.place
        and shuffled.sequence = ordered.sequence
        and shuffled.seed = ordered.seed
        and shuffled.forget_set = ordered.forget_set
        and shuffled.splits = ordered.splits
    where ordered.taken <> 'shuffled'
    group by all
),
pooled as (
    select
        place,
        sequence,
        ranking,
        unlearned_first,
        count(*) as originals,
        avg(gap) as gap,
        avg(gap_shuffled) as gap_shuffled,
        avg(gap_shuffled - gap) as effect,
        units_half_width(stddev_samp(gap_shuffled - gap), originals) as half,
        units_without(stddev_samp(gap_shuffled - gap), originals, 'originals (seeds)') as no_interval
    from by_original
    group by all
)
select
    place.dataset as dataset,
    place.architecture as architecture,
    setting_labels.label as setting_label,
    unlearned_first = 'high' as is_claim,
    sequence,
    ranking,
    unlearned_first,
    originals,
    gap,
    gap_shuffled,
    effect,
    effect - half as effect_low,
    effect + half as effect_high,
    $margin as margin,
    claim_verdict(effect - half, effect + half, $margin) as verdict,
    no_interval,
    place.conditions as conditions
from pooled
left join setting_labels on setting_labels.setting = place.conditions
order by all;
