-- Are models whose layers treat classes less evenly less robust (arXiv 2504.13610)?
-- grain: dataset, architecture, conditions and layer; layer "(mean)" carries the claim
-- shown: dataset, architecture, layer, effect!, effect_low, effect_high, margin, verdict!, originals, no_interval
-- builds on: fairness_vs_robustness
-- param definition = "norm_sigma": of the fairness gap
-- param attack = null: null takes the first that is blind to the scale of logits
-- param eps = null from 0: radius; null takes that at which models lose nearest to half of their accuracy
-- param margin = 0.1 from 0 to 1: smallest rank correlation that matters
-- effect is rho of fairness_vs_robustness, within originals and forget sets, with the jackknife's interval over originals
-- (Student's t on Fisher's scale). The choice of attack and radius does not look at the gap. p is two-sided, of no
-- correlation; p_adjusted after Holm over the layers without "(mean)", by which a layer's verdict goes: supported at 5 %.
-- Where robust_drop is a lower bound in some model (gradients masked), ranks of it are not known: undecided. Models whose gap
-- or accuracy is no finite number are left out.
with rows_asked as (
    select *
    from fairness_vs_robustness
    where definition = $definition
),
blind as (
    select attack, bool_or(scale_free) as is_blind
    from plan_cells
    where attack_family = 'adversarial'
    group by attack
),
choices as (
    select dataset, architecture, conditions, attack, eps
    from rows_asked
    join blind using (attack)
    where layer = '(mean)'
        and ($attack is null or attack = $attack)
        and ($eps is null or abs(eps - $eps) < 1e-9)
    qualify row_number() over (
        partition by dataset, architecture
        order by
            coalesce(is_blind, false) desc, originals desc, attack, abs(mean_robust_drop - 0.5), eps, conditions
    ) = 1
),
chosen as (
    select
        rows_asked.*,
        rows_asked.layer = '(mean)' as is_mean,
        (atanh(rho_high) - atanh(rho_low)) / 2 / t975(originals - 1) as error
    from rows_asked
    semi join choices using (dataset, architecture, conditions, attack, eps)
),
deviates as (
    select *, atanh(rho) / error as t, t_deviate(atanh(rho) / error, originals - 1) as deviate
    from chosen
),
tested as (
    select *, t_two_sided(t, originals - 1, deviate) as p
    from deviates
),
ranked as (
    select *, p * (count(p) over place + 1 - row_number() over (place order by p, layer)) as p_step
    from tested
    window place as (partition by dataset, architecture, conditions, is_mean)
),
adjusted as (
    select
        *,
        case
            when p is not null
                then least(1, max(p_step) over (
                    partition by dataset, architecture, conditions, is_mean order by p, layer
                ))
        end as p_adjusted
    from ranked
)
select
    dataset,
    architecture,
    setting_label,
    is_mean as is_claim,
    layer,
    definition,
    attack,
    eps,
    originals,
    strata,
    models,
    masked,
    rho as effect,
    rho_low as effect_low,
    rho_high as effect_high,
    $margin as margin,
    p,
    p_adjusted,
    case
        when masked > 0 then 'undecided'
        when is_mean then claim_verdict(rho_low, rho_high, $margin)
        when p_adjusted <= 0.05 and rho_low > 0 then 'supported'
        when rho_high < $margin then 'contradicted'
        else 'undecided'
    end as verdict,
    coalesce(
        units_without(1.0, originals, 'originals (seeds)'),
        no_interval,
        if(masked > 0, 'gradients are masked in ' || masked || ' models', null)
    ) as no_interval,
    conditions
from adjusted
order by dataset, architecture, conditions, is_mean desc, layer;
