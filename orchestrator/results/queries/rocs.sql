-- What are the ROC curves of some membership cells, as roc_one_cell has that of one?
-- grain: cell, statistic and distinct score, from the strictest threshold to the loosest
-- param cell_ids
with scored as (
    select
        cell_id,
        coalesce(statistic, '') as statistic,
        score,
        count(*) filter (where member) as members,
        count(*) filter (where not member) as non_members
    from examples
    where list_contains($cell_ids, cell_id)
        and score is not null
        and member is not null
    group by all
)
select
    cell_id,
    statistic,
    score as threshold,
    cast(sum(non_members) over descending as bigint) as false_positives,
    cast(sum(members) over descending as bigint) as true_positives,
    cast(sum(non_members) over whole as bigint) as non_members,
    cast(sum(members) over whole as bigint) as members
from scored
window
    whole as (partition by cell_id, statistic),
    descending as (partition by cell_id, statistic order by score desc rows unbounded preceding)
order by cell_id, statistic, threshold desc;
