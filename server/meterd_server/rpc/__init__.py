"""The wire: protobuf in, ledger commands out, statuses for everything that goes wrong."""
