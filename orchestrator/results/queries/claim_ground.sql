-- Of which claims is there any of what they take?
-- grain: all results, a column for the letter of each claim whose query costs far more than this question
-- What each takes is what its query rests on by its own defaults; with other values of its parameters it is asked anyway.
select
    exists (from metrics where metric = 'robust_accuracy') and exists (from layers) as a,
    exists (from metrics where metric = 'robust_accuracy') as b,
    exists (from plan_cells where scope = 'intermediate+last') as c,
    exists (from plan_models where params_json ->> '$.order' is not null) as h,
    exists (from plan_cells left join base_methods using (setting) where 'twin' in (method, base)) as i;
