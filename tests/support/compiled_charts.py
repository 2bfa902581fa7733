"""The specifications of all charts as Vega draws them in a page, which ship compiled.

    python -m tests.support.compiled_charts

A page compiles anew what was edited since: nothing in it is ever wrong, it only takes longer.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version

from orchestrator.report.drill_down import history_spec
from orchestrator.report.specifications import SHIPPED, Spec, digest, for_page, vega
from orchestrator.results.charts.kinds import KINDS

COMMAND = "python -m tests.support.compiled_charts"
COMPILER = "vl-convert-python"


def sources() -> dict[str, Spec]:
    """The specifications of Vega-Lite by digest."""
    painted = [for_page(spec) for spec in (*(kind.spec() for kind in KINDS.values()), history_spec())]
    return {digest(spec): spec for spec in painted}


def main() -> None:
    """Compile all and write the file anew."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    lines = [f'"{key}": {json.dumps(vega(spec), separators=(",", ":"))}' for key, spec in sources().items()]
    body = ",\n".join(lines)
    SHIPPED.write_text(
        f'{{"compiler": "{COMPILER} {version(COMPILER)}", "specifications": {{\n{body}\n}}}}\n'
    )


if __name__ == "__main__":
    main()
