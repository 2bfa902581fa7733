-- What the queries of the papers' claims (queries/claim_*.sql) share: verdict, intervals, phi by pair of shadow models.

-- Of an effect that a claim says is above 0, and of which less than `margin` would not matter, by its 95 % interval.
-- Each of the two answers is wrong at most 2.5 times in 100; where both hold, the effect is too small to matter. An end
-- that is no finite number says nothing: DuckDB has NaN above all numbers, 0 too.
create or replace temp macro claim_verdict(low, high, margin) as
    case
        when not coalesce(isfinite(low) and isfinite(high), false) then 'undecided'
        when high < margin then 'contradicted'
        when low > 0 then 'supported'
        else 'undecided'
    end;

-- Half of the 95 % interval of a mean over independent units (originals, pairs of shadow models): Student's t. Four are
-- asked for: with three it is half as wide again, and one unlike the others is not seen. Equal values in all units show
-- that examples are few, not that nothing varies: null.
create or replace temp macro units_half_width(sd, units) as
    case when units >= 4 and isfinite(sd) and sd > 1e-12 then t975(units - 1) * sd / sqrt(units) end;

-- Why there is none; null where there is one. `unit` is what they are called in the plural.
create or replace temp macro units_without(sd, units, unit) as
    case
        when units < 4 then 'it takes 4 ' || unit || ', here ' || if(units = 1, 'is 1', 'are ' || units)
        when not isfinite(sd) then 'no finite values'
        when sd <= 1e-12 then 'equal values in all ' || units || ' ' || unit
    end;

-- Upper quantiles for a one-sided p below .5: of the normal distribution (Abramowitz and Stegun 26.2.23, to 4.5e-4), and
-- from its quantile z that of Student's t (26.7.5, to 1.5 % at 3 degrees of freedom and .2 % from 5 on, for p from .002).
create or replace temp macro normal_upper(p) as
    sqrt(-2 * ln(p)) - (2.515517 + 0.802853 * sqrt(-2 * ln(p)) - 0.020656 * ln(p))
        / (1 + 1.432788 * sqrt(-2 * ln(p)) - 0.378538 * ln(p) + 0.001308 * (-2 * ln(p)) ** 1.5);

create or replace temp macro t_upper(z, df) as
    z + (z ** 3 + z) / (4 * df) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * df ** 2)
        + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * df ** 3)
        + (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / (92160 * df ** 4);
