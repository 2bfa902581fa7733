-- Which forget sets leave copies of their examples in the retain set, so that "forgotten" cannot be decided?
-- grain: dataset and forget set
-- param threshold = null from 0 to 1: difference below which two examples count as near copies; null: the bound of the
-- search itself, 0.03 of images and 0.2 of documents
-- exact: forget examples with a copy of equal pixels among the retained training examples; near: without one, but
-- with a retained example whose thumbnail (at most 16 x 16, pixels in [0, 1]) differs by less than the threshold,
-- root mean square. Compression and slight noise are seen, moved, mirrored and cropped copies are not. Of documents
-- the difference is the share of runs of 8 tokens that two do not share. searched is
-- 0 where the data set was too large to look; then exact and near are null. The closest pair stands last: look at it.
with bounded as (
    select
        *,
        coalesce(
            cast($threshold as double),
            cast(provenance_json ->> '$.retained_copies.near' as double)
        ) as bound
    from forget_sets
),
copies as (
    select
        *,
        coalesce(retained_exact > 0, false) as exact_copy,
        coalesce(retained_exact = 0 and retained_distance < bound, false) as near_copy
    from bounded
)
select
    dataset,
    forget_set,
    forget_digest,
    count(*) as examples,
    count(retained_distance) as searched,
    max(bound) as threshold,
    if(searched > 0, count(*) filter (where exact_copy), null) as exact,
    if(searched > 0, count(*) filter (where near_copy), null) as near,
    list(example_id order by example_id) filter (where exact_copy or near_copy) as example_ids,
    min(retained_distance) as smallest_distance,
    arg_min(example_id, (retained_distance, example_id)) filter (where retained_distance is not null)
        as closest_example,
    arg_min(retained_nearest, (retained_distance, example_id)) filter (where retained_distance is not null)
        as closest_retained
from copies
group by dataset, forget_set, forget_digest
order by dataset, forget_set, forget_digest;
