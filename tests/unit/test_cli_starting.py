"""How a command begins: in a process of its own, for it changes the interpreter."""

import subprocess
import sys

PROGRAM = """
import gc, os
from modelfloat.cli import starting
usual = gc.get_threshold()
starting.imported()
assert gc.get_freeze_count() == 0, "nobody began"
starting.begin()
assert gc.get_threshold()[0] > usual[0]
starting.imported()
frozen = gc.get_freeze_count()
assert frozen > 0
assert gc.get_threshold() == usual
kept = [[] for _ in range(100)]
starting.imported()
assert gc.get_freeze_count() <= frozen, "only once"
print(os.environ["OPENBLAS_NUM_THREADS"])
"""


def begin(variable: str | None) -> str:
    environment = {} if variable is None else {"OPENBLAS_NUM_THREADS": variable}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LIMITS = """
import resource
from modelfloat.cli import starting
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 100), most))
starting.allow_descriptors()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
"""


def test_as_many_files_may_be_open_as_this_user_may_have() -> None:
    subprocess.run([sys.executable, "-c", LIMITS], check=True)


def test_imports_are_not_looked_at_for_garbage_and_the_rest_is_as_ever() -> None:
    assert begin(None) == "1"


def test_what_the_user_says_of_threads_holds() -> None:
    assert begin("3") == "3"
