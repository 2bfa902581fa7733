-- Are the shadow models sound: trained, distinct, complementary, every example in half of them?
-- grain: set of shadow models (dataset, architecture, recipe and layout)
-- A sound set has as many unique_masks as shadows, twice as many shadows as pairs, and unbalanced_examples 0
-- (canaries that are included by a fair coin count as unbalanced). members: examples that a shadow model was
-- trained on. accuracy ranges over the shadow models. draws and failed_draws count trainings, unlearnings and
-- retrainings of this set.
with sets as (
    select *
    from shadows
    where shadow_set in (select shadow_set from plan_shadow_sets)
),
bits as (
    select
        shadow_set,
        unnest(range(8 * octet_length(in_mask))) as position,
        cast(in_mask as bit) as mask
    from sets
),
columns_of_masks as (
    select
        shadow_set,
        position,
        sum(get_bit(mask, cast(position as integer))) as shadows_in,
        count(*) as shadows_all
    from bits
    group by shadow_set, position
),
balance as (
    select
        shadow_set,
        count(*) filter (where shadows_in > 0 and 2 * shadows_in <> shadows_all) as unbalanced_examples
    from columns_of_masks
    group by shadow_set
),
work as (
    select
        shadow_set,
        cast(sum(cast(json_extract_string(notes_json, '$.draws') as bigint)) as bigint) as draws,
        cast(
            sum(cast(json_extract_string(notes_json, '$.failed_draws') as bigint)) as bigint
        ) as failed_draws,
        string_agg(distinct method, ', ' order by method) filter (where status = 'failed') as failing_methods,
        sum(seconds) as all_seconds
    from plan_models
    where kind = 'shadow'
    group by shadow_set
),
counted as (
    select
        any_value(dataset) as dataset,
        architecture,
        shadow_set,
        count(*) as shadows,
        count(distinct pair_id) as pairs,
        count(distinct in_digest) as unique_masks,
        min(bit_count(cast(in_mask as bit))) as members_low,
        max(bit_count(cast(in_mask as bit))) as members_high,
        avg(train_accuracy) as train_accuracy,
        min(train_accuracy) as train_accuracy_low,
        max(train_accuracy) as train_accuracy_high,
        avg(test_accuracy) as test_accuracy,
        min(test_accuracy) as test_accuracy_low,
        max(test_accuracy) as test_accuracy_high,
        avg(seconds) as seconds_per_training
    from sets
    group by architecture, shadow_set
)
select
    counted.dataset,
    counted.architecture,
    counted.shadows,
    counted.pairs,
    counted.unique_masks,
    counted.members_low,
    counted.members_high,
    balance.unbalanced_examples,
    counted.train_accuracy,
    counted.train_accuracy_low,
    counted.train_accuracy_high,
    counted.test_accuracy,
    counted.test_accuracy_low,
    counted.test_accuracy_high,
    counted.seconds_per_training,
    work.all_seconds,
    work.draws,
    work.failed_draws,
    work.failing_methods,
    counted.shadow_set
from counted
left join balance on balance.shadow_set = counted.shadow_set
left join work on work.shadow_set = counted.shadow_set
order by counted.dataset, counted.architecture, counted.shadow_set;
