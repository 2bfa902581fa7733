-- Which cells an answer rests on. The table `asked_run` has one row: a run, 'all', or null where no run is recorded;
-- put another there, and every view below and every query that ships answers for it.

-- The last run that asked for each cell. Runs are in the order in which they were begun; no clock has a say.
create or replace temp view last_plans as
with ordered as (
    select run_id, row_number() over (order by ordinal, run_id) as place
    from runs
)
select
    plans.cell_id,
    max(ordered.place) as place,
    max_by(ordered.run_id, ordered.place) as run_id
from plans
join ordered on ordered.run_id = plans.run_id
group by plans.cell_id;

-- Cells that a later run replaced because code was edited: another cell at the same place and seed, whose setting
-- differs in versions alone, was asked for by a later run than any that asked for this one.
create or replace temp view superseded_cells as
with settings_known as (
    select distinct setting, unversioned
    from settings
),
placed as (
    select
        cells.cell_id,
        cells.setting,
        settings_known.unversioned,
        coalesce(last_plans.place, 0) as place,
        last_plans.run_id,
        {
            dataset: cells.dataset,
            architecture: cells.architecture,
            method: cells.method,
            scope: cells.scope,
            attack: cells.attack,
            forget_set: cells.forget_set,
            forget_digest: cells.forget_digest,
            seed: cells.seed
        } as stands_at
    from cells
    join settings_known on settings_known.setting = cells.setting
    left join last_plans on last_plans.cell_id = cells.cell_id
)
select
    older.cell_id,
    older.setting,
    older.run_id as last_run_id,
    newer.cell_id as newer_cell_id,
    newer.setting as newer_setting,
    newer.run_id as newer_run_id
from placed as older
join placed as newer
    on newer.stands_at = older.stands_at
    and newer.unversioned = older.unversioned
    and newer.setting <> older.setting
    and newer.place > older.place
qualify row_number() over (partition by older.cell_id order by newer.place desc, newer.cell_id) = 1;

-- Cells that the selected run asked for and that have a row, finished or failed; of all runs those that no later one
-- replaced. Where one name stands for several choices of examples, it gains the first digits of their digest.
create or replace temp view asked_cells as
with chosen as (
    select cells.*
    from cells
    cross join asked_run
    where case
        when asked_run.run_id is null then true
        when asked_run.run_id = 'all' then cells.cell_id not in (select cell_id from superseded_cells)
        else cells.cell_id in (
            select plans.cell_id
            from plans
            join asked_run as asked on asked.run_id = plans.run_id
        )
    end
)
select
    * replace (
        case
            when min(forget_digest) over same_name = max(forget_digest) over same_name then forget_set
            else coalesce(forget_set || ' (' || left(forget_digest, 6) || ')', forget_set)
        end as forget_set
    )
from chosen
window same_name as (partition by dataset, forget_set);

-- Those that have finished: what every number below rests on.
create or replace temp view plan_cells as
select *
from asked_cells
where status = 'finished';

-- All that were asked for, with what became of each: state is finished, failed, or "not run" where there is no row. Plans
-- of results that an older Lethe wrote say of those no more than an id: they are left out, as is a cell without a row at
-- whose place edited code has one.
create or replace temp view planned_cells as
with waiting as (
    select distinct plans.* exclude (run_id)
    from plans
    join asked_run on asked_run.run_id in ('all', plans.run_id)
    where plans.method is not null
        and plans.cell_id not in (select cell_id from cells)
),
unversioned_settings as (
    select distinct setting, unversioned from settings
),
shown as (
    select distinct dataset, forget_digest, forget_set from asked_cells
)
select
    cell_id, setting, conditions, dataset, architecture, method, scope, attack, attack_family, forget_set,
    forget_digest, seed, role, shadow_set, status as state
from asked_cells
union all
select
    waiting.cell_id, waiting.setting, waiting.conditions, waiting.dataset, waiting.architecture, waiting.method,
    waiting.scope, waiting.attack, waiting.attack_family, coalesce(shown.forget_set, waiting.forget_set),
    waiting.forget_digest, waiting.seed, waiting.role, waiting.shadow_set, 'not run'
from waiting
left join shown
    on shown.dataset = waiting.dataset
    and shown.forget_digest is not distinct from waiting.forget_digest
    and starts_with(shown.forget_set, waiting.forget_set)
where not exists (
    select 1
    from asked_cells as done
    join unversioned_settings as theirs on theirs.setting = done.setting
    join unversioned_settings as own on own.unversioned = theirs.unversioned
    where own.setting = waiting.setting
        and (done.dataset, done.architecture, done.method, done.scope, done.attack, done.seed)
        = (waiting.dataset, waiting.architecture, waiting.method, waiting.scope, waiting.attack, waiting.seed)
        and (done.forget_set, done.forget_digest) = (waiting.forget_set, waiting.forget_digest)
);

-- What each setting's method is a named set of values of: the name under which its class is registered.
create or replace temp view base_methods as
select setting, trim(value, '"') as base
from settings
where key = 'method.name';

-- Each finished cell beside that of the model, or of the group, that it is compared with, under the same conditions.
create or replace temp view plan_references as
select
    cells.cell_id,
    min(reference.cell_id) as reference_cell_id
