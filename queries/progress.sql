-- How far is the sweep, by axis?
-- grain: axis and value
with places as (
    unpivot (
        select
            status,
            architecture,
            method,
            scope,
            attack,
            forget_set,
            cast(seed as varchar) as seed
        from cells
    )
    on architecture, method, scope, attack, forget_set, seed
    into name axis value place
)
select
    axis,
    place,
    count(*) filter (where status = 'finished') as finished,
    count(*) filter (where status = 'failed') as failed
from places
group by axis, place
order by axis, place;
