-- The verdict: what each model's difference from retraining shows, measure by measure (`verdicts`) and as a whole
-- (`model_verdicts`). Made after views.sql and shipped with every export; it reads `leaderboard`, `model_settings`, `declared`
-- (primary measures and margins of the run), `metric_declarations` (what each metric is), `gradient_masking`,
-- `plan_references` and `last_plans`.
--
-- Statistic. Over the seeds k that all three have: mean of m_k - (a_k + r_k) / 2, of the model, the retrained model and
-- the second retraining. A metric that itself compares with the retrained model is 0 or 1 for that one by construction:
-- there the mean of m_k - r_k. Its variance is (Sm + Sr / 2) / K: Sm the variance of m_k over seeds, Sr the mean of
-- (a_k - r_k)^2 / 2, for their differences have mean 0 whatever a seed changes for both. Student's t with Satterthwaite's
-- degrees of freedom, of which the part above K - 1 is shrunk by 1 - 1 / K. Where seeds move all models alike (the
-- variance of (a_k + r_k) / 2 is ten times what Sr explains; m has no part in that choice) it is the variance of the
-- K differences. Derived here, for K of 2 too: a pooled variance says "told apart" of 11 % and 20 % of methods that spread
-- two and four times as far as retraining (tests/benchmarks/verdict_power.py: at most 6 % of these up to four times).
-- One seed is always undecided. Rows that an attack on shadow models compared pair by pair bring their own difference,
-- error and degrees of freedom: their replicate is the shadow model, so one seed will do.
--
-- Population. Further trainings on the same examples: all models answer the same ones, so what these examples add is
-- common to them and cancels. Equal values over a few seeds do not show that there is no spread: each of Sm, Sr is at
-- least that of one answer in n, (range / n)^2, the mean of a Poisson rate under a flat prior of which nothing was seen;
-- of a metric without a largest value what one example adds by the interval of the value. The level holds for spreads
-- that are no more lopsided than a t test bears: not for a method of which most trainings reach a bound and few do not.
--
-- Many measures. Primary measures: Holm over those of one model (data set, architecture, forget set, method, scope and
-- setting of the model, all attacks), 5 % that any of them is told apart by chance. The others are exploratory:
-- Benjamini-Hochberg over those of the same model, 5 % of its discoveries false. Equivalence: two one-sided tests at 5 %
-- within the margin, each for itself; a model is shown equivalent if all its primary measures are, which needs no
-- correction (intersection-union). Where runs measured one model under several settings of an attack, or with several
-- numbers of shadow models, the primary row is that of the run begun last; the others are exploratory.
--
-- Masked gradients. Where gradients vanish, or an attack that is blind to the scale of logits finds more, robust
-- accuracy under an attack along gradients is an upper bound, of the model or of a retraining that it is held against.
-- Two bounds that agree show no equivalence: such a row is undecided, whatever its number of seeds, unless it is told
-- apart.
--
-- Columns of `verdicts`, beside the place (dataset, architecture, forget_set, method, scope, role, setting, conditions,
-- model_setting) and the measure (attack, attack_family, metric, split, variant, param, game, higher_is):
-- kind                   forgetting or utility
-- seeds, seeds_measured  seeds that count; seeds of the model
-- num_shadows, n         shadow models; examples behind a value
-- value, retrained, again, value_low, value_high
--                        means over the seeds that count; lowest to highest end of the seeds' own intervals
-- difference             the statistic; difference_low, _high its 95 % interval, within what the range of the metric
--                        allows; _error, _df its standard error
-- distance               mean over seeds of |value - retrained|, with distance_low, _high: its 95 % interval from the
--                        spread of the signed differences, which covers also where there is no difference (that of
--                        the absolute ones does not: .92); of a metric that compares, distances_low and _high
-- noise_floor            the same distance of the second retraining
-- model_sd, retraining_sd  spread over trainings
-- p, p_adjusted          two-sided, of no difference; adjusted within the family
-- p_equivalent           of the two one-sided tests
-- family                 primary or exploratory
-- margin, declared_after declared difference that counts as equal; whether it was declared after rows were there
-- sees                   whether the same measure tells doing nothing apart, and not within the margin; null where it
--                        was not tested
-- masked_gradients       robust accuracy, its area (at any radius) and gap: whether that is so in any seed that counts;
--                        null for other metrics, and where no attack could tell
-- verdict                told apart, shown equivalent, undecided
-- visible                shown equivalent, and yet told apart: a difference within the margin is visible
-- reason, settles        why it is undecided (empty if it is not), and what would settle it, in words
-- seeds_needed, shadows_needed  for a power of 80 % to show equivalence where there is no difference, which is about what
--                        it takes to tell a difference of the margin; from the spread that was seen. Null unless too
--                        much spread leaves the row undecided, or it is doing nothing that is not told apart

