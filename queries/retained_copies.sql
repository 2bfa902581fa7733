-- Which forget sets leave copies of their examples in the retain set, so that "forgotten" cannot be decided?
-- grain: dataset and forget set
-- param threshold = 0.03 from 0 to 1: difference of two thumbnails below which they count as near copies
-- exact: forget examples with a copy of equal pixels among the retained training examples; near: without one, but
-- with a retained example whose thumbnail (at most 16 x 16, pixels in [0, 1]) differs by less than the threshold,
-- root mean square. Compression and slight noise are seen, moved, mirrored and cropped copies are not. Of documents
-- the difference is the share of runs of 8 tokens that two do not share; there, ask for 0.2. searched is
-- 0 where the data set was too large to look; then exact and near are null. The closest pair stands last: look at it.
with copies as (
    select
        *,
        coalesce(retained_exact > 0, false) as exact_copy,
        coalesce(retained_exact = 0 and retained_distance < $threshold, false) as near_copy
    from forget_sets
)
select
    dataset,
    forget_set,
    forget_digest,
    count(*) as examples,
    count(retained_distance) as searched,
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
