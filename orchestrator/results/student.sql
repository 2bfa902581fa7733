-- Student's t in plain SQL: p-values and quantiles, for the intervals of all views and for the verdict.

-- P(N > z) for z >= 0, to 1.2e-7 of itself: the rational approximation of erfc in Press et al., Numerical Recipes, 6.2.
create or replace temp macro erfc_series(x, t) as
    t * exp(-x * x - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));

create or replace temp macro normal_tail(z) as
    erfc_series(z / 1.4142135623730951, 1 / (1 + z / 2.8284271247461903)) / 2;

-- What Student's t is as a normal deviate: Hill (1970), Algorithm 395, with y = (df - 1/2) ln(1 + t^2 / df).
create or replace temp macro hill_deviate(y, df) as
    sqrt(y) * (1 + (3 + y + (((-0.4 * y - 3.3) * y - 24) * y - 85.5) / (0.8 * y * y + 100 + 48 * (df - 0.5) ** 2))
        / (48 * (df - 0.5) ** 2));

-- Two-sided p-value for real df >= 1, to 1e-7. With x = df / (df + t^2) and a = df / 2 it is the incomplete beta
-- function I_x(a, 1/2) = x^a (1 - x)^(1/2) / (a B(a, 1/2)) + I_x(a + 1, 1/2): ten such steps, then Hill's. A macro writes
-- an argument out wherever it stands: the deviate, ten steps on, is a column made before (else planning takes longer
-- than all the rest).
create or replace temp macro t_deviate(t, df) as
    hill_deviate((df + 19.5) * ln(1 + t * t / df), df + 20);

create or replace temp macro beta_step(x, a, rest) as 1 + x * (a + 0.5) / (a + 1) * rest;

create or replace temp macro beta_steps(x, a) as
    beta_step(x, a, beta_step(x, a + 1, beta_step(x, a + 2, beta_step(x, a + 3, beta_step(x, a + 4,
        beta_step(x, a + 5, beta_step(x, a + 6, beta_step(x, a + 7, beta_step(x, a + 8, 1)))))))));

create or replace temp macro t_two_sided(t, df, deviate) as
    least(
        1,
        exp(lgamma(df / 2 + 0.5) - lgamma(df / 2 + 1) - 0.5723649429247001 - df / 2 * ln(1 + t * t / df))
            * abs(t) / sqrt(df + t * t) * beta_steps(df / (df + t * t), df / 2)
            + 2 * normal_tail(deviate)
    );

-- P(T > t).
create or replace temp macro t_tail(t, df, deviate) as
    0.5 - sign(t) * (0.5 - t_two_sided(t, df, deviate) / 2);

-- Quantiles .975 and .95 for real df >= 1, to 2e-7; null below. Their logarithm is a polynomial in 1 / df, fitted at
-- Chebyshev nodes (derived here).
create or replace temp macro t975(df) as
    if(df < 1, null, exp(0.672926258 + (1.210338084 + (0.708298888 + (0.145004219 + (-0.199505914 + (-0.157769154
        + (0.276733792 + (-0.139098581 + 0.025162767 / df) / df) / df) / df) / df) / df) / df) / df));

create or replace temp macro t95(df) as
    if(df < 1, null, exp(0.497651484 + (0.926373063 + (0.434627046 + (0.060446319 + (-0.101148105 + (0.037478092
        + (-0.032598082 + (0.028232167 - 0.008332033 / df) / df) / df) / df) / df) / df) / df) / df));

-- 95 % interval of a mean over seeds: Student's t from three seeds on, of what other seeds would give on the same
-- examples; with fewer it reaches from the lowest to the highest end of the seeds' own intervals.
create or replace temp macro seeds_low(mean, sd, seeds, lowest) as
    case when seeds >= 3 then mean - t975(seeds - 1) * sd / sqrt(seeds) else lowest end;

create or replace temp macro seeds_high(mean, sd, seeds, highest) as
    case when seeds >= 3 then mean + t975(seeds - 1) * sd / sqrt(seeds) else highest end;

-- 95 % interval of a mean over seeds of values, which have intervals of their own. Student's t has no width where the seeds
-- agree, as rates near 0 and 1 do by chance: it counts where it is wider than the seeds' own intervals, whose mean ends hold
-- what the seeds share by their examples (derived here). Where a seed has none it is Student's t, and null where they agree.
-- Aggregates of one value and one end for each seed.
create or replace temp macro values_low(value, low) as
    case
        when count(low) = count(value)
            then least(seeds_low(avg(value), stddev_samp(value), count(value), min(low)), avg(low))
        when stddev_samp(value) > 0 then seeds_low(avg(value), stddev_samp(value), count(value), null)
    end;

create or replace temp macro values_high(value, high) as
    case
        when count(high) = count(value)
            then greatest(seeds_high(avg(value), stddev_samp(value), count(value), max(high)), avg(high))
        when stddev_samp(value) > 0 then seeds_high(avg(value), stddev_samp(value), count(value), null)
    end;

-- The same of distances, or of differences of distances: Student's t of absolute values does not hold 0, so that there is
-- none where a seed has none.
create or replace temp macro distances_low(value, low) as
    if(count(low) < count(value), null, values_low(value, low));

create or replace temp macro distances_high(value, high) as
    if(count(high) < count(value), null, values_high(value, high));

-- An end of an interval within the range of what it is of, which may be open. Null stays null, for greatest and least pass
-- over it, and what is no number becomes null, for it stands above all numbers: else an interval would end at the range.
create or replace temp macro within_range(x, lowest, highest) as
    case when not isnan(x) then least(greatest(x, lowest), highest) end;

-- The lower end of an interval of a distance.
create or replace temp macro distance_low(low) as within_range(low, 0, null);

-- Interval of the mean of a metric over seeds, from three on, within the metric's range; none of a mean that is not finite.
-- Aggregates of one value and one end for each seed, and of what the metric declares.
create or replace temp macro mean_low(value, ci_low, compares, low, high) as
    if(count(*) < 3 or not isfinite(avg(value)), null, within_range(
        if(coalesce(bool_or(compares), false), distances_low(value, ci_low), values_low(value, ci_low)),
        any_value(low),
        any_value(high)
    ));

create or replace temp macro mean_high(value, ci_high, compares, low, high) as
    if(count(*) < 3 or not isfinite(avg(value)), null, within_range(
        if(coalesce(bool_or(compares), false), distances_high(value, ci_high), values_high(value, ci_high)),
        any_value(low),
        any_value(high)
    ));