-- Degrees of freedom of (sm + sr) / K, where sm rests on K - 1 of them and sr on sr_df; null where both are 0.
create or replace temp macro spread_df(sm, sr, k, sr_df) as
    k - 1 + (1 - 1 / k) * ((sm + sr) ** 2 / nullif(sm ** 2 / (k - 1) + sr ** 2 / sr_df, 0) - k + 1);

-- Whether a declaration covers a measure of its metric: it leaves null what it does not restrict, and `variant` is a pattern
-- with *.
create or replace temp macro covers(declaration, measure) as
    (declaration.split is null or declaration.split = measure.split)
    and (declaration.game is null or declaration.game = measure.game)
    and (declaration.variant is null or measure.variant glob declaration.variant)
    and (declaration.attack is null or declaration.attack = measure.attack)
    and (declaration.param is null or declaration.param = measure.param);

-- Standard errors of the margin at which a model without a difference is shown to lie within it with a power of 80 %:
-- each of the two one-sided tests must be passed with 90 %, so the margin reaches over both quantiles. That for the power
-- is the normal one with the first term of its expansion (Abramowitz and Stegun 26.7.5).
create or replace temp macro power_reach(df) as t95(df) + 1.281552 + 0.846586 / df;

create or replace temp view verdicts as
with bounds as (
    select
        own.cell_id,
        own.split,
        own.eps,
        coalesce(
            own.masked_gradients or retrained.masked_gradients,
            own.masked_gradients,
            retrained.masked_gradients
        ) as masked
    from gradient_masking as own
    left join plan_references on plan_references.cell_id = own.cell_id
    left join gradient_masking as retrained
        on retrained.cell_id = plan_references.reference_cell_id
        and retrained.split = own.split
        and retrained.eps = own.eps
),
bounded_measures as (
    select
        cell_id,
        split,
        unnest(['robust_accuracy', 'robust_accuracy_gap']) as metric,
        eps as param,
        masked
    from bounds
    union all
    select
        cell_id,
        split,
        'robust_accuracy_area' as metric,
        max(eps) as param,
        bool_or(masked) as masked
    from bounds
    group by cell_id, split
),
rows_taken as (
    select
        leaderboard.*,
        bounded_measures.masked
    from leaderboard
    left join bounded_measures
        on bounded_measures.cell_id = leaderboard.cell_id
        and bounded_measures.split = leaderboard.split
        and bounded_measures.metric = leaderboard.metric
        and bounded_measures.param = leaderboard.param
    where leaderboard.label is null and leaderboard.role in ('audited', 'ceiling', 'control', 'noise_floor')
),
taken as (
    select distinct
        attack,
        metric,
        split,
        variant,
        param,
        game
    from rows_taken
),
-- Of several margins that of the closest restriction counts.
declared_of as (
    select
        taken.*,
        bool_or(declared.is_primary) as is_primary,
        arg_max(
            declared.margin,
            cast(declared.split is not null as integer)
                + cast(declared.game is not null as integer)
                + cast(declared.variant is not null as integer)
                + cast(declared.attack is not null as integer)
                + cast(declared.param is not null as integer)
        ) filter (declared.margin is not null) as margin,
        bool_or(declared.declared_after) as declared_after
    from taken
    join declared
        on declared.metric = taken.metric
        and covers(declared, taken)
    group by all
),
measures as (
    select
        taken.*,
        coalesce(declared_of.is_primary, false) as is_primary,
        declared_of.margin,
        coalesce(declared_of.declared_after, false) as declared_after,
        -- A metric that nothing here declares is read strictly.
        coalesce(in_game.kind, on_split.kind, usual.kind, 'forgetting') as kind,
        coalesce(usual.compares, false) as compares,
        usual.high - usual.low as range
    from taken
    left join declared_of
        on declared_of.attack = taken.attack
        and declared_of.metric = taken.metric
        and declared_of.split = taken.split
        and declared_of.variant = taken.variant
        and declared_of.param is not distinct from taken.param
        and declared_of.game is not distinct from taken.game
    left join metric_declarations as usual on usual.metric = taken.metric and usual.reading = ''
    left join metric_declarations as on_split on on_split.metric = taken.metric and on_split.reading = taken.split
    left join metric_declarations as in_game on in_game.metric = taken.metric and in_game.reading = taken.game
),
-- One row per model, measure and seed, beside both retrainings of that seed.
beside as (
    select
        judged.dataset,
        judged.architecture,
        judged.forget_set,
        judged.method,
        judged.scope,
        judged.role,
        judged.setting,
        judged.conditions,
        coalesce(
            if(judged.role = 'audited', model_settings.of_method, model_settings.of_control), ''
        ) as model_setting,
        judged.attack,
        judged.attack_family,
        judged.metric,
        judged.split,
        judged.variant,
        judged.param,
        judged.game,
        judged.higher_is,
        judged.seed,
        judged.num_shadows,
        judged.n,
        judged.value,
        judged.ci_low,
        judged.ci_high,
        judged.retrained,
        again.value as again,
        if(measures.compares, again.value, (judged.retrained + again.value) / 2) as control,
        coalesce(judged.masked or again.masked, judged.masked, again.masked) as masked,
        judged.group_id is not null as of_shadows,
        judged.difference as seed_difference,
        judged.difference_error,
        judged.difference_df,
        coalesce(last_plans.place, 0) as asked_at,
        measures.is_primary,
        measures.margin,
        measures.declared_after,
        measures.kind,
        measures.compares,
        measures.range,
        case
            when isfinite(measures.range) then (measures.range / judged.n) ** 2
            else ((judged.ci_high - judged.ci_low) / 3.919927969) ** 2 / judged.n
        end as least_variance
    from rows_taken as judged
    join measures
        on measures.attack = judged.attack
        and measures.metric = judged.metric
        and measures.split = judged.split
        and measures.variant = judged.variant
        and measures.param is not distinct from judged.param
        and measures.game is not distinct from judged.game
    left join rows_taken as again
        on again.role = 'noise_floor'
        and again.dataset = judged.dataset
        and again.architecture = judged.architecture
        and again.forget_set = judged.forget_set
        and again.conditions = judged.conditions
        and again.seed = judged.seed
        and again.attack = judged.attack
        and again.metric = judged.metric
        and again.split = judged.split
        and again.variant = judged.variant
        and again.param is not distinct from judged.param
        and again.game is not distinct from judged.game
    left join model_settings on model_settings.setting = judged.setting
    left join last_plans on last_plans.cell_id = judged.cell_id
    where judged.role <> 'noise_floor' and measures.kind <> 'cost'
),
gathered as (
    select
        * exclude (
            seed,
            num_shadows,
            n,
            value,
            ci_low,
            ci_high,
            retrained,
            again,
            control,
            masked,
            seed_difference,
            difference_error,
            difference_df,
            asked_at,
            least_variance
        ),
        max(asked_at) as asked_last,
        count(*) as seeds_measured,
        count(retrained) as seeds_retrained,
        count(again) as seeds_again,
        count(control) as seeds_shared,
        max(num_shadows) as num_shadows,
        max(n) as n,
        coalesce(avg(value) filter (control is not null), avg(value)) as value,
        min(ci_low) as value_low,
        max(ci_high) as value_high,
        coalesce(avg(retrained) filter (control is not null), avg(retrained)) as retrained,
        coalesce(avg(again) filter (control is not null), avg(again)) as again,
        coalesce(bool_or(masked) filter (control is not null), bool_or(masked)) as masked_gradients,
        avg(seed_difference) as seed_difference,
        coalesce(avg(abs(seed_difference)) filter (control is not null), avg(abs(seed_difference))) as distance,
        -- Of a metric that compares with the retrained model, whose value is the distance.
        distances_low(if(control is null, null, value), if(control is null, null, ci_low)) as measured_low,
        distances_high(if(control is null, null, value), if(control is null, null, ci_high)) as measured_high,
        avg(abs(again - retrained)) as noise_floor,
        avg(value - control) as shared_difference,
        avg(difference_error) as paired_error,
        min(difference_df) as paired_df,
        greatest(var_samp(value) filter (control is not null), max(least_variance)) as model_variance,
        greatest(var_samp(again) filter (control is not null), max(least_variance)) as again_variance,
        greatest(avg((retrained - again) ** 2) / 2, max(least_variance)) as pair_variance,
        var_samp(control) as control_variance_over_seeds,
        greatest(var_samp(value - control), 1.5 * max(least_variance)) as difference_variance
    from beside
    group by all
),
spread as (
    select
        *,
        not of_shadows and seeds_shared >= 2 as replicated,
        if(of_shadows, seeds_measured, seeds_shared) as seeds,
        if(of_shadows or seeds_shared = 0, seed_difference, shared_difference) as difference,
        not compares and coalesce(2 * control_variance_over_seeds > 10 * pair_variance, false) as seeds_differ,
        if(compares, again_variance, pair_variance) as retraining_variance,
        if(compares, again_variance, pair_variance / 2) as control_variance,
        if(compares, seeds_shared - 1, seeds_shared) as control_df,
        -- Of a value less that of one retrained model; a metric that compares both has it in itself.
        if(compares, 0, pair_variance) as one_retraining_variance
    from gathered
),
tests as (
    select
        *,
        -- No spread is no error of 0, nor an interval without width.
        nullif(
            case
                when of_shadows then paired_error
                when replicated and seeds_differ then sqrt(difference_variance / seeds)
                when replicated then sqrt((model_variance + control_variance) / seeds)
            end,
            0
        ) as error,
        case
            when of_shadows then paired_df
            when replicated and seeds_differ then seeds - 1
            when replicated then spread_df(model_variance, control_variance, seeds, control_df)
        end as df,
        nullif(
            if(
                of_shadows,
                paired_error,
                if(replicated, sqrt((model_variance + one_retraining_variance) / seeds), null)
            ),
            0
        ) as distance_error,
        if(
            of_shadows,
            paired_df,
            if(replicated, spread_df(model_variance, one_retraining_variance, seeds, seeds), null)
        ) as distance_df,
        -- One model measured twice, with other shadow models or attack parameters, answers once: as the newest plan has it.
        if(
            is_primary
                and row_number() over (
                    partition by
                        dataset, architecture, forget_set, method, scope, role, model_setting,
                        attack, metric, split, variant, param, game
                    order by asked_last desc, conditions, setting
                ) = 1,
            'primary',
            'exploratory'
        ) as family
    from spread
),
standardised as (
    select
        *,
        -- An infinite value has no distance from another.
        if(isfinite(error), difference / error, null) as t,
        if(isfinite(error), (margin - abs(difference)) / error, null) as t_margin
    from tests
),
deviates as (
    select
        *,
        t_deviate(t, df) as deviate,
        t_deviate(t_margin, df) as deviate_margin
    from standardised
),
tested as (
    select
        * exclude (t, t_margin, deviate, deviate_margin),
        if(t is null, null, t_two_sided(t, df, deviate)) as p,
        t_tail(t_margin, df, deviate_margin) as p_equivalent
    from deviates
),
ranked as (
    select
        *,
        count(p) over families as tests,
        row_number() over (families order by p nulls last) as place
    from tested
    window families as (
        partition by dataset, architecture, forget_set, method, scope, role, model_setting, family
    )
),
adjusted as (
    select
        *,
        case
            when p is null then null
            when family = 'primary' then least(1, max((tests - place + 1) * p) over (families rows unbounded preceding))
            else min(tests * p / place) over (families rows between current row and unbounded following)
        end as p_adjusted
    from ranked
    window families as (
        partition by dataset, architecture, forget_set, method, scope, role, model_setting, family order by place
    )
),
-- Of doing nothing, which several settings of [unlearning] may stand for: a measure sees it if it sees each.
doing_nothing as (
    select
        dataset,
        architecture,
        forget_set,
        conditions,
        attack,
        metric,
        split,
        variant,
        param,
        game,
        bool_and(coalesce(p_adjusted < 0.05, false)) as untouched_apart,
        bool_or(coalesce(p_equivalent < 0.05, false)) as untouched_within
    from adjusted
    where role = 'ceiling'
    group by all
    having bool_and(p is not null)
),
seen as (
    select
        adjusted.*,
        coalesce(adjusted.p_adjusted < 0.05, false) as apart,
        coalesce(adjusted.p_equivalent < 0.05, false) as within,
        doing_nothing.untouched_apart,
        doing_nothing.untouched_apart and not doing_nothing.untouched_within as sees
    from adjusted
    left join doing_nothing
        on doing_nothing.dataset = adjusted.dataset
        and doing_nothing.architecture = adjusted.architecture
        and doing_nothing.forget_set = adjusted.forget_set
        and doing_nothing.conditions = adjusted.conditions
        and doing_nothing.attack = adjusted.attack
        and doing_nothing.metric = adjusted.metric
        and doing_nothing.split = adjusted.split
        and doing_nothing.variant = adjusted.variant
        and doing_nothing.param is not distinct from adjusted.param
        and doing_nothing.game is not distinct from adjusted.game
),
decided as (
    select
        *,
        case
            when within and (kind = 'utility' or coalesce(sees, false))
                then if(coalesce(masked_gradients, false), 'undecided', 'shown equivalent')
            when apart then 'told apart'
            else 'undecided'
        end as verdict
    from seen
),
reasoned as (
    select
        *,
        case
            when verdict <> 'undecided' then ''
            when masked_gradients then 'masked gradients'
            when of_shadows and p is null then 'no paired difference'
            when p is null and seeds_retrained = 0 then 'no retrained model'
            when p is null and seeds_again = 0 then 'no second retraining'
            when p is null and seeds_measured < 2 then 'one seed'
            when p is null and seeds < 2 then 'no shared seeds'
            when p is null and not isfinite(error) then 'no finite values'
            when p is null then 'no spread'
            when kind = 'forgetting' and sees is null then 'no control that does nothing'
            when kind = 'forgetting' and not untouched_apart then 'doing nothing is not told apart'
            when kind = 'forgetting' and not sees then 'doing nothing lies within the margin'
            when coalesce(margin, 0) = 0 then 'no margin'
            else 'too much spread'
        end as reason
    from decided
),
numbered as (
    select
        *,
        margin > 0
            and (
                reason = 'too much spread'
                or coalesce(role = 'ceiling' and reason = 'doing nothing is not told apart', false)
            ) as wants_replicates,
        df + 1 < num_shadows / 2 as of_folds
    from reasoned
),
needed as (
    select
        *,
        if(
            wants_replicates and not of_shadows,
            greatest(
                seeds + 1,
                coalesce(
                    (
                        select min(k)
                        from (
                            select
                                k,
                                margin / error * sqrt(k / seeds) as reach,
                                if(
                                    seeds_differ,
                                    k - 1,
                                    spread_df(model_variance, control_variance, k, k + control_df - seeds)
                                ) as df_then
                            from range(2, 101) as counts(k)
                        )
                        where reach >= power_reach(df_then)
                    ),
                    ceil(8.563847 * seeds * (error / margin) ** 2)
                )
            ),
            null
        ) as seeds_needed,
        -- Without a difference all of the two-way variance falls with the number of shadow models, and where its units
        -- are their pairs, the degrees of freedom grow with it; folds stay as many.
        if(
            wants_replicates and of_shadows,
            greatest(
                num_shadows + 2,
                2 * coalesce(
                    (
                        select min(pairs)
                        from range(2, 101) as counts(pairs)
                        where margin / error * sqrt(2 * pairs / num_shadows)
                            >= power_reach(if(of_folds, df, pairs - 1))
                    ),
                    ceil(
                        num_shadows / 2
                            * (error / margin * if(of_folds, power_reach(df), 2.926406)) ** 2
                    )
                )
            ),
            null
        ) as shadows_needed
    from numbered
)
select
    dataset,
    architecture,
    forget_set,
    method,
    scope,
    role,
    setting,
    conditions,
    model_setting,
    attack,
    attack_family,
    metric,
    split,
    variant,
    param,
    game,
    higher_is,
    kind,
    seeds,
    seeds_measured,
    num_shadows,
    n,
    value,
    value_low,
    value_high,
    retrained,
    again,
    difference,
    if(isfinite(error), within_range(difference - t975(df) * error, -range, range), null) as difference_low,
    if(isfinite(error), within_range(difference + t975(df) * error, -range, range), null) as difference_high,
    error as difference_error,
    df as difference_df,
    distance,
    case
        when not coalesce(isfinite(distance_error), false) then null
        when compares and not of_shadows then distance_low(measured_low)
        else greatest(0, distance - t975(distance_df) * distance_error)
    end as distance_low,
    case
        when not coalesce(isfinite(distance_error), false) then null
        when compares and not of_shadows then within_range(measured_high, null, range)
        else within_range(distance + t975(distance_df) * distance_error, null, range)
    end as distance_high,
    noise_floor,
    if(replicated, sqrt(model_variance), null) as model_sd,
    if(replicated, sqrt(retraining_variance), null) as retraining_sd,
    p,
    p_adjusted,
    p_equivalent,
    family,
    margin,
    declared_after,
    sees,
    masked_gradients,
    verdict,
    apart and verdict = 'shown equivalent' as visible,
    reason,
    case reason
        when '' then ''
        when 'masked gradients' then 'gradients vanish, or a scale-free attack found more: read its rows'
        when 'one seed' then 'one seed says nothing of another training: a second, better a third'
        when 'no retrained model' then 'no retrained model of the same seeds under the same conditions'
        when 'no second retraining' then 'no second retraining (retrain_again) of the same seeds'
        when 'no shared seeds'
            then format('{} of {} seeds have both retrainings: two at least', seeds, seeds_measured)
        when 'no finite values' then 'a value, or the spread over seeds, is not finite: another measure'
        when 'no spread' then 'every seed gives the same values, and no error bounds how far they move'
        when 'no paired difference' then 'no difference with an error over pairs of shadow models: the retrained model needs the same ones, four at '
                || 'least'
        when 'no control that does nothing'
            then 'doing nothing (no_op) was not tested here: whether this measure would tell it apart is unknown'
        when 'doing nothing is not told apart'
            then if(
                role = 'ceiling',
                'this model is the control that does nothing, and here it is not told apart: this measure lacks '
                    || 'power'
                    || coalesce(
                        format(
                            '; about {} {} in place of {} would tell a difference of {:.3g} apart, if there is one',
                            cast(coalesce(seeds_needed, shadows_needed) as bigint),
                            if(of_shadows, 'shadow models', 'seeds'),
                            if(of_shadows, num_shadows, seeds),
                            margin
                        ),
                        ''
                    ),
                'doing nothing is not told apart here either, so this says nothing about equivalence'
            ) || if(of_shadows, '; more shadow models', '; more seeds') || ' or examples, or another attack'
        when 'doing nothing lies within the margin'
            then 'doing nothing lies within the margin as well, so this says nothing about equivalence; a closer '
                || 'margin declared before a run, or another attack'
        when 'no margin' then 'not told apart, and without a declared margin equivalence cannot be shown'
        when 'too much spread'
            then format(
                '{} {} in place of {}, to show equivalence within {:.3g} where there is no difference',
                cast(coalesce(seeds_needed, shadows_needed) as bigint),
                if(of_shadows, 'shadow models', 'seeds'),
                if(of_shadows, num_shadows, seeds),
                margin
            )
    end as settles,
    cast(seeds_needed as bigint) as seeds_needed,
    cast(shadows_needed as bigint) as shadows_needed
