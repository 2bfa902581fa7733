"""What every method, attack, data set, kind of forget sets and architecture must hold to; for authors of plug-ins, and
run over what is built in.

    from tasks import contracts
    contracts.check_method(MyMethod(lr=0.1))
    contracts.check_attack(MyAttack())
    contracts.check_dataset(MyData())
    contracts.check_forget_set(MyRequests(count=20))
    contracts.check_architecture("my_network")

They raise AssertionError with what was expected. Methods and attacks run on a small trained network and 8 x 8 images in
seconds, on a GPU too, see there. Each contract is also a function of its own: see `methods`, `attacks`, `adversarial`,
`population`, `datasets`, `forget_sets` and `architectures`.
"""

from tasks.errors import AuditError

if not __debug__:  # said before what takes a second to import
    raise AuditError("contracts are assertions, which python -O leaves out; run without it")

from tasks.contracts.architectures import check_architecture
from tasks.contracts.attacks import check_attack
from tasks.contracts.datasets import check_dataset
from tasks.contracts.forget_sets import check_forget_set
from tasks.contracts.methods import check_method
from tasks.contracts.small import small_run

__all__ = [
    "check_architecture",
    "check_attack",
    "check_dataset",
    "check_forget_set",
    "check_method",
    "small_run",
]
