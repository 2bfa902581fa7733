-- Do two membership attacks single out the same forget examples?
-- shown: architecture, forget_set, method, scope, seed, attack, other_attack, rho, rho_low, rho_high, n
-- grain: audited or reference model (by its place in the grid and its setting) and pair of attacks (with
-- their statistics and settings)
-- param split = "forget": the examples compared
-- rho is Spearman's rank correlation over examples of the score, or for per-example attacks of each example's
-- own AUC (or epsilon) over shadow models; its interval is Bonett and Wright's. It is null where one of the
-- two is a per-example attack: examples share their shadow models, and an interval that takes them as
-- independent is too narrow.
with membership as (
    select
        plan_cells.*,
        setting_parts.surroundings,
        if(plan_cells.role = 'audited', setting_parts.method_part, null) as method_part
    from plan_cells
    left join setting_parts on setting_parts.setting = plan_cells.setting
    where plan_cells.attack_family in ('population', 'per_example')
),
scored as (
    select
        cells.dataset,
        cells.architecture,
        cells.method,
        cells.scope,
        cells.forget_set,
        cells.seed,
        cells.role,
        cells.surroundings,
        cells.method_part,
        cells.setting,
        cells.attack || coalesce('/' || examples.statistic, '') as attack,
        cells.attack_family = 'per_example' as shares_models,
        examples.example_id,
        avg(examples.score) as score
    from examples
    join membership as cells on cells.cell_id = examples.cell_id
    where examples.split = $split
        and examples.score is not null
        and (cells.attack_family = 'population' or examples.member is null)
        and not regexp_matches(coalesce(examples.statistic, ''), ':[pq]_value$')
    group by all
),
paired as (
    select
        one.* exclude (attack, shares_models, score),
        one.attack as attack,
        other.setting as other_setting,
        other.attack as other_attack,
        one.shares_models or other.shares_models as share_models,
        one.score as score,
        other.score as other_score
    from scored as one
    join scored as other
        on other.dataset = one.dataset
        and other.architecture = one.architecture
        and other.forget_set = one.forget_set
        and other.method = one.method
        and other.scope = one.scope
        and other.seed = one.seed
        and other.role = one.role
        and other.surroundings is not distinct from one.surroundings
        and other.method_part is not distinct from one.method_part
        and other.example_id = one.example_id
        and other.attack > one.attack
),
ranked as (
    select
        *,
        rank() over (pair order by score) + (count(*) over (pair_and_score) - 1) / 2.0 as score_rank,
        rank() over (pair order by other_score) + (count(*) over (pair_and_other) - 1) / 2.0 as other_rank
    from paired
    window
        pair as (partition by setting, other_setting, forget_set, seed, attack, other_attack),
        pair_and_score as (
            partition by setting, other_setting, forget_set, seed, attack, other_attack, score
        ),
        pair_and_other as (
            partition by setting, other_setting, forget_set, seed, attack, other_attack, other_score
        )
),
correlated as (
    select
        dataset,
        architecture,
        forget_set,
        method,
        scope,
        seed,
        role,
        setting,
        attack,
        other_setting,
        other_attack,
        share_models,
        count(*) as n,
        case
            when count(distinct score) > 1 and count(distinct other_score) > 1
                then corr(score_rank, other_rank)
        end as rho
    from ranked
    group by all
)
select
    correlated.dataset,
    correlated.architecture,
    correlated.forget_set,
    correlated.method,
    correlated.scope,
    correlated.seed,
    correlated.role,
    setting_labels.label as setting_label,
    correlated.attack,
    other_labels.label as other_setting_label,
    correlated.other_attack,
    correlated.n,
    correlated.rho,
    if(correlated.share_models, null, spearman_low(correlated.rho, correlated.n)) as rho_low,
    if(correlated.share_models, null, spearman_high(correlated.rho, correlated.n)) as rho_high,
    correlated.setting,
    correlated.other_setting
from correlated
left join setting_labels on setting_labels.setting = correlated.setting
left join setting_labels as other_labels on other_labels.setting = correlated.other_setting
order by
    correlated.dataset, correlated.architecture, correlated.forget_set, correlated.attack,
    correlated.other_attack, correlated.role, correlated.method, correlated.scope, correlated.seed,
    correlated.setting, correlated.other_setting;
