"""Every call in short."""

import itertools

from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, pricing_pb2, reservation_pb2

TIMEOUT_SECONDS = 20
"""What no call here should take; one that would hang fails with DEADLINE_EXCEEDED instead."""


class Calls:
    """Methods that make one call each, over the stubs of a `House`, and return the future answer."""

    def __init__(self):
        self._ids = itertools.count(1)

    def use(self, user_id, usage, **more):
        """Record usage under a request id of its own unless one is given."""
        fields = {"request_id": f"use-{next(self._ids)}"} | more
        request = metering_pb2.RecordCostRequest(user_id=user_id, usage=usage, **fields)
        return self.metering.RecordCost(request, timeout=TIMEOUT_SECONDS)

    def cost(self, user_id="ada", cost_microcents=10, *, timeout_seconds=TIMEOUT_SECONDS, **more):
        """Record a cost under a request id of its own unless one is given."""
        fields = {"request_id": f"cost-{next(self._ids)}", "cost_microcents": cost_microcents} | more
        request = metering_pb2.RecordCostRequest(user_id=user_id, **fields)
        return self.metering.RecordCost(request, timeout=timeout_seconds)

    def fund(self, user_id="ada", amount_microcents=1_000, **more):
        """Record funding under a request id of its own unless one is given."""
        fields = {"request_id": f"fund-{next(self._ids)}"} | more
        if "update" not in fields:
            fields["amount_microcents"] = amount_microcents
        return self.metering.RecordFunding(
            metering_pb2.RecordFundingRequest(user_id=user_id, **fields), timeout=TIMEOUT_SECONDS
        )

    def reserve(self, user_id="ada", amount_microcents=100, **more):
        """Set money aside under a request id of its own unless one is given."""
        fields = {"request_id": f"hold-{next(self._ids)}"} | more
        if "usage" not in fields:
            fields["amount_microcents"] = amount_microcents
        return self.metering.Reserve(reservation_pb2.ReserveRequest(user_id=user_id, **fields), timeout=TIMEOUT_SECONDS)

    def capture(self, reservation_id, cost_microcents=10, *, user_id="ada", **more):
        """Charge for a reservation under a request id of its own unless one is given."""
        fields = {"request_id": f"capture-{next(self._ids)}"} | more
        if "usage" not in fields:
            fields["cost_microcents"] = cost_microcents
        request = reservation_pb2.CaptureRequest(user_id=user_id, reservation_id=reservation_id, **fields)
        return self.metering.Capture(request, timeout=TIMEOUT_SECONDS)

    def release(self, reservation_id, *, user_id="ada", **more):
        """End a reservation under a request id of its own unless one is given."""
        fields = {"request_id": f"release-{next(self._ids)}"} | more
        request = reservation_pb2.ReleaseRequest(user_id=user_id, reservation_id=reservation_id, **fields)
        return self.metering.Release(request, timeout=TIMEOUT_SECONDS)

    def extend(self, reservation_id, *, user_id="ada", **more):
        """Extend a reservation under a request id of its own unless one is given."""
        fields = {"request_id": f"extend-{next(self._ids)}"} | more
        request = reservation_pb2.ExtendRequest(user_id=user_id, reservation_id=reservation_id, **fields)
        return self.metering.Extend(request, timeout=TIMEOUT_SECONDS)

    def set_policy(self, user_id="ada", **more):
        """Set an account's policy under a request id of its own unless one is given."""
        fields = {"request_id": f"policy-{next(self._ids)}"} | more
        request = admin_pb2.SetAccountPolicyRequest(user_id=user_id, **fields)
        return self.admin.SetAccountPolicy(request, timeout=TIMEOUT_SECONDS)

    def reverse(self, version, *, user_id="ada", **more):
        """Undo an entry under a request id of its own unless one is given."""
        fields = {"request_id": f"reverse-{next(self._ids)}"} | more
        request = admin_pb2.ReverseEntryRequest(user_id=user_id, version=version, **fields)
        return self.admin.ReverseEntry(request, timeout=TIMEOUT_SECONDS)

    def batch(self, *operations):
        """Send operations in one call."""
        return self.metering.Batch(metering_pb2.BatchRequest(operations=operations), timeout=TIMEOUT_SECONDS)

    def put(self, *cards, validate_only=False):
        """Put rate cards."""
        request = pricing_pb2.PutRateCardRequest(rate_cards=cards, validate_only=validate_only)
        return self.pricing.PutRateCard(request, timeout=TIMEOUT_SECONDS)

    def quote(self, user_id, usage, meter=""):
        """Ask what a usage would cost."""
        request = pricing_pb2.QuoteRequest(user_id=user_id, usage=usage, meter=meter)
        return self.pricing.Quote(request, timeout=TIMEOUT_SECONDS)

    def check(self, user_id="ada", minimum_microcents=None, usage=None):
        """Ask whether the user may afford the minimum, or the usage."""
        request = metering_pb2.CheckRequest(user_id=user_id, minimum_microcents=minimum_microcents, usage=usage)
        return self.metering.Check(request, timeout=TIMEOUT_SECONDS)

    def list(self, user_id="ada", **more):
        """Ask for one page of entries."""
        return self.reads.ListEntries(ledger_pb2.ListEntriesRequest(user_id=user_id, **more), timeout=TIMEOUT_SECONDS)

    async def balance(self, user_id="ada"):
        """Return the account as it is now."""
        return (await self.look_at(user_id)).balance

    def look_at(self, user_id="ada"):
        """Ask for the account as it is now, with its grants."""
        return self.reads.GetBalance(ledger_pb2.GetBalanceRequest(user_id=user_id), timeout=TIMEOUT_SECONDS)
