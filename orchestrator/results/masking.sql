-- Did an attack along gradients find a model robust only because its gradients lead nowhere?
-- One row per finished cell of an adversarial attack on a model, split and radius: cell_id, model_id, split, eps, attack,
-- norm, scale_free, robust_accuracy and its interval.
-- zero_gradient_share: the part of robust_accuracy that the attack could not try, as the gradient that it follows
-- vanishes at the image (saturated logits do that); null for attacks that follow none.
-- lowest_attack, lowest, lowest_low, lowest_high: of the attacks on the same model, split, norm and radius that are blind
-- to the scale of logits (scale_free), the one that leaves least; null where there is none.
-- masked_gradients: at a radius above 0 zero_gradient_share is above the margin of robust accuracy in the catalogue, or that
-- other attack leaves less, by more than the interval of the difference; null where nothing could tell, false for attacks
-- that follow no gradient.
create or replace temp view gradient_masking as
with robust as (
    select
        cells.cell_id,
        cells.model_id,
        cells.forget_digest,
        cells.seed,
        accuracy.split,
        accuracy.param as eps,
        cells.attack,
        json_extract_string(cells.attack_params_json, '$.norm') as norm,
        cells.scale_free,
        accuracy.value as robust_accuracy,
        accuracy.ci_low,
        accuracy.ci_high,
        zero.value as zero_gradient_share
    from metrics as accuracy
    join plan_cells as cells on cells.cell_id = accuracy.cell_id
    left join metrics as zero
        on zero.cell_id = accuracy.cell_id
        and zero.metric = 'zero_gradient_share'
        and zero.split = accuracy.split
        and zero.param = accuracy.param
    where accuracy.metric = 'robust_accuracy'
        and accuracy.label is null
        and cells.model_id is not null
),
lowest as (
    select *
    from robust
    where scale_free
    qualify row_number() over (
        partition by model_id, forget_digest, seed, split, norm, eps
        order by robust_accuracy, attack, cell_id
    ) = 1
)
select
    robust.cell_id,
    robust.model_id,
    robust.split,
    robust.eps,
    robust.attack,
    robust.norm,
    robust.scale_free,
    robust.robust_accuracy,
    robust.ci_low,
    robust.ci_high,
    robust.zero_gradient_share,
    lowest.attack as lowest_attack,
    lowest.robust_accuracy as lowest,
    lowest.ci_low as lowest_low,
    lowest.ci_high as lowest_high,
    case
        when robust.zero_gradient_share is null then false
        when robust.eps > 0
            and robust.zero_gradient_share
            > (select margin from metric_declarations where metric = 'robust_accuracy' and reading = '') then true
        when robust.cell_id = lowest.cell_id then false
        else difference_low(
            robust.robust_accuracy,
            robust.ci_low,
            robust.ci_high,
            lowest.robust_accuracy,
            lowest.ci_low,
            lowest.ci_high
        ) > 0
    end as masked_gradients
from robust
left join lowest
    on lowest.model_id = robust.model_id
    and lowest.forget_digest = robust.forget_digest
    and lowest.seed = robust.seed
    and lowest.split = robust.split
    and lowest.norm = robust.norm
    and lowest.eps = robust.eps;
