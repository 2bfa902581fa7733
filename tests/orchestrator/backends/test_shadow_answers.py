"""What a shadow task leaves behind and what its failures are, without Ray's processes."""

import pytest
import ray

from orchestrator.backends.on_ray import shadow_tasks
from orchestrator.backends.on_ray.ending import Ended
from orchestrator.progress.events import Done
from orchestrator.store.files import CannotWrite
from tasks.errors import AuditError


def failed(cause: Exception) -> ray.exceptions.RayTaskError:
    return ray.exceptions.RayTaskError("run_shadows", f"Traceback: {cause}", cause)


def test_a_process_that_had_a_gpu_ends_with_its_task_and_one_that_had_none_serves_on():
    """Ray takes `max_calls` from the function alone: what is asked for later is ignored."""
    assert shadow_tasks.on_gpu._default_options["max_calls"] == 1
    assert shadow_tasks.on_gpu._default_options["num_gpus"] == 1
    assert "max_calls" not in shadow_tasks.on_cpu._default_options


@pytest.mark.parametrize("kind", [AuditError, CannotWrite])
def test_a_node_that_lacks_what_the_sweep_needs_ends_it_in_one_line(kind, monkeypatch):
    def get(reference):
        raise failed(kind("device: 'cuda' is not available on worker-3; use auto or cpu"))

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(kind, match=r"^device: 'cuda' is not available on worker-3; use auto or cpu$"):
        shadow_tasks._result(None)


def test_other_errors_are_problems_of_the_batch(monkeypatch):
    def get(reference):
        raise failed(RuntimeError("its own words"))

    monkeypatch.setattr(ray, "get", get)
    done = shadow_tasks._result(None)
    assert isinstance(done, Done)
    assert not isinstance(done, Ended)
    assert "its own words" in done.problems[0]
