"""The exit codes of `meterd`: the one table from what happened to what the shell is told."""

from enum import IntEnum

import meterd


class Exit(IntEnum):
    """What an exit code means."""

    DONE = 0
    NOT_COVERED = 1
    USAGE = 2
    CONFLICT = 3
    UNREACHABLE = 4
    CANNOT_START = 5
    FAULT = 70
    INTERRUPTED = 130


EXIT_HELP: dict[Exit, str] = {
    Exit.DONE: "done, or allowed",
    Exit.NOT_COVERED: "not allowed, not covered (INSUFFICIENT_FUNDS, ACCOUNT_FROZEN), or a ledger that does not add up (verify)",
    Exit.USAGE: "the command line, the configuration, a file of prices or an argument is wrong",
    Exit.CONFLICT: "a conflict with what is recorded (REQUEST_ID_REUSED, RESERVATION_CLOSED, ...), or a file in the way",
    Exit.UNREACHABLE: "the daemon cannot be reached, is overloaded or did not answer in time",
    Exit.CANNOT_START: "the daemon cannot start, or a command not use the database (port in use, database unusable)",
    Exit.FAULT: "an internal fault; please report it",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
}

_EXIT_OF: dict[type[meterd.Error], Exit] = {
    meterd.InvalidArgumentError: Exit.USAGE,
    meterd.AmountOutOfRangeError: Exit.USAGE,
    meterd.InsufficientFundsError: Exit.NOT_COVERED,
    meterd.RequestIdReusedError: Exit.CONFLICT,
    meterd.FundingConflictError: Exit.CONFLICT,
    meterd.UnknownRateError: Exit.CONFLICT,
    meterd.RateCardConflictError: Exit.CONFLICT,
    meterd.TtlOutOfRangeError: Exit.USAGE,
    meterd.FloorOverAmountError: Exit.USAGE,
    meterd.GrantExpiredError: Exit.USAGE,
    meterd.AccountFrozenError: Exit.NOT_COVERED,
    meterd.MeteringStoppedError: Exit.NOT_COVERED,
    meterd.ReservationNotFoundError: Exit.CONFLICT,
    meterd.ReservationClosedError: Exit.CONFLICT,
    meterd.TooManyGrantsError: Exit.CONFLICT,
    meterd.EntryNotFoundError: Exit.CONFLICT,
    meterd.EntryNotReversibleError: Exit.CONFLICT,
    meterd.ReversalOverEntryError: Exit.CONFLICT,
    meterd.OverloadedError: Exit.UNREACHABLE,
    meterd.UnavailableError: Exit.UNREACHABLE,
    meterd.DeadlineExceededError: Exit.UNREACHABLE,
    meterd.InternalError: Exit.FAULT,
}


def exit_of(error: meterd.Error) -> Exit:
    """Return the exit code of a client error; one that is not in the table, such as UnknownError, is a fault."""
    return _EXIT_OF.get(type(error), Exit.FAULT)
