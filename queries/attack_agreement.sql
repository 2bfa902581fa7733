-- Do two membership attacks single out the same forget examples?
-- grain: audited or reference model (by its place in the grid) and pair of attacks (with their statistics)
-- param split = "forget": the examples compared
-- rho is Spearman's rank correlation over examples of the score, or for per-example attacks of each example's
-- own AUC (or epsilon) over shadow models; its interval is Bonett and Wright's. Of cells measured more than
-- once the latest counts.
with latest as (
    select *
    from plan_cells
    where attack_family in ('population', 'per_example')
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
        cells.attack || coalesce('/' || examples.statistic, '') as attack,
        examples.example_id,
        avg(examples.score) as score
    from examples
    join latest as cells on cells.cell_id = examples.cell_id
    where examples.split = $split
        and examples.score is not null
        and (cells.attack_family = 'population' or examples.member is null)
        and not regexp_matches(coalesce(examples.statistic, ''), ':[pq]_value$')
    group by all
),
paired as (
    select
        one.* exclude (attack, score),
        one.attack as attack,
        other.attack as other_attack,
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
        pair as (partition by dataset, architecture, forget_set, method, scope, seed, attack, other_attack),
        pair_and_score as (
            partition by
                dataset, architecture, forget_set, method, scope, seed, attack, other_attack, score
        ),
        pair_and_other as (
            partition by
                dataset, architecture, forget_set, method, scope, seed, attack, other_attack, other_score
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
        attack,
        other_attack,
        count(*) as n,
        case
            when count(distinct score) > 1 and count(distinct other_score) > 1
                then corr(score_rank, other_rank)
        end as rho
    from ranked
    group by all
)
select
    dataset,
    architecture,
    forget_set,
    method,
    scope,
    seed,
    role,
    attack,
    other_attack,
    n,
    rho,
    spearman_low(rho, n) as rho_low,
    spearman_high(rho, n) as rho_high
from correlated
order by dataset, architecture, forget_set, attack, other_attack, role, method, scope, seed;
