-- Is an architecture of these results a language model?
-- grain: one row, or none
select distinct 'language' as objective
from settings
join plan_cells on plan_cells.setting = settings.setting
where regexp_matches(key, '(^|[.])architecture[.](language|transformers)$')
order by objective;
