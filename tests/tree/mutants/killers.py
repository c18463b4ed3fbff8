"""What killed each mutant last: (program: case, the command that runs it, seconds).

Written by `scripts/mutants --remember`; docs/proof.md has the same as a table.
"""

KILLERS = {
}
