-- Of which methods do results lack models that a claim compares?
-- grain: method, setting and scope of which some are missing
-- param dataset
-- param architecture
-- param conditions
-- param attack
-- param scopes
-- param needs
-- param sequences
-- param controls
-- Each is wanted on every original and forget set on which one of the settings `needs` (null: of any audited method) was
-- asked for, if it was asked for on one of them; sequences: only methods that
-- take groups of examples in an order. finished, failed, not_run: how many
-- of `wanted` there are, have failed, or have no row although a run has asked for them; of the rest none has.
with ordered as (
    select setting from settings
    where key = 'method.order' and trim(value, '"') in ('high_to_low', 'low_to_high', 'shuffled')
    union
    select setting from asked_cells
    where method_params_json ->> '$.order' in ('high_to_low', 'low_to_high', 'shuffled')
),
there as (
    select method, role, setting, scope, seed, forget_set, state
    from planned_cells
    where dataset = $dataset
        and architecture = $architecture
        and conditions = $conditions
        and attack = $attack
        and (role in ('audited', 'reference') or $controls)
        and (role <> 'audited' or list_contains($scopes, scope))
        and (not $sequences or role <> 'audited' or setting in (select setting from ordered))
),
wanted as (
    select distinct seed, forget_set
    from there
    where role = 'audited' and ($needs is null or list_contains($needs, setting))
),
asked as (
    select distinct method, role, setting, scope
    from there
    semi join wanted using (seed, forget_set)
)
select
    asked.method,
    asked.role,
    asked.scope,
    coalesce(setting_labels.label, '') as label,
    count(*) as wanted,
    count(*) filter (where state = 'finished') as finished,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'not run') as not_run
from asked
cross join wanted
left join there using (method, role, setting, scope, seed, forget_set)
left join setting_labels on setting_labels.setting = asked.setting
group by asked.method, asked.role, asked.scope, asked.setting, label
having finished < wanted
order by asked.role <> 'reference', asked.method, asked.scope, label;
