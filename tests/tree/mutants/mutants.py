"""The mutants: small changes to the library, each of which plants a bug or drops a guard.

A mutant is (name, file, what it plants, edits); an edit is (text that occurs once, what takes its
place). EQUIVALENT says of some why nobody can tell them from the original.
"""

from mutants_fibers import MUTANTS as OF_FIBERS
from mutants_net import MUTANTS as OF_NET
from mutants_os import MUTANTS as OF_OS
from mutants_poller import MUTANTS as OF_POLLER
from mutants_sync import MUTANTS as OF_SYNC

MUTANTS = OF_POLLER + OF_FIBERS + OF_NET + OF_OS + OF_SYNC


# What no guarantee forbids and so no test must notice, and why.
EQUIVALENT = {
    'rest-poll-turn':
        'late, not lost: the monitor sees within two periods that nobody has had the poll turn',
    'turn-given-late':
        'late, not lost, and no later than where nobody is woken for a batch of one: the monitor '
        'sees within two periods that nobody has had the poll turn',
    'found-passes-on':
        'late, not lost: the monitor sees within two periods that a queue stands still',
    'lifetime-last-out':
        'the reference that the table holds is given back by close() alone, so the count reaches '
        'one only when closed',
}
