-- What does each method need and cost, and how close to retraining does it come?
-- shown: architecture, forget_set!, method!, verdict!, average_gap, ratio, mia_auc, risk_auc, risk_low
-- shown: risk_high, forget_accuracy, test_accuracy, seconds, seeds, needs, passes, setting_label
-- grain: dataset, architecture, forget set, scope, method and setting, over seeds
-- param scope = "all": layer scope
-- param architecture = null: only this architecture
-- param forget_set = null: only this forget set
-- param per_example = "u_lira_g2": attack whose AUC is the per-example risk
-- Paper, needs and passes are what the method says of itself (E epochs; nf, nr, N examples). average_gap is
-- the mean over seeds; its 95 % interval is Student's t over seeds from three seeds on, and with fewer
-- reaches from the lowest to the highest end of the seeds' own; never within their mean ends; none where a
-- seed has none. The row of retrain_again is what retraining twice differs by. verdict: of the whole model
-- (`model_verdicts`). seconds are those of the device, with the shared stages that a model rests on, null
-- where seeds ran on several kinds of device; ratio is to retraining, on the same kind of device. mia_auc:
-- loss threshold, forget against test, 0.5 is no signal; of several attacks, or settings of one, that which
-- most models at the place have met. risk_auc: the per-example attack, likewise in one setting, on any
-- forget set, mean over examples, and from the lowest to the highest end of its 95 % intervals over forget
-- sets; of several statistics that of phi (population_vs_per_example has all).
with chosen as (
    select
        plan_cells.*,
        setting_parts.surroundings,
        if(plan_cells.role = 'audited', setting_parts.method_part, null) as method_part
    from plan_cells
    left join setting_parts on setting_parts.setting = plan_cells.setting
    where (plan_cells.scope = $scope or plan_cells.role <> 'audited')
        and ($architecture is null or plan_cells.architecture = $architecture)
),
asked as (
    select * from chosen where $forget_set is null or forget_set = $forget_set
),
plain as (
    select
        cell_id,
        max(value) filter (metric = 'average_gap') as average_gap,
        max(ci_low) filter (metric = 'average_gap') as gap_low,
        max(ci_high) filter (metric = 'average_gap') as gap_high,
        max(value) filter (metric in ('accuracy', 'token_accuracy') and split = 'forget') as forget_accuracy,
        max(value) filter (metric in ('accuracy', 'token_accuracy') and split = 'test') as test_accuracy
    from metrics
    where label is null
    group by cell_id
),
risk_rows as (
    select
        chosen.dataset,
        chosen.architecture,
        chosen.method,
        chosen.surroundings,
        chosen.method_part,
        chosen.setting,
        chosen.conditions,
        metrics.variant,
        metrics.game,
        metrics.split,
        avg(metrics.value) as risk_auc,
        min(metrics.ci_low) as risk_low,
        max(metrics.ci_high) as risk_high
    from metrics
    join chosen on chosen.cell_id = metrics.cell_id
    where metrics.metric = 'auc'
        and metrics.variant like '%:example_mean'
        and metrics.label is null
        and chosen.attack = $per_example
    group by
        chosen.dataset, chosen.architecture, chosen.method, chosen.surroundings, chosen.method_part, chosen.setting,
        chosen.conditions, metrics.variant, metrics.game, metrics.split
),
comparable as (
    select *, count(*) over same as rows_alike
    from risk_rows
    window same as (partition by dataset, architecture, surroundings, conditions, variant, game, split)
),
under_one as (
    select *
    from comparable
    qualify dense_rank() over (
        partition by dataset, architecture, surroundings
        order by rows_alike desc, conditions, variant, game, split
    ) = 1
),
risks as (
    select *
    from under_one
    qualify row_number() over (
        partition by dataset, architecture, method, surroundings, method_part
        order by setting
    ) = 1
),
by_method as (
    select
        asked.dataset,
        asked.architecture,
        asked.forget_set,
        asked.method,
        asked.role,
        asked.setting,
        asked.surroundings,
        asked.method_part,
        count(distinct asked.seed) as seeds,
        avg(plain.forget_accuracy) as forget_accuracy,
        avg(plain.test_accuracy) as test_accuracy,
        avg(plain.average_gap) as average_gap,
        if(
            any_value(asked.role) = 'reference',
            avg(plain.average_gap),
            distance_low(distances_low(plain.average_gap, plain.gap_low))
        ) as gap_low,
        if(
            any_value(asked.role) = 'reference',
            avg(plain.average_gap),
            distances_high(plain.average_gap, plain.gap_high)
        ) as gap_high,
        if(
            count(distinct if(asked.role = 'ceiling', null, made.device)) > 1,
            null,
            avg(if(asked.role = 'ceiling', 0.0, made.device_seconds))
        ) as seconds,
        avg(
            if(
                asked.role = 'ceiling',
                0.0,
                device_ratio(made.device_seconds, made.device, retrained.device_seconds, retrained.device)
            )
        ) as ratio,
        avg(membership.auc) as mia_auc
    from asked
    join plain on plain.cell_id = asked.cell_id
    left join model_costs as made on made.model_id = asked.model_id
    left join model_costs as retrained on retrained.model_id = asked.reference_id
    left join loss_threshold_auc as membership
        on membership.model_id = asked.model_id
        and membership.dataset = asked.dataset
        and membership.architecture = asked.architecture
        and membership.forget_set = asked.forget_set
        and membership.surroundings is not distinct from asked.surroundings
    where asked.attack_family = 'none'
    group by all
)
select
    by_method.dataset,
    by_method.architecture,
    by_method.forget_set,
    by_method.method,
    setting_labels.label as setting_label,
    methods.paper,
    concat_ws(
        ', ',
        if(methods.needs_retain, 'retain', null),
        if(methods.needs_validation, 'validation', null),
        nullif(methods.second_model, '')
    ) as needs,
    methods.passes,
    by_method.seeds,
    judged.verdict,
    round(by_method.forget_accuracy, 3) as forget_accuracy,
    round(by_method.test_accuracy, 3) as test_accuracy,
    round(by_method.average_gap, 4) as average_gap,
    round(by_method.gap_low, 4) as gap_low,
    round(by_method.gap_high, 4) as gap_high,
    round(by_method.seconds, 2) as seconds,
    round(by_method.ratio, 2) as ratio,
    round(by_method.mia_auc, 3) as mia_auc,
    round(risks.risk_auc, 3) as risk_auc,
    round(risks.risk_low, 3) as risk_low,
    round(risks.risk_high, 3) as risk_high,
    by_method.setting
from by_method
left join setting_labels on setting_labels.setting = by_method.setting
left join methods on methods.method = split_part(by_method.method, ':', 1)
left join setting_verdicts as judged
    on judged.dataset = by_method.dataset
    and judged.architecture = by_method.architecture
    and judged.forget_set = by_method.forget_set
    and judged.method = by_method.method
    and judged.role = by_method.role
    and judged.setting = by_method.setting
left join risks
    on risks.dataset = by_method.dataset
    and risks.architecture = by_method.architecture
    and risks.method = by_method.method
    and risks.surroundings is not distinct from by_method.surroundings
    and risks.method_part is not distinct from by_method.method_part
order by
    by_method.dataset,
    by_method.architecture,
    by_method.forget_set,
    list_position(['reference', 'noise_floor', 'control', 'ceiling', 'audited'], by_method.role),
    by_method.average_gap nulls last,
    by_method.method,
    by_method.setting;
