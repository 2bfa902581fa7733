"""What every method and attack must hold to; for the authors of plug-ins, and run over all that is built in.

    from tasks import contracts
    contracts.check_method(MyMethod(lr=0.1))
    contracts.check_attack(MyAttack())

They raise AssertionError with what was expected, and run on a small trained network and 8 x 8 images in seconds; both
can run on a GPU, see there. Each contract is also a function of its own: see `methods`, `attacks`, `adversarial` and
`population`.
"""

from tasks.contracts.attacks import check_attack
from tasks.contracts.methods import check_method
from tasks.contracts.small import small_run

__all__ = ["check_attack", "check_method", "small_run"]
