-- Of which methods do results lack shadow models that a claim compares?
-- grain: method that was asked for under a per-example attack, or the models as trained (none)
-- param dataset
-- param architecture
-- param scope
-- param forget_set
-- param conditions
-- param attack
-- param trajectories
-- conditions are those of the shadow models where `attack` is null, else those of this attack's cells. settings: how many of
-- the method were asked for, where `trajectories` is true of those observed after every epoch; cells, failed and not_run: of the attacks; shadows_failed: trainings or unlearnings.
with alike as (
    select distinct plan_models.shadow_set
    from plan_models
    join settings on settings.setting = plan_models.setting
    where plan_models.kind = 'shadow' and settings.conditions = $conditions
),
asked as (
    select *
    from planned_cells
    where dataset = $dataset
        and architecture = $architecture
        and scope = $scope
        and forget_set in ($forget_set, concat($forget_set, ' (', left(forget_digest, 6), ')')) -- as asked_cells names it
        and role = 'audited'
        and attack_family = 'per_example'
        and (
            not $trajectories
            or setting in (select setting from settings where key = 'shadows.trajectories' and value = 'true')
        )
        and if($attack is null, shadow_set in (select shadow_set from alike), attack = $attack and conditions = $conditions)
),
lost as (
    select method, count(*) as shadows_failed
    from plan_models
    where kind = 'shadow'
        and status = 'failed'
        and shadow_set in (select shadow_set from asked)
        and (method = 'none' or (scope = $scope and forget_set = $forget_set))
    group by method
)
select
    coalesce(asked.method, lost.method) as method,
    count(distinct method_part) as settings,
    count(asked.cell_id) as cells,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'not run') as not_run,
    coalesce(any_value(shadows_failed), 0) as shadows_failed
from asked
full join lost on lost.method = asked.method
left join setting_parts on setting_parts.setting = asked.setting
group by 1
order by 1;