from plan_cells as cells
join plan_cells as reference
    on coalesce(reference.model_id, reference.group_id) = cells.reference_id
    and reference.conditions = cells.conditions
    and reference.forget_set = cells.forget_set
    and reference.seed = cells.seed
    and reference.role = 'reference'
group by cells.cell_id;

-- The sets of shadow models that the cells that were asked for rest on.
create or replace temp view plan_shadow_sets as
select distinct shadow_set
from asked_cells
where shadow_set is not null;

-- Rows of `models` behind the cells that were asked for: what they measure, what that is compared with, the
-- originals of both, and the work on each shadow model.
create or replace temp view plan_models as
with measured as (
    select coalesce(model_id, group_id) as stage_id from asked_cells
    union
    select reference_id as stage_id from asked_cells
),
needed as (
    select stage_id from measured
    union
    select parent_id as stage_id
    from models
    where model_id in (select stage_id from measured)
)
select *
from models
where case
    when kind <> 'shadow' then model_id in (select stage_id from needed)
    when method = 'none' then shadow_set in (select shadow_set from plan_shadow_sets)
    else parent_id in (select stage_id from measured)
end;

-- Of each setting what two cells of one row must share although their attacks differ: method_part is the method with
-- scope and [unlearning], of audited models alone; surroundings is data, architecture, recipe and evaluation. And what two
-- scopes of a method must share: unscoped_part is method_part without the scope, or, where a search has chosen the values
-- of each scope, unlearning_part without those.
create or replace temp view setting_parts as
select
    setting,
    md5(string_agg(key || '=' || value, ' ' order by key) filter (
        regexp_matches(key, '^(method|unlearning)\.|^scope$') and key not in ('method.kind', 'method.text')
    )) as method_part,
    md5(string_agg(key || '=' || value, ' ' order by key) filter (
        regexp_matches(key, '^(method|unlearning)\.') and key not in ('method.kind', 'method.text')
    )) as unscoped_part,
    md5(string_agg(key || '=' || value, ' ' order by key) filter (key like 'unlearning.%')) as unlearning_part,
    md5(string_agg(key || '=' || value, ' ' order by key) filter (
        not regexp_matches(key, '^(method|unlearning|attack|reference|shadows|canaries)\.|^scope$|^architecture\.name$')
    )) as surroundings
from settings
group by setting;

-- What each setting says of the model alone: the same for all attacks on it.
create or replace temp view model_entries as
select setting, key, value, regexp_matches(key, '^((method|unlearning)[.]|scope$)') as of_the_method
from settings
where not regexp_matches(
    key, '^((attack|evaluation|reference|shadows|canaries)[.]|method[.]text$|architecture[.]name$)'
);

-- Its digests: model_setting of audited models is of_method. Controls are one kind of model as such and as shadow models,
-- although one is trained and the other runs a method: of them what they are trained by says all.
create or replace temp view model_settings as
select
    setting,
    md5(string_agg(key || '=' || value, chr(10) order by key)) as of_method,
    md5(string_agg(key || '=' || value, chr(10) order by key) filter (not of_the_method)) as of_control
from model_entries
group by setting;

-- What differs among the settings, the conditions, or the model settings that stand at one place in these answers, as
-- "lr=0.2, training.epochs=3"; empty where there is one. A digest is cut to its first digits.
create or replace temp view setting_labels as
with placed as (
    select distinct setting, {
        kind: 'setting', dataset: dataset, architecture: architecture, method: method, scope: scope, attack: attack
    } as place
    from asked_cells
    union
    select distinct setting, {
        kind: kind, dataset: dataset, architecture: architecture, method: method, scope: scope, attack: null
    } as place
    from plan_models
    union
    select distinct conditions as setting, {
        kind: 'conditions', dataset: dataset, architecture: architecture, method: null, scope: null, attack: attack
    } as place
    from asked_cells
    union
    select distinct if(role = 'audited', of_method, of_control) as setting, {
        kind: 'model', dataset: dataset, architecture: architecture, method: method, scope: scope, attack: null
    } as place
    from asked_cells
    join model_settings on model_settings.setting = asked_cells.setting
),
counted as (
    select *, count(*) over (partition by place) as settings_there
    from placed
    where setting is not null
),
entries as (
    select setting, key, value from settings
    union
    select distinct conditions as setting, key, value
    from settings
    where not regexp_matches(key, '^(method|unlearning)\.|^scope$|^shadows\.trajectories$')
    union
    select of_method as setting, key, value
    from model_entries
    join model_settings on model_settings.setting = model_entries.setting
    union
    select of_control as setting, key, value
    from model_entries
    join model_settings on model_settings.setting = model_entries.setting
    where not of_the_method
),
told as (
    select counted.*, entries.key, entries.value
    from counted
    join entries on entries.setting = counted.setting
    where counted.settings_there > 1
),
differing as (
    select distinct setting, key, value
    from told
    qualify count(*) over (partition by place, key) < settings_there
        or min(value) over (partition by place, key) < max(value) over (partition by place, key)
),
written as (
    select
        setting,
        string_agg(
            regexp_replace(key, '^method\.', '')
                || '='
                || regexp_replace(trim(value, '"'), '^([0-9a-f]{6})[0-9a-f]{14,}$', '\1'),
            ', '
            order by key
        ) as label
    from differing
    group by setting
)
select distinct counted.setting, coalesce(written.label, '') as label
from counted
left join written on written.setting = counted.setting;
