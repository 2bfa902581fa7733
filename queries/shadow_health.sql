-- Are the shadow models sound: trained, distinct, complementary, every example in half of them?
-- grain: set of shadow models (dataset, architecture and layout)
-- A sound set has as many unique_masks as shadows, twice as many shadows as pairs, and unbalanced_examples 0
-- (canaries that are included by a fair coin count as unbalanced). members: examples that a shadow model was
-- trained on. accuracy ranges over the shadow models. draws and failed_draws count trainings, unlearnings and
-- retrainings of this architecture on this data, of all layouts.
with sets as (
    select
        *,
        regexp_replace(pair_id, '-\d+$', '') as set_id
    from shadows
),
bits as (
    select
        set_id,
        unnest(range(8 * octet_length(in_mask))) as position,
        cast(in_mask as bit) as mask
    from sets
),
columns_of_masks as (
    select
        set_id,
        position,
        sum(get_bit(mask, cast(position as integer))) as shadows_in,
        count(*) as shadows_all
    from bits
    group by set_id, position
),
balance as (
    select
        set_id,
        count(*) filter (where shadows_in > 0 and 2 * shadows_in <> shadows_all) as unbalanced_examples
    from columns_of_masks
    group by set_id
),
work as (
    select
        dataset_digest,
        architecture,
        cast(sum(cast(json_extract_string(notes_json, '$.draws') as bigint)) as bigint) as draws,
        cast(
            sum(cast(json_extract_string(notes_json, '$.failed_draws') as bigint)) as bigint
        ) as failed_draws,
        string_agg(distinct method, ', ' order by method) filter (where status = 'failed') as failing_methods,
        sum(seconds) as all_seconds
    from models
    where kind = 'shadow'
    group by dataset_digest, architecture
),
counted as (
    select
        any_value(dataset) as dataset,
        dataset_digest,
        architecture,
        set_id,
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
    group by dataset_digest, architecture, set_id
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
    counted.set_id
from counted
left join balance on balance.set_id = counted.set_id
left join work
    on work.architecture = counted.architecture
    and work.dataset_digest is not distinct from counted.dataset_digest
order by counted.dataset, counted.architecture, counted.set_id;
