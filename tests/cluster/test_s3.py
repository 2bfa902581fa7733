"""Results in an object store: a sweep that writes to s3://, is killed, resumes, and is read from there."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.store.store import Store
from orchestrator.store.verify import verify
from tests.chaos.harness import content
from tests.support.sweeps import TINY

server = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")

ROOT = Path(__file__).parents[2]
BUCKET, REGION = "my-bucket", "us-west-2"
RESULTS = f"s3://{BUCKET}/audit"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


@pytest.fixture
def bucket(monkeypatch):
    mocked = server.ThreadedMotoServer(port=0)
    mocked.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mocked.get_host_and_port()[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = boto3.resource("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    yield made
    made.objects.delete()  # the server's buckets are the process's, and outlive it
    made.delete()
    mocked.stop()


def command(module, *arguments):
    return [sys.executable, "-m", f"orchestrator.{module}", *map(str, arguments)]


def run(module, *arguments):
    ran = subprocess.run(
        command(module, *arguments), cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def cells(bucket):
    return sum(1 for _ in bucket.objects.filter(Prefix="audit/cells/"))


def test_a_sweep_writes_to_a_bucket_resumes_from_it_and_is_read_from_it(bucket, tmp_path):
    config = tmp_path / "audit.toml"
    config.write_text(TINY)
    with subprocess.Popen(
        command("sweep", config, "--out", RESULTS),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as killed:
        while cells(bucket) < 3:
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    before = {item.key: item.last_modified for item in bucket.objects.filter(Prefix="audit/cells/")}
    assert 3 <= len(before) < 21
    run("sweep", config, "--out", RESULTS)
    after = {item.key: item.last_modified for item in bucket.objects.filter(Prefix="audit/cells/")}
    assert len(after) == 21
    assert before.items() <= after.items()

    run("sweep", config, "--out", tmp_path / "local")
    assert content(RESULTS) == content(tmp_path / "local")
    assert verify(Store(RESULTS)) == []
    assert (
        run("query", "select count(*) from cells", "--results", RESULTS, "--format", "csv").split()[-1]
        == "21"
    )
    assert "21 of 21 done" in run("status", RESULTS)
    run("report", RESULTS, "--output", tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 100_000


ROUNDS = 4
KEYS = [f"k{number}" for number in range(30)]
ROW = {"metric": "auc", "split": "all", "variant": "", "n": 1, "higher_is": "worse", "value": 0.5}
WORK = {
    "compact": [
        sys.executable,
        "-c",
        f"from orchestrator.store.store import Store; Store('{RESULTS}').compact(at_least=1)",
    ],
    "verify": command("query", "--verify", "--results", RESULTS),
    "repair": command("query", "--repair", "--results", RESULTS),
    "export": command("query", "--export", "{export}", "--results", RESULTS),
}


@pytest.mark.parametrize("kind", WORK)
def test_kills_of_what_keeps_results_in_order_lose_nothing(kind, bucket, tmp_path):
    """Each is killed at random moments, then ends; rows are those that were written, and a damage is set aside once."""
    store, choose = Store(RESULTS), random.Random(kind)
    store.check_ready()
    for key in KEYS:
        store.write("metrics", key, [ROW])
    expected = set(KEYS)
    if kind == "repair":
        bucket.put_object(Key="audit/metrics/k3.arrow", Body=b"damaged")
        expected -= {"k3"}
    words = [word.replace("{export}", str(tmp_path / "export")) for word in WORK[kind]]
    killed = 0
    for _ in range(ROUNDS):
        with subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            time.sleep(choose.uniform(0.8, 3.0))
            running.kill()
        killed += running.returncode == -signal.SIGKILL
        assert Store(RESULTS).keys("metrics") >= expected
    assert killed
    subprocess.run(words, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    whole = Store(RESULTS)
    assert Counter(whole.read("metrics")["cell_id"].to_pylist()) == dict.fromkeys(expected, 1)
    assert verify(whole) == []
    aside = [item.key for item in bucket.objects.filter(Prefix="audit/_damaged/")]
    assert aside == (["audit/_damaged/metrics/k3.arrow"] if kind == "repair" else [])
    if kind == "export":
        assert pq.read_table(tmp_path / "export" / "metrics.parquet").num_rows == len(KEYS)
        assert [path.name for path in tmp_path.iterdir()] == ["export"]