from needed;

-- One row per model: told apart if any primary measure tells it apart, shown equivalent if all of them show that, else
-- undecided, with what would settle each that is. A primary measure of which the model has no row (not_measured) is
-- undecided. settles is empty, and seeds_needed and shadows_needed null, where the verdict is not undecided: of a model
-- that is told apart no further measure need be settled. discoveries: exploratory measures that tell it apart, of `explored`; null where none was tested.
create or replace temp view model_verdicts as
with judged as materialized (
    select * from verdicts
),
counted as (
    select
        dataset,
        architecture,
        forget_set,
        method,
        scope,
        role,
        model_setting,
        count(*) filter (family = 'primary') as primary_measures,
        count(*) filter (family = 'primary' and verdict = 'told apart') as told_apart,
        count(*) filter (family = 'primary' and verdict = 'shown equivalent') as shown_equivalent,
        count(*) filter (family = 'primary' and visible) as visible,
        count(*) filter (family = 'primary' and verdict = 'undecided') as undecided,
        count(*) filter (family = 'exploratory' and p is not null) as explored,
        if(explored > 0, count(*) filter (family = 'exploratory' and p_adjusted < 0.05), null) as discoveries,
        max(seeds) as seeds,
        max(seeds_needed) filter (family = 'primary') as seeds_needed,
        max(shadows_needed) filter (family = 'primary') as shadows_needed,
        bool_or(declared_after) filter (family = 'primary') as declared_after,
        string_agg(
            concat_ws(' ', metric, 'on', split, nullif(variant, ''), '(' || attack || '):', settles),
            '; '
            order by metric, split, attack, variant, param, game
        ) filter (family = 'primary' and verdict = 'undecided') as remedies
    from judged
    group by all
),
models_told as (
    select dataset, architecture, forget_set, method, scope, role, model_setting
    from counted
),
-- Primary measures of which a model has no row: their cell failed or has not run, or nothing gave such a row. The
-- further retraining is judged on what was taken of it, for there need be none of the shadow models.
absent as (
    select
        models_told.*,
        count(*) as measures_absent,
        string_agg(
            concat_ws(
                ' ', asked.metric, 'on ' || asked.split, asked.variant, 'at ' || asked.param, '(' || asked.attack || ')'
            ) || ': not measured',
            '; '
            order by asked.metric, asked.split, asked.attack, asked.variant, asked.param, asked.game
        ) as not_measured
    from models_told
    join (select * from declared where is_primary) as asked on models_told.role <> 'control'
    anti join judged
        on judged.dataset = models_told.dataset
        and judged.architecture = models_told.architecture
        and judged.forget_set = models_told.forget_set
        and judged.method = models_told.method
        and judged.scope = models_told.scope
        and judged.role = models_told.role
        and judged.model_setting = models_told.model_setting
        and judged.metric = asked.metric
        and covers(asked, judged)
    group by all
),
complete as (
    select
        counted.* exclude (remedies) replace (
            primary_measures + coalesce(measures_absent, 0) as primary_measures,
            undecided + coalesce(measures_absent, 0) as undecided
        ),
        coalesce(not_measured, '') as not_measured,
        concat_ws('; ', remedies, not_measured) as remedies
    from counted
    left join absent using (dataset, architecture, forget_set, method, scope, role, model_setting)
),
judged_models as (
    select
        *,
        case
            when told_apart > 0 then 'told apart'
            when primary_measures > 0 and shown_equivalent = primary_measures then 'shown equivalent'
            else 'undecided'
        end as verdict
    from complete
)
select
    * exclude (remedies, verdict) replace (
        if(verdict = 'undecided', seeds_needed, null) as seeds_needed,
        if(verdict = 'undecided', shadows_needed, null) as shadows_needed
    ),
    verdict,
    case
        when verdict <> 'undecided' then ''
        when primary_measures = 0 then 'no primary measure was taken'
        else remedies
    end as settles
from judged_models;

-- The verdict on the model of each setting, of which one model may have several: its attacks differ in theirs.
create or replace temp view setting_verdicts as
select distinct
    verdicts.dataset,
    verdicts.architecture,
    verdicts.forget_set,
    verdicts.method,
    verdicts.scope,
    verdicts.role,
    verdicts.setting,
    model_verdicts.verdict
from verdicts
join model_verdicts
    on model_verdicts.dataset = verdicts.dataset
    and model_verdicts.architecture = verdicts.architecture
    and model_verdicts.forget_set = verdicts.forget_set
    and model_verdicts.method = verdicts.method
    and model_verdicts.scope = verdicts.scope
    and model_verdicts.role = verdicts.role
    and model_verdicts.model_setting = verdicts.model_setting;
