-- Which runs do these answers rest on, and with what configuration?
-- grain: run
-- param run = null: its id; "all" and null stand for every one
select
    runs.name,
    runs.config_json
from runs
where $run is null or $run in ('all', runs.run_id);
